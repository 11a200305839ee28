"""The pages over SQLite and over PostgreSQL: the same cases, whole and empty."""

import pytest
from sqlalchemy import select

from db import session as database
from db.models import Run
from tests.dashboard.opened import PAGES, Workbench, linked, open_page, said


def test_every_page_is_drawn_whole_and_says_synthetic(workbench: Workbench) -> None:
    for name in PAGES:
        at = open_page(name, image=1)
        assert not at.exception, name
        assert not at.error, name
        assert any("SYNTHETIC" in str(one.value) for one in at.warning), name


def test_the_list_of_runs_tells_how_the_evaluated_classifier_fares(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        found = {run.kind: run for run in db.scalars(select(Run))}
        found["evaluate"].config = {"predict_run": found["predict"].id, "train_run": None}
        predict = str(found["predict"].id)
    rows = [[cell["text"] for cell in row] for row in linked(open_page("runs"), "runs")["rows"]]
    assert {row[0] for row in rows if "0.975" in row} == {predict}


@pytest.mark.usefixtures("engine", "served")
def test_an_empty_database_shows_what_to_run_on_every_page() -> None:
    for name in PAGES:
        at = open_page(name)
        assert not at.exception, name
        assert "make demo" in said(at), name
        assert "python -m jobs ingest FOLDER" in said(at), name


@pytest.mark.parametrize("sort", ["wrong", "uncertain", "high", "low", "file"])
def test_a_case_walks_from_the_first_of_its_list_to_the_second(workbench: Workbench, sort: str) -> None:
    cards = linked(open_page("cases", sort=sort, split="test"), "cases")["cards"]
    steps = linked(open_page("case", image=cards[0]["href"].rpartition("image=")[2], sort=sort, split="test"), "steps")
    assert steps["steps"][0]["text"] == "1 of 20 in the list"
    assert steps["steps"][1]["href"] is None
    assert steps["steps"][2]["href"].rpartition("image=")[2] == cards[1]["href"].rpartition("image=")[2]
