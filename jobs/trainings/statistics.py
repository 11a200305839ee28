"""Fits a linear classifier on feature map statistics of frozen backbones, with folds redrawn several times."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine import devices
from jobs.run import ActiveRun
from jobs.trainings.common import (
    TrainingSet,
    calibrate,
    provenance_of,
    store_fold,
    store_out_of_fold_logits,
    store_predictions,
    summary_of,
)

if TYPE_CHECKING:
    from engine.classification.networks.backbones import Backbone
    from engine.classification.networks.statistics import Linear
    from engine.classification.recipes import StatisticsRecipe


def train(run: ActiveRun, training_set: TrainingSet, recipe: "StatisticsRecipe", *, seed: int) -> None:
    """Describe every view by every backbone, fit each repeat's folds, average, calibrate, store."""
    from engine.classification.classifiers.linear import save_checkpoint
    from engine.classification.networks.backbones import load_backbone
    from engine.classification.training import linear
    from engine.classification.views.kinds import FILMS
    from engine.metrics.classification import auc

    labels = training_set.labels
    repeats = [training_set.fold_of(recipe.folds, seed=seed + number) for number in range(recipe.repeats)]
    backbones = [load_backbone(name, models=run.context.models) for name in recipe.backbones]
    described = described_views(run, training_set, recipe, backbones, seed=seed, device=devices.available())
    models, logits = fitted(run, training_set, recipe, repeats, described)
    plain = logits[:, :FILMS].mean((0, 1))
    calibration = calibrate(
        labels,
        plain,
        logits.mean(0),
        operating_point="youden",
        chosen_on="out-of-fold predictions, mean over repeats, backbones and mirror images; recall .97 on all views",
    )
    folder = run.folder / "checkpoint"
    revision = save_checkpoint(
        folder,
        backbones,
        [linear.average(member) for member in models],
        [views[0] for views in described],
        recipe,
        calibration=calibration,
        provenance=provenance_of(run, training_set, seed=seed),
    )
    store_out_of_fold_logits(run, logits)
    run.artifact("checkpoint", folder)
    summary = summary_of(training_set, recipe.name, recipe.backbones, plain, calibration, revision) | {
        "oof_auc_of_repeats": [auc(labels, repeat[:FILMS].mean(0)) for repeat in logits],
        "oof_auc_varied": [auc(labels, view) for view in logits.mean(0)[FILMS:]],
    }
    store_predictions(run, training_set, repeats[0], plain, summary)


def fitted(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "StatisticsRecipe",
    repeats: Sequence[np.ndarray],
    described: Sequence[tuple[np.ndarray, ...]],
) -> "tuple[list[list[Linear]], np.ndarray]":
    """The models of each backbone, one per fold of each repeat, and the out-of-fold logits (repeats, views, n),
    averaged over backbones: an image's logits come from folds that did not see its patient.

    repeats: the fold in which each image is held out, int (n,) each. described: see `described_views`.
    """
    from engine.classification.training import linear
    from engine.classification.views.kinds import FILMS

    labels = training_set.labels
    logits = np.zeros((recipe.repeats, recipe.views, len(labels)))
    models: list[list[Linear]] = [[] for _ in described]
    with run.progress("fitting folds", recipe.repeats * recipe.folds * len(described)) as advance:
        for repeat, fold_of in enumerate(repeats):
            for fold in range(recipe.folds):
                held_out = fold_of == fold
                for member, views in zip(models, described, strict=True):
                    training = [view[~held_out] for view in views]
                    counts = (FILMS, recipe.views)
                    fits = [linear.fit(training[:n], labels[~held_out], penalty=recipe.penalty) for n in counts]
                    member.append(linear.average(fits))
                    for number, view in enumerate(views):
                        logits[repeat, number, held_out] += member[-1](view[held_out]) / len(described)
                    advance(1)
                store_fold(run, repeat, fold, labels[held_out], logits[repeat][:FILMS, held_out].mean(0))
    return models, logits


def described_views(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "StatisticsRecipe",
    backbones: "Sequence[Backbone]",
    *,
    seed: int,
    device: str,
) -> list[tuple[np.ndarray, ...]]:
    """The statistics of every image for each backbone and view, float16 (n, d), memory-mapped."""
    from engine.classification.views import trunk_cache
    from engine.classification.views.descriptions import MapStatistics

    source = training_set.source("varied", seed=seed)
    folder = run.context.artifacts / "cache" / "trunk"
    found = []
    with run.progress("describing views", len(backbones) * recipe.views * len(training_set.files)) as advance:
        for backbone in backbones:
            statistics = MapStatistics(backbone, device=device)
            cache = trunk_cache.build(folder, source, statistics, views=range(recipe.views), advance=advance)
            found.append(cache.views)
    return found
