"""Several processes at one job, as `accelerate launch -m jobs train` or torchrun starts them: who does what and when.

Members of an ensemble are trained independently, so each process trains some of them whole: the weights are the same
however many processes there are, and nothing but a few words travels between them.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine import devices

PATIENCE = timedelta(days=7)
"""How long a process waits for the others, which may have hours of work left: the backends' own is minutes."""


@dataclass(frozen=True)
class Processes:
    """This process's place among those that share the job."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @classmethod
    def launched(cls) -> "Processes":
        """As the launcher's environment says; alone without a launcher. On GPUs where there are any."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(device=devices.available())
        from accelerate import PartialState

        state = PartialState(cpu=devices.available() == "cpu", timeout=PATIENCE)
        return cls(state.process_index, state.num_processes, str(state.device))

    @property
    def is_leader(self) -> bool:
        """Whether this is the process that claims the run and stores its end."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether part `number` of the work is this process's."""
        return number % self.count == self.rank

    def broadcast(self, word: Any) -> Any:
        """The leading process's `word`, in every process."""
        if self.count == 1:
            return word
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([word])[0]

    def barrier(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
