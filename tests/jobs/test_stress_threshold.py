"""The operating point that is chosen on training images under stress, each scored by members that never saw it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sqlalchemy import select

from db import session
from db.models import Image, Run
from db.queries import runs
from engine.classification.classifiers.checkpoints import load_classifier
from engine.classification.classifiers.convolutional import Classifier
from engine.classification.classifiers.ensemble import EnsembleClassifier
from engine.classification.classifiers.held_out import under_stress
from engine.classification.recipes import RECIPES, EnsembleRecipe, Recipe
from engine.classification.stresses import STRESSES
from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_batch
from jobs import ingest, predict, train
from jobs.command import Context
from jobs.predictions import stress_threshold
from jobs.trainings.common import TrainingSet

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # computation only


@pytest.fixture
def trained(
    context: Context, job_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Run]:
    """The finished train runs by recipe: an ensemble and its two parts, of which one has two backbones and repeats."""
    lite0 = RECIPES["lite0"]
    assert isinstance(lite0, Recipe)
    few = replace(lite0, views=2, folds=2, epochs=1, size=64)
    twice = replace(few, name="twice", repeats=2, backbones=("efficientnet_lite0", "efficientnet_lite1"))
    for recipe in (few, twice, EnsembleRecipe(name="both", parts=("lite0", "twice"))):
        monkeypatch.setitem(RECIPES, recipe.name, recipe)
    write_phantoms(tmp_path / "phantoms", seed=1, counts={"train": (16, 24), "val": (2, 2), "test": (6, 6)})
    assert ingest.main([str(tmp_path / "phantoms"), *job_options]) == 0
    assert train.main(["--recipe", "both", *job_options]) == 0
    with session.transaction(context.engine) as db:
        return {run.config["recipe"]["name"]: run for run in db.scalars(select(Run).where(Run.kind == "train"))}


def latest(context: Context) -> Run:
    with session.transaction(context.engine) as db:
        found = db.scalars(select(Run).where(Run.kind == "predict").order_by(Run.id.desc())).first()
    assert found is not None
    return found


def test_the_threshold_has_even_odds_over_all_copies_of_images_that_no_scoring_member_was_trained_on(
    context: Context,
    job_options: list[str],
    trained: dict[str, Run],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    training_set = TrainingSet.of(context, context.dataset(None))
    pixels = read_batch(training_set.files)
    folder = context.artifacts / "runs" / f"{trained['both'].id:04d}-train" / "checkpoint"
    whole = load_classifier(folder)
    assert isinstance(whole, EnsembleClassifier)
    logits = []
    for name, part in zip(("lite0", "twice"), whole.parts, strict=True):
        assert isinstance(part, Classifier)
        folds = [training_set.fold_of(2, seed=repeat) for repeat in range(part.recipe.repeats)]
        logits.append(under_stress(part, pixels, folds))
        with session.transaction(context.engine) as db:
            stored = runs.predictions(db, trained[name].id)
        out_of_fold = [stored[image.id].logit for image in training_set.images]
        assert logits[-1][0] == pytest.approx(out_of_fold, abs=2e-3), "the unaltered images as training scored them"
        assert logits[-1].shape == (1 + len(STRESSES), len(pixels)) and np.isfinite(logits[-1]).all()

    assert predict.main(["--operating-point", "stress", "--train-run", str(trained["both"].id), *job_options]) == 0
    run = latest(context)
    summary = run.summary or {}
    rows = stress_threshold._sample(training_set.labels, seed=0)
    assert np.bincount(training_set.labels[rows]).tolist() == [18, 18]
    copies = np.mean(logits, axis=0)[:, rows].ravel()
    labels = np.tile(training_set.labels[rows], 1 + len(STRESSES))
    fitted = minimize(lambda w: np.logaddexp(0, -(2 * labels - 1) * (w[0] + w[1] * copies)).mean(), [0.0, 1.0])
    even = expit(-fitted.x[0] / fitted.x[1] / whole.temperature)
    assert summary["threshold"] == pytest.approx(even, abs=2e-3)
    assert summary["threshold"] == summary["threshold_stress"] == run.threshold
    assert summary["operating_point"] == "stress" and summary["threshold_chosen_on"].startswith("36 training images")
    capsys.readouterr()
    assert predict.main(["--operating-point", "stress", "--train-run", str(trained["both"].id), *job_options]) == 0
    assert f"already done as run {run.id}" in capsys.readouterr().out
    monkeypatch.setattr(stress_threshold, "IMAGES", 5)
    rows = stress_threshold._sample(training_set.labels, seed=0)
    assert np.bincount(training_set.labels[rows]).tolist() == [5, 5] and len(set(rows)) == 10


def test_a_training_set_that_changed_is_refused(
    context: Context, job_options: list[str], trained: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(context.engine) as db:
        image = db.scalars(select(Image).where(Image.split == "train", Image.label == 1)).first()
        assert image is not None
        image.patient_key = "another-patient"
    capsys.readouterr()
    assert predict.main(["--operating-point", "stress", "--train-run", str(trained["lite0"].id), *job_options]) == 1
    said = capsys.readouterr().err
    assert f"the training images have changed since train run {trained['lite0'].id}" in said
    assert "choose another --operating-point" in said and latest(context).status == "failed"


def test_a_recipe_without_members_is_refused_before_anything_is_stored(
    context: Context,
    job_options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_phantoms(tmp_path / "phantoms", seed=1, counts={"train": (12, 12), "val": (2, 2), "test": (4, 4)})
    assert ingest.main([str(tmp_path / "phantoms"), *job_options]) == 0
    assert train.main(["--recipe", "quick", "--views", "2", "--folds", "2", "--repeats", "1", *job_options]) == 0
    capsys.readouterr()
    assert predict.main(["--operating-point", "stress", *job_options]) == 2
    said = capsys.readouterr().err
    assert said.count("error:") == 1 and "recipe 'quick' keeps no members of single folds" in said
    with session.transaction(context.engine) as db:
        assert db.scalars(select(Run).where(Run.kind == "predict")).first() is None
        train_run = db.scalars(select(Run).where(Run.kind == "train")).one()
        train_run.config = {"recipe": {"name": "mixed", "parts": ["lite0", "quick"]}}
    assert predict.main(["--operating-point", "stress", *job_options]) == 2
    assert "recipe 'mixed' keeps no members" in capsys.readouterr().err
