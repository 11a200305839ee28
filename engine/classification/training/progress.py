"""Training progress, saved after every epoch, so that a killed training resumes and ends in the same weights."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.errors import InputError
from engine.files import write_whole

MANIFEST = "progress.json"


@dataclass(frozen=True)
class Progress:
    """The state of a training after `epochs` complete epochs."""

    epochs: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """Everything that is not a tensor, as JSON values."""


@dataclass(frozen=True)
class ProgressFolder:
    """A folder with the latest progress of one training: a file of tensors, and a manifest with its sha256.

    The manifest is written last, atomically, so that after a kill at any moment the previous epoch is still there.
    """

    path: Path
    of: str
    """Fingerprint of everything that determines the weights; progress of another training is rejected."""

    def save(self, progress: Progress) -> None:
        """Save progress atomically, then delete the previous epoch's file. Raises OSError."""
        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in progress.tensors.items()})
        name = f"epoch-{progress.epochs:04d}.safetensors"
        write_whole(self.path / name, data)
        manifest = {
            "of": self.of,
            "epochs": progress.epochs,
            "file": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "facts": progress.facts,
        }
        write_whole(self.path / MANIFEST, json.dumps(manifest, indent=2))
        for older in self.path.glob("epoch-*.safetensors"):
            if older.name != name:
                older.unlink(missing_ok=True)

    def load(self) -> Progress | None:
        """The latest progress, or None before the first epoch.

        Raises InputError that names the file or folder if it belongs to another training or is damaged.
        """
        way_out = f"delete {self.path} to train this member from its start"
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"training progress {self.path / MANIFEST} cannot be read ({error}); {way_out}") from error
        if manifest.get("of") != self.of:
            raise InputError(f"training progress {self.path} is of other images, another recipe or seed; {way_out}")
        file = self.path / manifest["file"]
        try:
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
                raise InputError(f"training progress {file} is damaged; {way_out}")
            return Progress(manifest["epochs"], load(data), manifest["facts"])
        except (OSError, SafetensorError) as error:
            raise InputError(f"training progress {file} cannot be read ({error}); {way_out}") from error
