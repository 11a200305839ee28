"""How several processes share one job, started with `accelerate launch -m jobs train` or torchrun.

Members of an ensemble are trained independently, so each process trains whole members: the weights do not depend on
the number of processes, which exchange little more than the run's number.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine import devices

PATIENCE = timedelta(days=7)
"""How long a process waits for the others, which may have hours of work left; the backends' default is minutes."""


@dataclass(frozen=True)
class Processes:
    """This process's rank among those that share the job."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @classmethod
    def launched(cls) -> "Processes":
        """Read from the launcher's environment; a single process without a launcher. Uses GPUs if there are any."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(device=devices.available())
        from accelerate import PartialState

        state = PartialState(cpu=devices.available() == "cpu", timeout=PATIENCE)
        return cls(state.process_index, state.num_processes, str(state.device))

    @property
    def is_leader(self) -> bool:
        """Whether this process claims the run and stores its final status."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether this process does part `number` of the work."""
        return number % self.count == self.rank

    def broadcast(self, value: Any) -> Any:
        """The leading process's `value`, in every process."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
