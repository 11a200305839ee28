"""What a run's page shows of its results: outcomes that lead to cases, curves, what an audit asked and found."""

import io
from typing import Any

import pyarrow as arrow
import pytest
from sqlalchemy import delete, select, update
from streamlit.testing.v1 import AppTest

from db import session as database
from db.models import Image, Metric, Prediction, Run
from tests.dashboard.opened import Workbench, asked, audited, linked, open_page, predicted_since, said
from tests.sample import THRESHOLD


def run_of(workbench: Workbench, kind: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Run.id).where(Run.kind == kind).order_by(Run.id)).first() or 0


def drawn(at: AppTest) -> list[set[str]]:
    """The names of the columns behind each chart."""
    charts = at.get("vega_lite_chart")
    tables = [[arrow.ipc.open_stream(io.BytesIO(one.data.data)) for one in chart.proto.datasets] for chart in charts]
    return [{name for table in chart for name in table.schema.names} for chart in tables]


def expected(workbench: Workbench, run: int) -> dict[str, int]:
    query = select(Image.label, Prediction.probability).join(Prediction, Prediction.image_id == Image.id)
    with database.transaction(workbench.engine) as db:
        rows = db.execute(query.where(Prediction.run_id == run)).all()
    called = [(label, probability >= THRESHOLD) for label, probability in rows]
    sides = {"TN": (0, False), "FP": (0, True), "FN": (1, False), "TP": (1, True)}
    return {name: called.count(side) for name, side in sides.items()}


@pytest.mark.parametrize("kind", ["predict", "train"])
def test_outcomes_are_counted_and_lead_to_their_cases(workbench: Workbench, kind: str) -> None:
    run = run_of(workbench, kind)
    at = open_page("runs", run=run)
    normal, ill, *causes, both = linked(at, "confusion")["rows"]
    counts = expected(workbench, run)
    assert sum(counts.values()) == {"predict": 20, "train": 40}[kind]
    cells: dict[str, Any] = dict(zip(("TN", "FP", "FN", "TP"), (*normal[1:3], *ill[1:3]), strict=True))
    assert {name: int(cell["text"]) for name, cell in cells.items()} == counts
    right = (counts["TN"] + counts["TP"]) / sum(counts.values())
    assert both[4]["text"].startswith(f"{100 * right:.1f} %")
    for outcome, cell in cells.items():
        page, parameters = asked(cell["href"])
        assert page == "cases" and int(parameters["run"]) == run
        if counts[outcome]:
            cards = linked(open_page(page, **parameters), "cases")["cards"]
            assert len(cards) == counts[outcome]
    assert [row[0]["text"] for row in causes] == ["\u2013 bacterial", "\u2013 viral"]
    for at_side, whole in ((1, counts["FN"]), (2, counts["TP"])):
        assert sum(int(row[at_side]["text"]) for row in causes) == whole
        page, parameters = asked(causes[0][at_side]["href"])
        assert parameters["cause"] == "bacterial"
    rare = linked(at, "prevalences")["rows"]
    assert [row[0]["text"] for row in rare][:2] == ["1.0 %", "2.0 %"] and any(
        "(these images)" in row[0]["text"] for row in rare
    )
    own = next(row for row in rare if "(these images)" in row[0]["text"])
    assert own[1]["text"].startswith(f"{100 * counts['TP'] / (counts['TP'] + counts['FP']):.1f} %")
    assert len(drawn(at)) == 3 + (kind == "train")
    assert not at.exception and not at.error


@pytest.mark.parametrize(("kind", "split", "threshold"), [("predict", "test", THRESHOLD), ("train", "oof", 0.25)])
def test_subgroups_follow_as_the_run_was_measured_and_lead_to_its_films(
    workbench: Workbench, kind: str, split: str, threshold: float
) -> None:
    runs = {name: run_of(workbench, name) for name in ("train", "predict", "evaluate")}
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, runs["evaluate"]).config = {f"{name}_run": runs[name] for name in ("train", "predict")}
        common = {"run_id": runs["evaluate"], "split": split, "n": 20, "low": 0.4, "high": 0.6}
        db.execute(delete(Metric).where(Metric.name == "threshold"))
        db.add(Metric(name="threshold", slice="all", split=split, run_id=runs["evaluate"], value=threshold))
    with pytest.raises(AssertionError, match="no component 'subgroups'"):
        linked(open_page("runs", run=runs[kind]), "subgroups")
    with database.transaction(workbench.engine) as db:
        db.add_all(Metric(name="recall", slice=f"sex: {sex}", value=0.5, **common) for sex in ("female", "male"))
    later = predicted_since(workbench, runs["predict"])
    at = open_page("runs", run=runs[kind])
    keys = [one.proto.id.rpartition("-")[2] for one in at.get("bidi_component")]
    assert keys.index("confusion") < keys.index("subgroups")
    female, male = linked(at, "subgroups")["rows"]
    assert [one["text"] for one in female[:3]] == ["sex: female", "50.0 % (40.0 to 60.0 %)", "20"]
    films = {"run": str(runs[kind]), "outcome": "FN", "film.sex": "male"}
    films |= {"split": "test"} if kind == "predict" else {"threshold": "0.25"}
    assert asked(male[1]["href"]) == ("cases", films)
    told = next(one.value for one in at.caption if "Each difference compares" in one.value)
    assert f"from evaluation run {runs['evaluate']}:" in told
    assert ("at threshold 25.0 %" in told) == (kind == "train")
    with pytest.raises(AssertionError, match="no component 'subgroups'"):
        linked(open_page("runs", run=later), "subgroups")  # not evaluated


def test_images_that_the_classifier_was_trained_on_are_no_result(workbench: Workbench) -> None:
    train, predict = run_of(workbench, "train"), run_of(workbench, "predict")
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, predict).summary = {"threshold": THRESHOLD, "train_run": train}
        db.execute(update(Image).values(split=None))
        seen = db.scalars(select(Prediction).where(Prediction.run_id == train)).all()
        db.add_all(Prediction(run_id=predict, image_id=one.image_id, logit=5.0, probability=0.99) for one in seen)
    at = open_page("runs", run=predict)
    assert "20 distinct images not used to train its classifier" in said(at)


def test_of_one_label_there_is_no_curve(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Image).values(label=1))
    at = open_page("runs", run=run_of(workbench, "predict"))
    assert linked(at, "confusion")["rows"][0][4]["text"] == "unknown"
    assert len(drawn(at)) == 1 and not at.error


def test_an_unfinished_run_has_no_results(workbench: Workbench) -> None:
    run = run_of(workbench, "predict")
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, run).status = "interrupted"
    assert "Results" not in [one.value for one in open_page("runs", run=run).header]


def test_an_evaluation_shows_precision_at_k(workbench: Workbench) -> None:
    at = open_page("runs", run=run_of(workbench, "evaluate"))
    assert {"embedder", "k", "value"} <= drawn(at)[0]


def test_an_audit_shows_what_it_asked_and_found(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.get_one(Run, audited(db, members=[]).run_id)
        run.summary = {"verdicts": {"sanity": "passed: <b>no</b>", "shortcuts": "classes separated by image size"}}
        probe = {"run_id": run.id, "name": "probe_auc", "value": 0.8, "low": 0.7, "high": 0.9, "n": 20}
        db.add(Metric(slice="image size", split="test", **probe))
        run.summary["stresses"] = {"noisy": "Gaussian noise"}
        under = {"run_id": run.id, "split": "test", "n": 20}
        for where in ("unaltered", "noisy"):
            db.add(Metric(**under, name="stress_auc", slice=where, value=0.9, low=0.8, high=0.95))
        db.add(Metric(**under, name="stress_auc_difference", slice="noisy", value=-0.05, low=-0.09, high=-0.01))
        db.add(Metric(**under, name="stress_changed", slice="noisy", value=0.1, low=0.02, high=0.2))
        for group in ("called_pneumonia", "misses"):
            for step in range(21):
                point = {"run_id": run.id, "split": "test", "slice": group, "step": step, "value": 0.5, "n": 4}
                db.add(Metric(name="deletion_heatmap", **point))
        number = run.id
    at = open_page("runs", run=number)
    assert [[cell["text"] for cell in row] for row in linked(at, "verdicts")["rows"]] == [
        ["Sanity", "passed: <b>no</b>"],
        ["Shortcuts", "classes separated by image size"],
    ]
    probes, stresses, *curves = drawn(at)
    assert {"probe", "where", "value"} <= probes and all({"mode", "order", "share"} <= one for one in curves)
    assert {"stress", "name", "value"} <= stresses
    plain, noisy = linked(at, "stresses")["rows"]
    assert [cell["text"] for cell in plain] == ["Unaltered", "", "0.900", "", "", ""]
    texts = ["Noisy", "Gaussian noise", "0.900, -0.050 (-0.090 to -0.010)", "", "", "2 of 20 (10.0 %)"]
    assert [cell["text"] for cell in noisy] == texts
    assert (noisy[2]["tone"], noisy[2]["help"]) == ("strong", "n = 20")
    assert asked(noisy[-1]["href"]) == ("cases", {"stress": "noisy", "run": str(run_of(workbench, "predict"))})
    (choice,) = [one for one in at.button_group if one.label == "Deletion and insertion"]
    assert choice.options == ["Called pneumonia", "False negatives"]
    assert at.query_params == {"run": str(number)}
