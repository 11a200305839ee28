"""The overview speaks of one classifier: the one that was evaluated, with its failures and the way to its films."""

import pytest
from opened import Workbench, asked, cell, linked, open_page, predicted_since, said
from sqlalchemy import select

from db import session as database
from db.models import Run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def run_of(workbench: Workbench, kind: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Run.id).where(Run.kind == kind).order_by(Run.id)).first() or 0


def evaluated(workbench: Workbench) -> tuple[int, int, int]:
    """The train, predict and evaluation runs, of which the last tells that it read the others."""
    train, predict, evaluation = (run_of(workbench, kind) for kind in ("train", "predict", "evaluate"))
    with database.transaction(workbench.engine) as db:
        run = db.get_one(Run, predict)
        run.summary = {**(run.summary or {}), "train_run": train, "recipe": "probe"}
        db.get_one(Run, evaluation).config = {"train_run": train, "predict_run": predict}
    return train, predict, evaluation


def test_one_line_names_the_classifier_and_leads_to_its_runs(workbench: Workbench) -> None:
    train, predict, evaluation = evaluated(workbench)
    name, *links = linked(open_page("overview"), "classifier")["steps"]
    assert name["text"] == "Classifier probe, pneumonia from 60.0 %:" and not name["href"]
    assert [link["text"].split(",")[0] for link in links] == [
        *(f"predict run {predict}", f"train run {train}", f"evaluation run {evaluation}")
    ]
    assert [asked(link["href"]) for link in links] == [
        ("runs", {"run": str(number)}) for number in (predict, train, evaluation)
    ]


def test_failures_are_those_of_the_evaluated_run_also_where_another_predicted_since(workbench: Workbench) -> None:
    _, predict, _ = evaluated(workbench)
    before = open_page("overview")
    assert "is in force" not in said(before)
    later = predicted_since(workbench, predict)
    after = open_page("overview")
    for failure in ("Pneumonia that the model missed", "False alarms"):
        numbers = [
            next(row[1]["text"] for row in linked(at, "attention")["rows"] if row[0]["text"].startswith(failure))
            for at in (before, after)
        ]
        assert numbers[0] == numbers[1], failure
    assert linked(after, "classifier")["steps"][:2] == linked(before, "classifier")["steps"][:2]
    told = said(after).replace("\\", "")
    assert f"Predict run {later} is in force, but not measured yet; this page is of run {predict}." in told
    assert "python -m jobs evaluate --dataset sample" in told


def test_without_an_evaluation_the_failures_are_those_of_the_run_in_force(workbench: Workbench) -> None:
    later = predicted_since(workbench, run_of(workbench, "predict"))
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, run_of(workbench, "evaluate")).status = "failed"
    at = open_page("overview")
    assert linked(at, "classifier")["steps"][1]["text"] == f"predict run {later}"
    assert cell(at, "attention", "False alarms") and "missed" not in str(linked(at, "attention")["rows"])
    assert "is in force" not in said(at)


def test_out_of_fold_figures_of_another_classifier_name_their_run(workbench: Workbench) -> None:
    train, predict, _ = evaluated(workbench)
    heads = [head["text"] for head in linked(open_page("overview"), "classification")["columns"]]
    assert "Out of fold" in heads
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, predict).summary = {"threshold": 0.6, "train_run": train + 99}
    heads = [head["text"] for head in linked(open_page("overview"), "classification")["columns"]]
    assert f"Out of fold, run {train}" in heads
