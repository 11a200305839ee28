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
from jobs.trainings.members import KEPT, stored_member, train_member

if TYPE_CHECKING:
    from torch import Tensor

    from engine.classification.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training import Epoch, Views


@dataclass(frozen=True)
class Deal:
    """One random assignment of patients to folds: dealt is int (n,), the fold in which each image is held out."""

    number: int
    backbone: str
    dealt: np.ndarray
    seed: int

    def member_file(self, folder: Path, fold: int) -> Path:
        """The file that stores the member with `fold` held out until the run ends."""
        return folder / f"deal{self.number}-fold{fold}.safetensors"


def train(run: ActiveRun, training_set: TrainingSet, recipe: "Recipe", *, seed: int, processes: Processes) -> None:
    """Cache the views, train the members that are not yet trained, calibrate, store."""
    from engine.classification.backbones import load_backbone

    deals = [
        Deal(
            repeat,
            recipe.backbones[repeat % len(recipe.backbones)],
            training_set.dealt(recipe.folds, seed=seed + repeat),
            seed + repeat,
        )
        for repeat in range(recipe.repeats)
    ]
    for name in dict.fromkeys(deal.backbone for deal in deals):
        backbone = load_backbone(name, models=run.context.models, cut=recipe.cut).to(processes.device)
        views = views_of(run, training_set, recipe, backbone, seed=seed, processes=processes)
        own_members = [
            (deal, fold)
            for deal in deals
            for fold in range(recipe.folds)
            if deal.backbone == name and processes.owns(deal.number * recipe.folds + fold)
        ]
        with run.progress(f"training {name}", len(own_members) * recipe.epochs) as advance:
            for deal, fold in own_members:
                train_deal_fold(
                    run,
                    training_set,
                    recipe,
                    backbone,
                    views,
                    deal=deal,
                    fold=fold,
                    device=processes.device,
                    advance=advance,
                )
    processes.barrier()
    if processes.is_leader:
        store(run, training_set, recipe, deals, seed=seed)


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
    from engine.classification import trunk_cache
    from engine.classification.descriptions import TrunkMaps
    from engine.classification.fresh_views import FreshViews

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


def train_deal_fold(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    backbone: "Backbone",
    views: "Views",
    *,
    deal: Deal,
    fold: int,
    device: str,
    advance: Advance,
) -> None:
    """Train the member with this fold held out, storing each epoch's metrics."""
    held_out = deal.dealt == fold

    def on_epoch(epoch: "Epoch") -> None:
        store_epoch(run, deal, fold, epoch, int(held_out.sum()), several=recipe.repeats > 1)
        advance(1, f"deal {deal.number} fold {fold} AUC {epoch.valid_auc:.4f} loss {epoch.train_loss:.3f}")

    if not train_member(
        deal.member_file(run.folder, fold),
        training_set,
        recipe,
        backbone,
        views,
        held_out,
        seed=deal.seed * 1000 + fold,
        device=device,
        on_epoch=on_epoch,
    ):
        advance(recipe.epochs)


def store_epoch(run: ActiveRun, deal: Deal, fold: int, epoch: "Epoch", held_out: int, *, several: bool) -> None:
    """Store one point of each of the fold's curves."""
    measured = asdict(epoch)
    step = measured.pop("epoch")
    where = f"deal{deal.number}-fold{fold}" if several else f"fold{fold}"
    run.metrics(MetricValue(name, where, value, n=held_out, step=step) for name, value in measured.items())


def stored_members(
    run: ActiveRun, recipe: "Recipe", deals: Sequence[Deal], which: str
) -> "tuple[np.ndarray, dict[str, list[dict[str, Tensor]]]]":
    """Out-of-fold logits (deals, n), and the weights of each backbone's members, after their last or best epoch."""
    logits = np.full((len(deals), len(deals[0].dealt)), np.nan)
    members: dict[str, list[dict[str, Tensor]]] = {deal.backbone: [] for deal in deals}
    for deal in deals:
        for fold in range(recipe.folds):
            member = stored_member(deal.member_file(run.folder, fold), which)
            logits[deal.number, deal.dealt == fold] = member.logits
            members[deal.backbone].append(member.state)
    return logits, members


def store(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    deals: Sequence[Deal],
    *,
    seed: int,
) -> None:
    """Calibrate on the out-of-fold logits, then store both checkpoints, and the kept one's predictions and summary."""
    from engine.classification.backbones import load_backbone
    from engine.classification.inference import save_checkpoint
    from engine.metrics.classification import auc

    backbones = {
        name: load_backbone(name, models=run.context.models, cut=recipe.cut)
        for name in dict.fromkeys(deal.backbone for deal in deals)
    }
    for which in sorted(KEPT, key=lambda which: which == recipe.keep):
        logits, members = stored_members(run, recipe, deals, which)
        mean = logits.mean(0)
        calibration = calibrate(
            training_set.labels,
            mean,
            mean,
            operating_point=recipe.operating_point,
            chosen_on=f"out-of-fold predictions, each the mean of {len(deals)} member{'s' * (len(deals) > 1)} "
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
    summary["oof_auc_of_deals"] = [auc(training_set.labels, row) for row in logits]
    store_predictions(run, training_set, deals[0].dealt, mean, summary)
    for deal in deals:
        for fold in range(recipe.folds):
            deal.member_file(run.folder, fold).unlink(missing_ok=True)
