"""compare on rows that the tests store: differences, tests, changed predictions, runs that cannot be compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from db import session
from db.models import Prediction, Run
from db.queries import comparison
from jobs import compare
from jobs.command import Context
from tests.finished_runs import World, make_world

FEW = ["--replicates", "100"]


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def test_two_predict_runs_are_compared_on_the_images_both_scored(
    world: World, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = world.add_predict(), world.add_predict()
    with session.transaction(world.context.engine) as db:
        dropped = db.query(Prediction).filter_by(run_id=second.id).first()
        db.delete(dropped)
    with session.transaction(world.context.engine) as db:
        rows = comparison.paired(db, db.get_one(Run, first.id), db.get_one(Run, second.id))
    assert compare.main([str(first.id), str(second.id), "--json", *FEW, *job_options]) == 0
    told = json.loads(capsys.readouterr().out)
    labels, one, other = (
        np.array(column) for column in zip(*((r.label, r.first, r.second) for r in rows), strict=True)
    )
    assert told["images"] == len(rows) == 49
    assert told["auc"]["first"] == pytest.approx(roc_auc_score(labels, one))
    assert told["differences"]["auc"]["value"] == pytest.approx(told["auc"]["difference"])
    for scores, area in zip((one, other), told["values"]["aurc"], strict=True):
        apart = np.abs(np.log(scores / (1 - scores) / (0.45 / 0.55)))
        wrong = ((scores >= 0.45) != (labels == 1))[np.argsort(-apart)]
        assert area == pytest.approx(np.mean(np.cumsum(wrong) / np.arange(1, len(wrong) + 1)))
    apart, (area, beside) = told["differences"]["aurc"], told["values"]["aurc"]
    assert apart["value"] == pytest.approx(area - beside) and apart["low"] <= apart["value"] <= apart["high"]
    sides = (one >= 0.45) != (other >= 0.45)
    assert {row["image"] for row in told["changed"]} == {r.image_id for r, s in zip(rows, sides, strict=True) if s}
    for row in told["changed"]:
        right = (row["first"] >= 0.45) == (row["label"] == 1)
        assert row["right"] == (first.id if right else second.id)
    assert told["verdicts"]["first_only"] + told["verdicts"]["second_only"] == len(told["changed"])
    assert compare.main([str(first.id), str(second.id), *FEW, *job_options]) == 0
    printed = capsys.readouterr().out
    assert "DeLong's test of the AUCs" in printed
    assert "threshold                   0.4500    0.4500     +0.0000" in printed
    assert "Decide by the AUC" in printed and "assume independent images" in printed
    p = {
        line.split()[0]: float(line.split()[-1]) for line in printed.splitlines() if " to " in line and "(" not in line
    }
    assert {name: told["differences"][name]["p"] for name in p} == pytest.approx(p, abs=6e-4)


def test_json_says_null_of_what_no_number_tells(
    world: World, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = world.add_predict(), world.add_predict()
    with session.transaction(world.context.engine) as db:
        said = {row.image_id: row.probability for row in db.query(Prediction).filter_by(run_id=first.id)}
        for row in db.query(Prediction).filter_by(run_id=second.id):
            row.probability = said[row.image_id]
    assert compare.main([str(first.id), str(second.id), "--json", *FEW, *job_options]) == 0
    verdicts = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["verdicts"]
    assert (verdicts["p_exact"], verdicts["statistic"], verdicts["p_corrected"]) == (1.0, None, None)


def test_the_table_says_unknown_where_a_value_cannot_be_computed(
    world: World, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = world.add_predict(), world.add_predict()
    labels = {image.id: image.label or 0 for image in world.images}
    with session.transaction(world.context.engine) as db:
        for row in db.query(Prediction).filter_by(run_id=first.id):
            row.probability = 0.9 if labels[row.image_id] else 0.1
        for row in db.query(Prediction).filter_by(run_id=second.id):
            row.probability = 0.2 if labels[row.image_id] else 0.3  # no positive prediction: precision is unknown
    assert compare.main([str(first.id), str(second.id), *FEW, *job_options]) == 0
    printed = capsys.readouterr().out
    (precision,) = [line.split() for line in printed.splitlines() if line.startswith("precision ")]
    assert precision == ["precision", "1.0000", "unknown", "unknown", "unknown", "unknown"]
    assert "DeLong's test of the AUCs: difference +1.0000 (+1.0000 to +1.0000), p = unknown" in printed
    assert "nan" not in printed


def test_images_that_one_of_the_classifiers_was_trained_on_are_left_out(world: World) -> None:
    train = world.add_train()
    first, second = world.add_predict(train), world.add_predict()
    world.add_predictions(first, world.of("train"), heatmaps=False)
    world.add_predictions(second, world.of("train"), heatmaps=False)
    with session.transaction(world.context.engine) as db:
        rows = comparison.paired(db, db.get_one(Run, first.id), db.get_one(Run, second.id))
    assert {row.split for row in rows} == {"test"}


def test_a_comparison_begins_and_ends_while_another_job_writes(world: World, job_options: list[str]) -> None:
    first, second = world.add_predict(), world.add_predict()
    with session.transaction(world.context.engine) as db:
        db.get_one(Run, first.id).stage = "not stored yet"
        db.flush()
        assert compare.main([str(first.id), str(second.id), *FEW, *job_options]) == 0


def test_what_cannot_be_compared_is_one_line(
    world: World, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train, predict = world.add_train(), world.add_predict()
    index = world.add_index()
    for pair, said in (
        ((predict.id, predict.id), "is compared with itself"),
        ((predict.id, 99), "there is no run 99; see the Runs page"),
        ((predict.id, train.id), f"run {train.id} a train run"),
        ((predict.id, index.id), f"run {index.id} is a finished embed run"),
    ):
        assert compare.main([*map(str, pair), *job_options]) == 2
        assert said in capsys.readouterr().err
    assert compare.main([str(predict.id), str(train.id), "--replicates", "3", *job_options]) == 2
    capsys.readouterr()
    few = world.finish("predict", summary={"threshold": 0.45})
    world.add_predictions(few, [image for image in world.of("test") if image.label == 0][:3], heatmaps=False)
    assert compare.main([str(predict.id), str(few.id), *FEW, *job_options]) == 1
    said = f"runs {predict.id} and {few.id} have too few labelled images in common, 3: "
    assert said in capsys.readouterr().err
