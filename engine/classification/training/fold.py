"""Training one fold: a tail and a head, on the maps of a frozen trunk."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from engine.classification import versions
from engine.classification.networks.backbones import Backbone
from engine.classification.networks.members import new_member
from engine.classification.networks.state_dicts import with_prefix
from engine.classification.recipes import Recipe
from engine.classification.training.progress import Progress, ProgressFolder
from engine.digests import json_sha256
from engine.errors import InputError
from engine.metrics.classification import auc


class Views(Protocol):
    """A source of trunk maps: a `TrunkCache` or `FreshViews`."""

    def drawn(self, batches: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[Tensor]:
        """Maps of each batch of rows, int (n,), in random views: float (n, c, h, w) each."""

    def films(self, rows: np.ndarray, *, mirror: bool = False) -> Tensor:
        """Maps of rows, int (n,), without augmentation, or mirrored: float (n, c, h, w)."""


@dataclass(frozen=True)
class Fold:
    """The images' labels, int (n,), and which images are held out, bool (n,): training is on all others."""

    labels: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch of one fold, on training and held-out images."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_auc: float


@dataclass(frozen=True)
class Snapshot:
    """A member's weights after one epoch."""

    epoch: int
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Kept(Snapshot):
    """A snapshot with its logits for the held-out images."""

    valid_logits: np.ndarray
    """float32 (m,), averaged over mirror images if the recipe says so."""


@dataclass(frozen=True)
class FoldResult:
    """A trained fold: its learning curve, and its member after the last epoch and after the one with the best AUC."""

    curve: tuple[Epoch, ...]
    last: Kept
    best: Kept


def train_fold(
    backbone: Backbone,
    recipe: Recipe,
    views: Views,
    fold: Fold,
    *,
    seed: int,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    progress: ProgressFolder | None = None,
) -> FoldResult:
    """Train one member on all images except the held-out ones, and score those.

    Both classes are sampled equally often. on_epoch is called for each epoch, including those completed by an earlier
    attempt, and may raise to stop. progress: where every epoch is saved, so that a killed training can resume; on a CPU
    it ends in the same weights, bit for bit, as an uninterrupted one.
    Raises InputError if the training or held-out images lack a class, if the loss is not finite (naming epoch and
    step), if memory runs out (naming the batch size to try), or if the progress belongs to another training.
    """
    for side, chosen in (("training", ~fold.held_out), ("held-out", fold.held_out)):
        if len(np.unique(fold.labels[chosen])) < 2:
            raise InputError(f"the {side} images of a fold are all of one class; both normal and pneumonia are needed")
    with _naming_a_smaller_batch(recipe.batch_size):
        learning = _Learning(backbone, recipe, views, fold, seed=seed, device=device)
        saved = progress.load() if progress else None
        if saved:
            learning.restore(saved)
        for epoch in learning.curve:
            on_epoch(epoch)
        while len(learning.curve) < recipe.epochs:
            learning.one_epoch()
            if progress:
                progress.save(learning.progress())
            on_epoch(learning.curve[-1])
        last = learning.kept(learning.last)
        best = last if learning.best is learning.last else learning.kept(learning.best)
        return FoldResult(tuple(learning.curve), last, best)


class _Learning:
    """A fold in training. An epoch's random draws depend on seed and epoch only, so no generator state is saved."""

    def __init__(
        self,
        backbone: Backbone,
        recipe: Recipe,
        views: Views,
        fold: Fold,
        *,
        seed: int,
        device: str,
    ) -> None:
        self.recipe, self.views, self.labels, self.seed, self.device = recipe, views, fold.labels, seed, device
        torch.manual_seed(seed)
        self.member = new_member(backbone, recipe).to(device)
        self.training_rows, self.held_out_rows = np.flatnonzero(~fold.held_out), np.flatnonzero(fold.held_out)
        self.chance = _sampling_weights(fold.labels[self.training_rows])
        self.steps = -(-len(self.training_rows) // recipe.batch_size)
        self.rates = (recipe.tail_learning_rate, recipe.head_learning_rate)
        self.optimizer = torch.optim.AdamW(
            [{"params": self.member.tail.parameters()}, {"params": self.member.head.parameters()}],
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.half = half(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=self.half == torch.float16)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.curve: list[Epoch] = []
        self.last: Snapshot
        self.best: Snapshot

    def one_epoch(self) -> None:
        """Train on as many samples as there are training images, then score the held-out images."""
        epoch = len(self.curve)
        rng = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        self.member.train()
        order = rng.choice(self.training_rows, size=len(self.training_rows), p=self.chance)
        batches = np.array_split(order, self.steps)
        losses = []
        for step, (rows, maps) in enumerate(zip(batches, self.views.drawn(batches, rng), strict=True)):
            rise = _rate(epoch * self.steps + step, self.steps * self.recipe.epochs, self.recipe.warm_up)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * rise
            wanted = torch.from_numpy(self.labels[rows]).long().to(self.device)
            with self._autocast():
                loss = self.criterion(self.member(maps.to(self.device)).float(), wanted)
            _stop_unless_finite(loss, epoch, step)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.item() * len(rows))
        with self._autocast():
            logits = self._score()
        truth = self.labels[self.held_out_rows]
        margins = np.where(truth == 1, logits, -logits)
        measured = Epoch(
            epoch=epoch,
            train_loss=sum(losses) / len(order),
            valid_loss=float(np.logaddexp(0.0, -margins).mean()),
            valid_auc=auc(truth, logits),
        )
        state = {name: tensor.detach().cpu().clone() for name, tensor in self.member.state_dict().items()}
        self.last = Snapshot(epoch, state)
        if all(measured.valid_auc > earlier.valid_auc for earlier in self.curve):
            self.best = self.last
        self.curve.append(measured)

    def kept(self, snapshot: Snapshot) -> Kept:
        """The snapshot with its held-out logits, computed as in inference."""
        self.member.load_state_dict(snapshot.state)
        sides = [self._score(mirror=mirror) for mirror in (False, True)[: 1 + self.recipe.flip_average]]
        return Kept(snapshot.epoch, snapshot.state, np.mean(sides, axis=0))

    def progress(self) -> Progress:
        """Everything that the next epoch depends on."""
        tensors: dict[str, Tensor] = {}
        for which, kept in (("last", self.last), ("best", self.best))[: 1 + (self.best is not self.last)]:
            tensors |= {f"{which}.{name}": tensor for name, tensor in kept.state.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
        facts = {
            "curve": [asdict(epoch) for epoch in self.curve],
            "best_epoch": self.best.epoch,
            "scaler": self.scaler.state_dict(),
        }
        return Progress(len(self.curve), tensors, facts)

    def restore(self, saved: Progress) -> None:
        """Restore the state that `progress` returned."""
        self.curve = [Epoch(**epoch) for epoch in saved.facts["curve"]]
        self.last = self.best = Snapshot(len(self.curve) - 1, with_prefix(saved.tensors, "last."))
        if saved.facts["best_epoch"] != self.last.epoch:
            self.best = Snapshot(saved.facts["best_epoch"], with_prefix(saved.tensors, "best."))
        self.member.load_state_dict(self.last.state)
        described = self.optimizer.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in saved.tensors.items():
            if name.startswith("optimizer."):
                _, number, moment = name.split(".")
                moments.setdefault(int(number), {})[moment] = tensor
        self.optimizer.load_state_dict({**described, "state": moments})
        self.scaler.load_state_dict(saved.facts["scaler"])

    @torch.inference_mode()
    def _score(self, *, mirror: bool = False) -> np.ndarray:
        """Logits of pneumonia against normal for the held-out images, or for their mirror images: float32 (m,)."""
        self.member.eval()
        made = []
        for rows in np.array_split(self.held_out_rows, -(-len(self.held_out_rows) // (2 * self.recipe.batch_size))):
            logits = self.member(self.views.films(rows, mirror=mirror).to(self.device)).float()
            made.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
        return np.concatenate(made)

    def _autocast(self) -> Any:
        return torch.autocast(torch.device(self.device).type, dtype=self.half, enabled=self.half is not None)


def half(precision: str, device: str) -> torch.dtype | None:
    """The autocast type for a recipe's precision on a device, such as cuda:0; None for float32. Without CUDA, float16
    means bfloat16."""
    short = torch.float16 if torch.device(device).type == "cuda" else torch.bfloat16
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": short}[precision]


def fingerprint(backbone: str, recipe: Recipe, image_sha256: Sequence[str], fold: Fold, *, seed: int) -> str:
    """sha256 of everything that determines the weights of one fold's training."""
    facts = {
        "code": [versions.VIEWS, versions.TRUNK, versions.TRAINING],
        "backbone": backbone,
        "recipe": asdict(recipe),
        "seed": seed,
        "images": [
            [sha, int(label), int(held)]
            for sha, label, held in zip(image_sha256, fold.labels, fold.held_out, strict=True)
        ],
    }
    return json_sha256(facts)


def _rate(step: int, steps: int, warm_up: float) -> float:
    """The learning rate's factor, in [0, 1]: linear warm-up over the first `warm_up` of the steps, then cosine
    decay."""
    rising = warm_up * steps
    if step < rising:
        return (step + 1) / math.ceil(rising)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


@contextmanager
def _naming_a_smaller_batch(batch_size: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        smaller = max(1, batch_size // 2)
        raise InputError(f"out of memory at batch size {batch_size}; try --batch-size {smaller}") from error


def _stop_unless_finite(loss: Tensor, epoch: int, step: int) -> None:
    if not torch.isfinite(loss):
        raise InputError(
            f"the loss is {loss.item()} at epoch {epoch}, step {step} (from 0), so training diverged; use a recipe "
            "with smaller learning rates, or delete the folder cache in the artifact folder if the cached maps may be "
            "damaged"
        )


def _sampling_weights(labels: np.ndarray) -> np.ndarray:
    """Sampling probability of each image that balances the classes: float (n,), summing to 1."""
    weights = 1.0 / np.bincount(labels)[labels]
    return np.asarray(weights / weights.sum())
