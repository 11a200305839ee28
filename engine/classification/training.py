"""How a classifier learns: the tail and head of one fold, trained on cached trunk maps."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engine.classification.backbones import Backbone
from engine.classification.recipes import Recipe
from engine.classification.trunk_cache import TrunkCache
from engine.errors import InputError
from engine.metrics.classification import auc


class Member(nn.Module):
    """One trained member of the ensemble: trunk maps (n, c, h, w) -> last maps, pooled features, logits (n, 2)."""

    def __init__(self, tail: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tail, self.head = tail, head

    def forward(self, trunk_maps: Tensor) -> Tensor:
        logits: Tensor = self.head(self.tail(trunk_maps).mean((2, 3)))
        return logits


@dataclass(frozen=True)
class Epoch:
    """What one epoch of one fold measured."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_auc: float


@dataclass(frozen=True)
class FoldResult:
    """A trained fold: its member's weights, its curve, and its logits for the images it never saw."""

    state: dict[str, Tensor]
    curve: tuple[Epoch, ...]
    valid_logits: np.ndarray


def make_head(recipe: Recipe, feature_dim: int) -> nn.Module:
    """Pooled features (n, feature_dim) -> logits (n, 2), normal then pneumonia."""
    if recipe.hidden == 0:
        return nn.Sequential(nn.Dropout(recipe.dropout), nn.Linear(feature_dim, 2))
    return nn.Sequential(
        nn.Dropout(recipe.dropout),
        nn.Linear(feature_dim, recipe.hidden),
        nn.SiLU(),
        nn.Dropout(recipe.dropout / 2),
        nn.Linear(recipe.hidden, 2),
    )


def new_member(backbone: Backbone, recipe: Recipe) -> Member:
    """A member that starts from the pretrained tail and a fresh head, drawn from torch's global generator."""
    member = Member(copy.deepcopy(backbone.tail), make_head(recipe, backbone.spec.feature_dim))
    return member.requires_grad_()


def train_fold(
    backbone: Backbone,
    recipe: Recipe,
    cache: TrunkCache,
    labels: np.ndarray,
    held_out: np.ndarray,
    *,
    seed: int,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> FoldResult:
    """Train one member on all images but the held-out ones, and score those.

    labels: int (n,). held_out: bool (n,). on_epoch is called after each epoch and may raise to stop.
    Raises InputError where either side lacks a class, where the loss is no longer a number (naming epoch and step), or
    where memory runs out (naming the batch size to try).
    """
    for side, chosen in (("training", ~held_out), ("held-out", held_out)):
        if len(np.unique(labels[chosen])) < 2:
            raise InputError(f"the {side} images of a fold are all of one class; both normal and pneumonia are needed")
    with _naming_a_smaller_batch(recipe.batch_size):
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        member = new_member(backbone, recipe).to(device)
        train_rows, valid_rows = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        chance = _sampling_weights(labels[train_rows])
        steps = -(-len(train_rows) // recipe.batch_size)
        optimizer = torch.optim.AdamW(
            [
                {"params": member.tail.parameters(), "lr": recipe.tail_learning_rate},
                {"params": member.head.parameters(), "lr": recipe.head_learning_rate},
            ],
            weight_decay=recipe.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps * recipe.epochs)
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        curve = []
        for epoch in range(recipe.epochs):
            _set_training(member)
            losses = []
            order = rng.choice(train_rows, size=len(train_rows), p=chance)
            for step, rows in enumerate(np.array_split(order, steps)):
                maps = cache.take(rows, rng.integers(len(cache.views), size=len(rows))).to(device)
                wanted = torch.from_numpy(labels[rows]).long().to(device)
                with torch.autocast(device, dtype=torch.bfloat16):
                    loss = criterion(member(maps), wanted)
                _stop_unless_finite(loss, epoch, step)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item() * len(rows))
            logits = _score(member, cache, valid_rows, recipe.batch_size, device)
            margins = np.where(labels[valid_rows] == 1, logits, -logits)
            measured = Epoch(
                epoch=epoch,
                train_loss=sum(losses) / len(order),
                valid_loss=float(np.logaddexp(0.0, -margins).mean()),
                valid_auc=auc(labels[valid_rows], logits),
            )
            curve.append(measured)
            on_epoch(measured)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in member.state_dict().items()}
        return FoldResult(state=state, curve=tuple(curve), valid_logits=logits)


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
            f"the loss is {loss.item()} at epoch {epoch}, step {step} (from 0): the weights are lost; take a recipe "
            "with smaller learning rates, or delete artifacts/cache if the cached maps may be damaged"
        )


def _set_training(member: Member) -> None:
    """Dropout on; batch normalisation keeps the pretraining's statistics, which small batches would only blur."""
    member.train()
    for module in member.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _sampling_weights(labels: np.ndarray) -> np.ndarray:
    """Probability of drawing each image so that both classes come equally often: float (n,), summing to 1."""
    weights = 1.0 / np.bincount(labels)[labels]
    return np.asarray(weights / weights.sum())


@torch.inference_mode()
def _score(member: Member, cache: TrunkCache, rows: np.ndarray, batch_size: int, device: str) -> np.ndarray:
    """Logit of pneumonia against normal for `rows` as they are (view 0): float32 (m,)."""
    member.eval()
    made = []
    for batch in np.array_split(rows, max(1, len(rows) // (2 * batch_size))):
        maps = cache.take(batch, np.zeros(len(batch), dtype=int)).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = member(maps).float()
        made.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
    return np.concatenate(made)
