"""Which runs used the results of which, from their rows alone, for runs of every kind."""

from pathlib import Path

import pytest
from sqlalchemy import select

from db import session
from db.models import VectorIndex
from db.queries import runs
from db.queries.lineage import Lineage
from jobs import evaluate
from jobs import map as jobs_map
from jobs.command import Context
from jobs.run import ActiveRun
from tests.finished_runs import World, make_world


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def index_of(world: World, run: ActiveRun) -> VectorIndex:
    with session.reading(world.context.engine) as db:
        return db.scalars(select(VectorIndex).where(VectorIndex.run_id == run.id)).one()


def current(world: World, kind: str) -> int:
    with session.reading(world.context.engine) as db:
        found = runs.current(db, kind, world.dataset.id)
    assert found is not None
    return found.id


def test_the_sources_and_the_readers_of_all_kinds_of_runs_are_each_others_inverse(world: World) -> None:
    world.finish("ingest", folder="/films")
    world.finish("validate", recipe={"name": "lite0"})
    train = world.add_train()
    ensemble = world.finish("train", recipe={"name": "mean"}, parts={"lite0": train.id})
    predict = world.add_predict(train)
    audit = world.finish("audit", predict_run=predict.id, train_run=train.id)
    templated = world.finish("report", predict_run=predict.id, settings={"classifier": "w"})
    seen = world.finish("report", predict_run=predict.id, settings={"temperature": 0})
    aligned, hub = world.add_index("aligned", train_run=train.id), world.add_index("imagenet-lite0")
    nearest = world.finish("report", predict_run=predict.id, settings={"index": index_of(world, hub).sha256})
    score = world.finish("score", predict_run=predict.id)
    duplicates = world.finish("duplicates", version=1)
    assert jobs_map.main([*world.options, "--embedder", "aligned", "--methods", "tsne", "--clusters", "2"]) == 0
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    evaluated, drawn = current(world, "evaluate"), current(world, "map")
    quoted = [index_of(world, hub).id]
    exported = world.finish("export", evaluate_run=evaluated, audit_run=audit.id, indexes=quoted)
    sources = {
        ensemble.id: {train.id},
        predict.id: {train.id},
        audit.id: {train.id, predict.id},
        templated.id: {predict.id},
        seen.id: {predict.id},
        nearest.id: {predict.id, hub.id},
        aligned.id: {train.id},
        score.id: {predict.id},
        drawn: {aligned.id},
        evaluated: {train.id, predict.id, aligned.id, hub.id},
        exported.id: {evaluated, audit.id, hub.id},
    }
    with session.reading(world.context.engine) as db:
        every = [run.id for run in runs.every(db)]
        known, built = Lineage.of(db), Lineage.of(db, scored_against=False)
    assert {number: found for number in every if (found := known.sources(number))} == sources
    assert {source: set(found) for source, found in known.readers.items()} == {
        number: {reader for reader, used in sources.items() if number in used}
        for number in every
        if any(number in used for used in sources.values())
    }
    assert duplicates.id not in known.readers
    assert built.sources(seen.id) == set() and built.sources(nearest.id) == {hub.id}
    assert built.sources(templated.id) == {predict.id}


def test_the_fingerprint_of_a_run_does_not_depend_on_the_order_of_its_settings() -> None:
    """Stored fingerprints must stay valid: finished work is found by them."""
    known = "805b79a7ef78ea7b03fc302b0df7384bab4c101ad893b3d985ddb74d6c4fd40b"
    assert runs.fingerprint("map", {"b": 1, "a": [2, None]}, "i", seed=0) == known
    assert runs.fingerprint("map", {"a": [2, None], "b": 1}, "i", seed=0) == known
