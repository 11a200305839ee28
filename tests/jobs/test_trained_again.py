"""Runs built on a train run that was retrained in place, to different weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from db import session
from db.models import Run
from db.queries import runs
from engine.classification.classifiers.inference import Inference
from jobs import audit, evaluate, predict
from jobs.command import Context
from jobs.run import ActiveRun
from tests.finished_runs import World, make_world

FEW = ["--replicates", "100"]


class Flat:
    """A classifier with the same output for every image."""

    input_size = 64
    temperature = 1.0
    recipe = SimpleNamespace(name="flat")

    def __init__(self, folder: Path, **_options: object) -> None:
        self.revision = json.loads((folder / "model.json").read_text())["sha256"]
        self.calibration = {"threshold": 0.5, "temperature": 1.0}

    def run(self, pixels: np.ndarray, *, heatmaps: bool) -> Inference:
        count = len(pixels)
        flat = np.full(count, 1.0 if self.revision == "a" * 64 else -1.0)
        return Inference(flat, 1 / (1 + np.exp(-flat)), np.ones((count, 4)), np.ones((count, 7, 7)))


@pytest.fixture
def world(
    context: Context, job_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[World, ActiveRun]:
    """A dataset and its train run, whose weights are called "aaa..."."""
    monkeypatch.setattr("engine.classification.classifiers.checkpoints.load_classifier", Flat)
    made = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    train = made.add_train()
    trained(made, train, "a" * 64)
    return made, train


def trained(world: World, train: ActiveRun, weights: str) -> None:
    """Store a checkpoint as the train run does."""
    folder = train.folder / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"sha256": weights}))
    train.artifact("checkpoint", folder)
    with session.transaction(world.context.engine) as db:
        row = db.get_one(Run, train.id)
        row.summary = {**(row.summary or {}), "checkpoint_sha256": weights}


def latest(world: World, kind: str) -> Run:
    with session.reading(world.context.engine) as db:
        found = runs.current(db, kind, world.dataset.id)
    assert found is not None
    return found


def test_predictions_are_made_anew_with_other_weights_and_with_the_same_ones_not(
    world: tuple[World, ActiveRun],
) -> None:
    made, train = world
    numbers = []
    for weights in ("a", "a", "b", "b", "a"):
        trained(made, train, weights * 64)
        assert predict.main(made.options) == 0
        found = latest(made, "predict")
        assert found.checkpoint_sha256 == weights * 64
        numbers.append(found.id)
    first, same, second, still, third = numbers
    assert first == same < second == still < third


def test_a_checkpoint_that_is_gone_leaves_predictions_done(world: tuple[World, ActiveRun]) -> None:
    made, train = world
    assert predict.main(made.options) == 0
    done = latest(made, "predict").id
    (train.folder / "checkpoint" / "model.json").unlink()
    assert predict.main(made.options) == 0
    assert latest(made, "predict").id == done


def test_what_was_evaluated_of_other_weights_is_evaluated_anew(world: tuple[World, ActiveRun]) -> None:
    made, train = world
    numbers = []
    for weights in ("a", "a", "b"):
        trained(made, train, weights * 64)
        assert evaluate.main([*made.options, *FEW]) == 0
        numbers.append(latest(made, "evaluate").id)
    assert numbers[0] == numbers[1] < numbers[2]


def test_an_audit_of_predictions_by_other_weights_asks_for_new_ones(
    world: tuple[World, ActiveRun], capsys: pytest.CaptureFixture[str]
) -> None:
    made, train = world
    assert predict.main(made.options) == 0
    done = latest(made, "predict").id
    trained(made, train, "b" * 64)
    assert audit.main([*made.options, *FEW]) == 1
    command = f"python -m jobs predict --dataset {made.dataset.name} --train-run {train.id}"
    assert (
        f"predict run {done} used weights that train run {train.id} no longer has; predict again with: {command}"
        in (capsys.readouterr().err)
    )
