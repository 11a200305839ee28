"""What a run's page links under its title: the pages of what it made, the runs that it read, those that read its."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from db import session as database
from db.models import Dataset, Run, VectorIndex, now
from db.queries import runs
from tests.dashboard.opened import Workbench, asked, linked, open_page, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
KNOWN = {"code_version": "", "status": "finished", "host": "", "pid": 1}


def run_of(workbench: Workbench, kind: str) -> int:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Run.id).where(Run.kind == kind).order_by(Run.id)).first() or 0


def add(workbench: Workbench, kind: str, **config: object) -> int:
    """One more finished run of that kind; its id."""
    with database.transaction(workbench.engine) as db:
        run = Run(kind=kind, dataset_id=workbench.dataset_id, fingerprint=kind, config=config, **KNOWN)
        run.current_since = now() + timedelta(seconds=len(config))
        db.add(run)
        db.flush()
        return run.id


def links(run: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Where the links under a run's title lead, by what they say."""
    steps = linked(open_page("runs", run=run), "related")["steps"]
    assert steps[0]["text"] == "Related:" and not steps[0]["href"]
    return {step["text"]: asked(step["href"]) for step in steps[1:]}


def test_a_classifier_its_predictions_and_what_judges_them_lead_to_each_other(workbench: Workbench) -> None:
    train, predict = run_of(workbench, "train"), run_of(workbench, "predict")
    add(workbench, "evaluate", predict_run=predict, train_run=train)
    evaluated = add(workbench, "evaluate", predict_run=predict, train_run=train, replicates=100)
    audited = add(workbench, "audit", predict_run=predict, train_run=train)
    exported = add(workbench, "export", evaluate_run=evaluated, audit_run=None)
    judges = {
        f"Run {audited}, audit, of run {predict}": ("runs", {"run": str(audited)}),
        f"Run {evaluated}, evaluate, of run {predict}": ("runs", {"run": str(evaluated)}),
    }
    of_train, of_predict = links(train), links(predict)
    assert of_train == {
        "Out-of-fold cases": ("cases", {"run": str(train)}),
        **judges,
        f"Run {predict}, predict": ("runs", {"run": str(predict)}),
    }
    assert of_predict == {
        "Cases": ("cases", {"run": str(predict)}),
        f"Run {train}, train, probe": ("runs", {"run": str(train)}),
        **judges,
    }
    read = [("runs", {"run": str(number)}) for number in (train, predict)]
    assert list(links(audited).values()) == read
    assert list(links(evaluated).values()) == [*read, ("runs", {"run": str(exported)})]
    assert list(links(exported).values()) == [("runs", {"run": str(evaluated)})]


def test_an_ensemble_and_its_parts_lead_to_each_other(workbench: Workbench) -> None:
    part = run_of(workbench, "train")
    ensemble = add(workbench, "train", parts={"lite0": part})
    assert ("runs", {"run": str(part)}) in links(ensemble).values()
    assert ("runs", {"run": str(ensemble)}) in links(part).values()


def test_an_index_leads_to_what_read_it_and_back(workbench: Workbench) -> None:
    embed = run_of(workbench, "embed")
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex).where(VectorIndex.run_id == embed)).one()
    drawn = {"embedder": "imagenet-lite0", "methods": ["umap"]}
    mapped = add(workbench, "map", **drawn)
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, mapped).fingerprint = runs.fingerprint("map", drawn, index.sha256, seed=None)
    readers = {
        *(mapped, add(workbench, "evaluate", indexes={"imagenet-lite0": index.id})),
        *(add(workbench, "export", indexes=[index.id]), add(workbench, "report", settings={"index": index.sha256})),
    }
    read_by = [parameters for page, parameters in links(embed).values() if page == "runs"]
    assert {int(parameters["run"]) for parameters in read_by} == readers
    for reader in readers:
        assert ("runs", {"run": str(embed)}) in links(reader).values()


def test_what_a_run_made_is_one_link_away_while_it_is_current(workbench: Workbench) -> None:
    embed, report = run_of(workbench, "embed"), run_of(workbench, "report")
    assert links(report) == {"Reports": ("reports", {"model": "template"})}
    assert links(embed) == {"Search with this index": ("search", {"index": "imagenet-lite0"})}
    twins, mapped = add(workbench, "duplicates"), add(workbench, "map")
    assert links(twins) == {"Cases with near-duplicates": ("cases", {"twins": "any"})}
    assert links(mapped) == {"Map": ("map", {"map": str(mapped)})}
    again = add(workbench, "embed", embedder="imagenet-lite0")
    with database.transaction(workbench.engine) as db:
        old = db.scalars(select(VectorIndex)).one()
        columns = {column.name: getattr(old, column.name) for column in VectorIndex.__table__.columns}
        db.add(VectorIndex(**{**columns, "id": None, "run_id": again}))
    assert list(links(embed)) == [f"Run {again}, embed, imagenet-lite0, current"]


def test_the_links_of_another_data_sets_run_lead_to_that_data_set(workbench: Workbench) -> None:
    predict = run_of(workbench, "predict")
    with database.transaction(workbench.engine) as db:
        later = Dataset(name="later", root="/nowhere", synthetic=False)
        db.add(later)
        db.flush()
        done = {"config": {}, "code_version": "", "status": "finished", "host": "", "pid": 1}
        db.add(Run(kind="ingest", fingerprint="l" * 64, dataset_id=later.id, **done))
    assert links(predict)["Cases"] == ("cases", {"dataset": "sample", "run": str(predict)})


def test_a_run_that_nothing_belongs_to_has_no_links(workbench: Workbench) -> None:
    at = open_page("runs", run=run_of(workbench, "ingest"))
    assert not at.exception and "Run " in said(at)
    assert not [one for one in at.get("bidi_component") if one.proto.id.endswith("-related")]
