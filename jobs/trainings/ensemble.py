"""Averages trained classifiers: their out-of-fold logits, with their checkpoints combined into one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from db import session
from db.models import Run
from db.queries import runs
from jobs.checkpoints import checkpoint_of
from jobs.run import ActiveRun
from jobs.trainings.common import (
    TrainingSet,
    calibrate,
    provenance_of,
    store_fold,
    store_predictions,
    summary_of,
)

if TYPE_CHECKING:
    from engine.classification.recipes import EnsembleRecipe


def train(
    run: ActiveRun, training_set: TrainingSet, recipe: "EnsembleRecipe", parts: Mapping[str, int], *, seed: int
) -> None:
    """Average, calibrate, store. parts: recipe -> its finished train run.

    An image's out-of-fold logit is the mean of the parts' logits, each by members that never saw its patient; its fold
    is the first part's. Raises JobError if a part's checkpoint is missing or has changed.
    """
    from engine.classification.classifiers.ensemble import save_checkpoint

    with session.reading(run.context.engine) as db:
        predicted = [runs.predictions(db, number) for number in parts.values()]
        trained = {name: db.get_one(Run, number) for name, number in parts.items()}
    backbones = [str((part.summary or {})["backbone"]) for part in trained.values()]
    folders = {name: checkpoint_of(run.context, part) for name, part in trained.items()}
    images = [image.id for image in training_set.images]
    logits = np.mean([[part[image].logit for image in images] for part in predicted], axis=0)
    fold_of = np.array([predicted[0][image].fold for image in images])
    for fold in np.unique(fold_of).tolist():
        store_fold(run, 0, fold, training_set.labels[fold_of == fold], logits[fold_of == fold])
    calibration = calibrate(
        training_set.labels,
        logits,
        logits,
        operating_point=recipe.operating_point,
        chosen_on=f"out-of-fold predictions, each the mean of {' and '.join(parts)}",
    )
    folder = run.folder / "checkpoint"
    provenance = provenance_of(run, training_set, seed=seed) | {"parts": dict(parts)}
    revision = save_checkpoint(folder, folders, recipe, calibration=calibration, provenance=provenance)
    run.artifact("checkpoint", folder)
    summary = summary_of(training_set, recipe.name, backbones, logits, calibration, revision)
    store_predictions(run, training_set, fold_of, logits, summary)
