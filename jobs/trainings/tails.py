"""Trains the last stages and a head of each backbone on its frozen trunk's feature maps: one member per fold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db.writes import MetricValue
from jobs.processes import Processes
from jobs.run import ActiveRun, Advance
from jobs.trainings.common import (
    TrainingSet,
    calibrate,
    provenance_of,
    store_out_of_fold_logits,
    store_predictions,
    summary_of,
)
from jobs.trainings.members import KEPT, Setup, stored_member, train_member

if TYPE_CHECKING:
    from torch import Tensor

    from engine.classification.networks.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training.fold import Epoch, Views


@dataclass(frozen=True)
class Repeat:
    """One repeat of the cross-validation: fold_of is int (n,), the fold in which each image is held out."""

    number: int
    backbone: str
    fold_of: np.ndarray
    seed: int

    def member_file(self, folder: Path, fold: int) -> Path:
        """The file that stores the member with `fold` held out until the run ends."""
        return folder / f"repeat{self.number}-fold{fold}.safetensors"


def train(run: ActiveRun, training_set: TrainingSet, recipe: "Recipe", *, seed: int, processes: Processes) -> None:
    """Cache the views, train the members that are not yet trained, calibrate, store."""
    from engine.classification.networks.backbones import load_backbone

    repeats = [
        Repeat(
            number,
            recipe.backbones[number % len(recipe.backbones)],
            training_set.fold_of(recipe.folds, seed=seed + number),
            seed + number,
        )
        for number in range(recipe.repeats)
    ]
    for name in dict.fromkeys(repeat.backbone for repeat in repeats):
        backbone = load_backbone(name, models=run.context.models, cut=recipe.cut).to(processes.device)
        views = views_of(run, training_set, recipe, backbone, seed=seed, processes=processes)
        setup = Setup(training_set, recipe, backbone, views, processes.device)
        own_members = [
            (repeat, fold)
            for repeat in repeats
            for fold in range(recipe.folds)
            if repeat.backbone == name and processes.owns(repeat.number * recipe.folds + fold)
        ]
        with run.progress(f"training {name}", len(own_members) * recipe.epochs) as advance:
            for repeat, fold in own_members:
                train_repeat_fold(run, setup, repeat, fold, advance=advance)
    processes.barrier()
    if processes.is_leader:
        store(run, training_set, recipe, repeats, seed=seed)


def views_of(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    backbone: "Backbone",
    *,
    seed: int,
    processes: Processes,
) -> "Views":
    """The trunk's feature maps of every image in every view: cached, or computed each time if the recipe says so."""
    from engine.classification.views import trunk_cache
    from engine.classification.views.descriptions import TrunkMaps
    from engine.classification.views.fresh import FreshViews

    source = training_set.source(recipe.variation, seed=seed)
    if not recipe.views:
        return FreshViews(
            backbone, source.read_pixels, recipe.variation, recipe.size, recipe.hide_corners, processes.device
        )

    maps = TrunkMaps(backbone, size=recipe.size, hide_corners=recipe.hide_corners, device=processes.device)

    def build(views: Sequence[int]) -> "trunk_cache.TrunkCache":
        images = len(views) * len(training_set.files)
        with run.progress(f"caching views of {backbone.spec.name}", images) as advance:
            folder = run.context.artifacts / "cache" / "trunk"
            return trunk_cache.build(folder, source, maps, views=views, advance=advance)

    every = range(recipe.views)
    if processes.count > 1:
        build([view for view in every if processes.owns(view)])
        processes.barrier()
    return build(every)


def train_repeat_fold(run: ActiveRun, setup: Setup, repeat: Repeat, fold: int, *, advance: Advance) -> None:
    """Train the member with this fold held out, storing each epoch's metrics."""
    held_out = repeat.fold_of == fold

    def on_epoch(epoch: "Epoch") -> None:
        store_epoch(run, repeat, fold, epoch, int(held_out.sum()), several=setup.recipe.repeats > 1)
        advance(1, f"repeat {repeat.number} fold {fold} AUC {epoch.valid_auc:.4f} loss {epoch.train_loss:.3f}")

    if not train_member(
        repeat.member_file(run.folder, fold), setup, held_out, seed=repeat.seed * 1000 + fold, on_epoch=on_epoch
    ):
        advance(setup.recipe.epochs)


def store_epoch(run: ActiveRun, repeat: Repeat, fold: int, epoch: "Epoch", held_out: int, *, several: bool) -> None:
    """Store one point of each of the fold's curves."""
    measured = asdict(epoch)
    step = measured.pop("epoch")
    where = f"repeat{repeat.number}-fold{fold}" if several else f"fold{fold}"
    run.metrics(MetricValue(name, where, value, n=held_out, step=step) for name, value in measured.items())


def stored_members(
    run: ActiveRun, recipe: "Recipe", repeats: Sequence[Repeat], which: str
) -> "tuple[np.ndarray, dict[str, list[dict[str, Tensor]]]]":
    """Out-of-fold logits (repeats, n), and the weights of each backbone's members, after their last or best epoch."""
    logits = np.full((len(repeats), len(repeats[0].fold_of)), np.nan)
    members: dict[str, list[dict[str, Tensor]]] = {repeat.backbone: [] for repeat in repeats}
    for repeat in repeats:
        for fold in range(recipe.folds):
            member = stored_member(repeat.member_file(run.folder, fold), which)
            logits[repeat.number, repeat.fold_of == fold] = member.logits
            members[repeat.backbone].append(member.state)
    return logits, members


def store(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    repeats: Sequence[Repeat],
    *,
    seed: int,
) -> None:
    """Calibrate on the out-of-fold logits, then store both checkpoints, and the kept one's predictions and summary."""
    from engine.classification.classifiers.convolutional import save_checkpoint
    from engine.classification.networks.backbones import load_backbone
    from engine.metrics.classification import auc

    backbones = {
        name: load_backbone(name, models=run.context.models, cut=recipe.cut)
        for name in dict.fromkeys(repeat.backbone for repeat in repeats)
    }
    for which in sorted(KEPT, key=lambda which: which == recipe.keep):
        logits, members = stored_members(run, recipe, repeats, which)
        mean = logits.mean(0)
        calibration = calibrate(
            training_set.labels,
            mean,
            mean,
            operating_point=recipe.operating_point,
            chosen_on=f"out-of-fold predictions, each the mean of {len(repeats)} member{'s' * (len(repeats) > 1)} "
            f"at the {which} epoch{', chosen on the same images' * (which == 'best')}",
        )
        folder = run.folder / f"checkpoint-{which}"
        revision = save_checkpoint(
            folder,
            [(backbone, members[name]) for name, backbone in backbones.items()],
            recipe,
            calibration=calibration,
            provenance=provenance_of(run, training_set, seed=seed),
        )
        run.artifact("checkpoint" if which == recipe.keep else f"checkpoint_{which}", folder)
    store_out_of_fold_logits(run, logits)
    summary = summary_of(training_set, recipe.name, list(backbones), mean, calibration, revision)
    summary["oof_auc_of_repeats"] = [auc(training_set.labels, row) for row in logits]
    store_predictions(run, training_set, repeats[0].fold_of, mean, summary)
    for repeat in repeats:
        for fold in range(recipe.folds):
            run.discard(repeat.member_file(run.folder, fold))
