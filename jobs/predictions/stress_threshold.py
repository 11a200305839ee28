"""A threshold for training images under stress, scored out of fold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session
from db.models import Dataset, Run
from engine.classification.recipes import RECIPES, Recipe
from jobs.command import JobError, UsageError
from jobs.run import ActiveRun
from jobs.trainings.common import TrainingSet

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.classification.classifiers.convolutional import Classifier

STRESS = "stress"
"""Name of this operating point."""
VERSION = 1
"""Increased when the same checkpoint and images give another threshold."""
IMAGES = 400
"""Maximum number of training images of each class, each scored in every way by one member of each repeat."""


def refuse_without_members(trained: Run) -> None:
    """Raises UsageError if the train run's checkpoint does not hold the members of single folds."""
    recipe = trained.config.get("recipe") or {}
    parts = [RECIPES.get(name) for name in recipe.get("parts", ())]
    if not (all(isinstance(part, Recipe) for part in parts) if parts else "cut" in recipe):
        raise UsageError(
            f"recipe '{recipe.get('name')}' keeps no members of single folds, which operating point '{STRESS}' needs; "
            "choose another"
        )


def stress_threshold(run: ActiveRun, trained: Run, folder: Path, classifier: "AnyClassifier") -> dict[str, Any]:
    """The threshold, as entries of a predict run's calibration.

    folder: the classifier's checkpoint. Raises JobError if the training images are no longer those it was trained on.
    """
    from engine.classification.calibration import even_odds, probabilities
    from engine.classification.classifiers.held_out import under_stress
    from engine.classification.stresses import STRESSES
    from engine.imaging.images import read_batch

    with session.reading(run.context.engine) as db:
        training_set = TrainingSet.of(run.context, db.get_one(Dataset, trained.dataset_id))
    parts = _parts(folder, classifier)
    if any(provenance["images"] != training_set.fingerprint for _, provenance in parts):
        raise JobError(
            f"the training images have changed since train run {trained.id}, so none is known to be held out; train "
            "again, or choose another --operating-point"
        )
    rows = _sample(training_set.labels, seed=trained.seed or 0)
    pixels = read_batch([training_set.files[row] for row in rows], size=classifier.input_size)
    logits = []
    images = len(rows) * sum(part.recipe.repeats for part, _ in parts)
    with run.progress("scoring training images under stress", images) as advance:
        for part, provenance in parts:
            seeds = [provenance["seed"] + repeat for repeat in range(part.recipe.repeats)]
            folds = [training_set.fold_of(part.recipe.folds, seed=seed)[rows] for seed in seeds]
            logits.append(under_stress(part, pixels, folds, advance=advance))
    copies = np.mean(logits, axis=0)
    even = even_odds(np.tile(training_set.labels[rows], len(copies)), copies.ravel())
    threshold = float(probabilities(np.array([even]), temperature=classifier.temperature)[0])
    return {
        "threshold": threshold,
        "threshold_stress": threshold,
        "operating_point": STRESS,
        "threshold_chosen_on": f"{len(rows)} training images scored out of fold, unaltered and under each of "
        f"{len(STRESSES)} stress tests",
    }


def _parts(folder: Path, classifier: "AnyClassifier") -> "list[tuple[Classifier, dict[str, Any]]]":
    """The classifier, or the parts of an ensemble, each with the provenance in its model.json."""
    from engine.classification.classifiers.convolutional import Classifier
    from engine.classification.classifiers.ensemble import EnsembleClassifier
    from engine.classification.classifiers.model_json import described

    if isinstance(classifier, EnsembleClassifier):
        placed = {folder / name: part for name, part in zip(described(folder)["parts"], classifier.parts, strict=True)}
    else:
        placed = {folder: classifier}
    return [(part, described(place)["provenance"]) for place, part in placed.items() if isinstance(part, Classifier)]


def _sample(labels: np.ndarray, *, seed: int) -> np.ndarray:
    """At most IMAGES rows of each class, as many of either: int (m,), ascending."""
    most = min(IMAGES, int(np.bincount(labels).min()))
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.choice(np.flatnonzero(labels == one), most, replace=False) for one in (0, 1)]))
