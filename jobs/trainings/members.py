"""One member of an ensemble: trained unless an earlier attempt did, and stored in a file until the run ends."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.files import whole_file
from jobs.trainings.common import TrainingSet

if TYPE_CHECKING:
    from torch import Tensor

    from engine.classification.networks.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training.fold import Epoch, Views

KEPT = ("last", "best")
"""The epochs whose weights a member stores."""
SEAL = "seal"
"""The entry of a member's file that shows whether it is intact, and from which training."""


@dataclass(frozen=True)
class StoredMember:
    """A member's weights, and its logits (m,) for the images it never saw."""

    state: "dict[str, Tensor]"
    logits: np.ndarray


@dataclass(frozen=True)
class Setup:
    """What all members of one backbone are trained with."""

    training_set: TrainingSet
    recipe: "Recipe"
    backbone: "Backbone"
    views: "Views"
    device: str


def train_member(
    path: Path, setup: Setup, held_out: np.ndarray, *, seed: int, on_epoch: "Callable[[Epoch], None]"
) -> bool:
    """Train on all images except those held out, bool (n,), and store the last and best epochs in `path`.

    Returns False if an earlier attempt already stored this same training's member there intact.
    """
    import torch
    from safetensors.torch import save_file

    from engine.classification.training.fold import Fold, fingerprint, train_fold
    from engine.classification.training.progress import ProgressFolder

    shas = [image.sha256 for image in setup.training_set.images]
    fold = Fold(setup.training_set.labels, held_out)
    mark = fingerprint(setup.backbone.spec.name, setup.recipe, shas, fold, seed=seed)
    if _is_kept(path, mark):
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)  # killed between storing the member and this line
        return False
    progress = ProgressFolder(path.with_suffix(""), mark)
    result = train_fold(
        setup.backbone,
        setup.recipe,
        setup.views,
        fold,
        seed=seed,
        device=setup.device,
        on_epoch=on_epoch,
        progress=progress,
    )
    tensors: dict[str, Tensor] = {}
    for which, kept in zip(KEPT, (result.last, result.best), strict=True):
        tensors |= {f"{which}/{name}": tensor.clone().contiguous() for name, tensor in kept.state.items()}
        tensors[f"{which}_logits"] = torch.tensor(kept.valid_logits)
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={SEAL: _seal(tensors, mark)})
    shutil.rmtree(progress.path, ignore_errors=True)
    return True


def _seal(tensors: "dict[str, Tensor]", of: str) -> str:
    """sha256 of a member's tensors and the training's fingerprint."""
    from safetensors.torch import save

    return hashlib.sha256(of.encode() + save(tensors)).hexdigest()


def _is_kept(path: Path, of: str) -> bool:
    """Whether `path` holds an intact member of the training with this fingerprint."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(SEAL)
        return found is not None and found == _seal(load_file(path), of)
    except (OSError, SafetensorError):
        return False


def stored_member(path: Path, which: str) -> StoredMember:
    """The member in `path` after its last or best epoch."""
    from safetensors.torch import load_file

    from engine.classification.networks.state_dicts import with_prefix

    found = load_file(path)
    return StoredMember(with_prefix(found, f"{which}/"), found[f"{which}_logits"].numpy())
