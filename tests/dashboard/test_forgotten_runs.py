"""What pages show once a run was forgotten: the next one, a word where an address names it, how to forget another."""

import re

import pytest
from sqlalchemy import select

from db import session as database
from db.models import Dataset, Run, VectorIndex
from db.queries import runs
from jobs import forget
from tests.dashboard.opened import PAGES, PINNED, Workbench, cell, linked, open_page, predicted_since, said
from tests.sample import build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NOTICE = "This page ignores it."


def forgotten(workbench: Workbench, *words: str) -> int:
    """Forget what the words name; the number of the run that did it."""
    where = ["--database", f"sqlite:///{workbench.engine.url.database}", "--artifacts", str(workbench.artifacts)]
    assert forget.main([*words, "--with-dependents", "--yes", *where]) == 0
    with database.reading(workbench.engine) as db:
        return runs.forgettings(db)[0].id


def shown(page: str, **parameters: object) -> str:
    """What a page says that is drawn whole."""
    at = open_page(page, **parameters)
    assert not at.exception
    return said(at)


def ageless(told: str) -> str:
    """What a page says, without how long ago things were."""
    return re.sub(r"[\d.]+ \w+ ago", "ago", told)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "runs"])
def test_a_url_that_names_a_forgotten_run_says_so_and_shows_the_current_run(workbench: Workbench, page: str) -> None:
    later = predicted_since(workbench, int(PINNED["run"]))
    assert NOTICE not in shown(page, run=later, image=1)
    by = forgotten(workbench, str(later))
    told, line = shown(page, run=later, image=1), f"Run {later} does not exist; it was removed by run {by}. {NOTICE}"
    assert line in told.splitlines()
    current = shown(page, image=1) if page == "overview" else shown(page, **PINNED, image=1)
    assert ageless(told.replace(f"\n{line}", "")) == ageless(current)


def test_a_run_number_that_never_existed_is_reported_too_also_for_the_compared_run(workbench: Workbench) -> None:
    assert f"Run 99 does not exist. {NOTICE}" in shown("cases", run=99)
    assert f"Run 98 does not exist. {NOTICE}" in shown("cases", **PINNED, against=98)
    assert NOTICE not in shown("cases", **PINNED)


def test_the_page_of_a_forgotten_run_names_the_run_that_removed_it_which_lists_what_was_removed(
    workbench: Workbench,
) -> None:
    later = predicted_since(workbench, int(PINNED["run"]))
    by = forgotten(workbench, str(later))
    told = shown("runs", run=later)
    assert "No such run" in told and f"Run {later} does not exist; it was removed by run {by}." in told
    assert NOTICE not in told
    told = shown("runs", run=by)
    assert f"Run {by}: forget, run {later}, finished" in told and '"predictions": ' in told
    assert "The command of this run:" in told and "To remove this run" not in told
    assert cell(open_page("runs"), "runs", f"{by}")["href"].endswith(f"run={by}")


def test_each_run_names_the_command_that_forgets_it_and_the_current_ingest_that_of_its_data_set(
    workbench: Workbench,
) -> None:
    with database.transaction(workbench.engine) as db:
        ingest = db.scalars(select(Run.id).where(Run.kind == "ingest")).one()
        db.get_one(Dataset, workbench.dataset_id).name = "my films"
    assert f"python -m jobs forget {PINNED['run']}" in shown("runs", **PINNED).splitlines()
    assert "python -m jobs forget --dataset 'my films'" in shown("runs", run=ingest).splitlines()


def test_the_search_falls_back_to_the_index_that_was_built_before(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex)).one()
        made = db.get_one(Run, index.run_id)
        columns = [field.key for field in Run.__mapper__.column_attrs if field.key not in ("id", "current_since")]
        later = Run(
            **{name: getattr(made, name) for name in columns},
        )
        db.add(later)
        db.flush()
        same = {c.name: getattr(index, c.name) for c in VectorIndex.__table__.columns if c.name != "id"}
        db.add(VectorIndex(**{**same, "run_id": later.id}))
    assert f"run {later.id}" in shown("search", by="image", image=1)
    forgotten(workbench, str(later.id))
    told = shown("search", by="image", image=1)
    assert f"run {made.id}" in told and f"run {later.id}" not in told
    forgotten(workbench, str(made.id))
    assert "This dataset has no vector index yet" in shown("search")


def test_pages_show_the_other_data_set_once_one_was_forgotten_and_then_none(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(8, seed=1), name="later")
    assert "8 distinct images" in shown("cases")
    forgotten(workbench, "--dataset", "later")
    at = open_page("cases")
    assert "60 distinct images" in said(at) and linked(at, "cases")["cards"]
    forgotten(workbench, "--dataset", "sample")
    assert "python -m jobs ingest" in shown("overview")
