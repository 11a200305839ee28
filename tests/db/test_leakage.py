"""Leakage: images that a classifier was trained on, and others of the same patients, are excluded."""

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import insert, select, update

from db import schema, session, tallies, writes
from db.models import Dataset, Image, Run, TrainedOn
from db.queries import columns, comparison, leakage, predictions
from engine.errors import InputError
from jobs import evaluate
from jobs.command import Context
from jobs.results.judged import unseen
from tests.finished_runs import World, make_world


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def give(world: World, images: list[Image], patient: str) -> set[int]:
    """Assign these images to the patient; returns their ids."""
    ids = {image.id for image in images}
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.id.in_(ids)).values(patient_key=patient))
    return ids


def test_other_films_of_a_patient_who_was_trained_on_are_judged_nowhere(world: World) -> None:
    theirs = give(world, [*world.of("train")[:1], *world.of("test")[:4]], "p")
    train = world.add_train()
    first, second = world.add_predict(train), world.add_predict()
    world.add_index("aligned", train_run=train.id)
    world.add_index("efficientnet_lite0")
    left = {image.id for image in world.of("test")} - theirs
    assert len(left) == 46
    with session.reading(world.context.engine) as db:
        one, other = db.get_one(Run, first.id), db.get_one(Run, second.id)
        assert leakage.unseen_of(db, world.dataset.id, train.id) == left
        assert {row.image_id for row in unseen(world.context, one)} == left
        assert {row.image_id for row in comparison.paired(db, other, one)} == left
        assert sum(len(part) for part in columns.judgements(db, one)) == 46
        assert len(unseen(world.context, other)) == 50
    assert evaluate.main([*world.options, "--predict-run", str(first.id), "--replicates", "100"]) == 0
    stored = world.evaluated()
    files = sum(image.file_count for image in world.of("test") if image.id in left)
    assert stored["test", "all", "auc"].n == files
    assert stored["test", "aligned", "p_at_1"].n == 46
    assert stored["test", "efficientnet_lite0", "p_at_1"].n == 50


def test_images_outside_a_split_are_labelled_and_of_patients_who_have_none_in_it(world: World) -> None:
    theirs = give(world, [*world.of("train")[:2], *world.of("test")[:1]], "p")
    unlabelled, unsplit = world.of("train")[3:5]
    with session.transaction(world.context.engine) as db:
        db.get_one(Image, unlabelled.id).label = None
        db.get_one(Image, unsplit.id).split = None
    with session.reading(world.context.engine) as db:
        found = [row.image_id for row in predictions.labelled_outside(db, world.dataset.id, "test")]
    assert found == sorted({image.id for image in world.of("train")} - theirs - {unlabelled.id})


def test_a_run_that_scored_films_of_known_patients_alone_says_so(world: World) -> None:
    give(world, [*world.of("train")[:1], *world.of("test")], "p")
    predict = world.add_predict(world.add_train())
    with session.reading(world.context.engine) as db:
        run = db.get_one(Run, predict.id)
    with pytest.raises(
        InputError, match="are of patients whom its classifier was trained on; for unseen patients see the out-of-fold"
    ):
        unseen(world.context, run)


def test_a_patient_key_of_another_dataset_is_another_patient(world: World, tmp_path: Path) -> None:
    other = make_world(world.context, world.options[:4], tmp_path / "other", synthetic=True)
    give(world, world.of("train"), "p")
    give(other, other.of("test"), "p")
    train = world.add_train()
    with session.reading(world.context.engine) as db:
        assert leakage.unseen_of(db, other.dataset.id, train.id) == {image.id for image in other.images}


def test_patients_who_were_trained_on_are_known_when_their_films_are_forgotten(world: World) -> None:
    theirs = give(world, [*world.of("train")[:1], *world.of("test")[:1]], "p")
    train = world.add_train()
    with session.transaction(world.context.engine) as db:
        writes.forget_images(db, [image.id for image in world.of("train")])
        left = {image.id for image in world.of("test")} - theirs
        assert leakage.unseen_of(db, world.dataset.id, train.id) == left


def test_patients_whose_keys_are_corrected_count_by_the_new_ones(world: World) -> None:
    forgotten, moved = world.of("train")[:2]
    tested = world.of("test")
    give(world, [forgotten, moved, tested[0]], "p")
    train = world.add_train()
    give(world, [moved, *tested[1:3]], "q")
    with session.transaction(world.context.engine) as db:
        writes.forget_images(db, [forgotten.id])
        writes.follow_patients(db, world.dataset.id)
        assert leakage.unseen_of(db, world.dataset.id, train.id) == {image.id for image in tested[3:]}


def test_patients_in_the_test_split_and_outside_it_are_counted_with_the_images(world: World) -> None:
    trained, tested = world.of("train"), world.of("test")
    give(world, [*trained[:2], tested[0]], "p")
    give(world, [trained[2], tested[1]], "q")
    give(world, trained[3:5], "trained on alone")
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).where(Image.id == trained[2].id).values(split=None))
        db.execute(update(Image).where(Image.id == trained[3].id).values(split="val"))
        assert db.get_one(Dataset, world.dataset.id).patients_across == 0
        tallies.dataset(db, world.dataset.id)
        assert db.get_one(Dataset, world.dataset.id).patients_across == 2


def test_the_migration_finds_the_patients_of_earlier_trainings(database_url: str) -> None:
    engine = session.connect(database_url)
    films = [
        *((1, "x", "train", "p"), (1, "y", "test", "p"), (1, "z", "test", "q")),
        *((2, "x", "train", "r"), (2, "gone", "test", "s")),
    ]
    run = {"kind": "train", "fingerprint": "f", "config": {}, "code_version": "c", "status": "finished"}
    with engine.begin() as connection:
        command.upgrade(schema._alembic(connection), "0008")
        for name in ("a", "b"):
            connection.execute(insert(Dataset).values(name=name, root="/", synthetic=False))
        for dataset, sha256, split, patient in films:
            facts = {"sha256": sha256, "path": sha256, "split": split, "patient_key": patient, "width": 1, "height": 1}
            connection.execute(insert(Image).values(dataset_id=dataset, **facts))
        connection.execute(insert(Run).values(dataset_id=1, host="h", pid=1, **run))
        for sha256 in ("x", "gone"):
            connection.execute(insert(TrainedOn).values(run_id=1, image_sha256=sha256))
    schema.upgrade(engine)
    with session.reading(engine) as db:
        kept = db.execute(select(TrainedOn.image_sha256, TrainedOn.patient_key)).all()
        assert dict(kept) == {"x": "p", "gone": None}
        assert db.scalars(select(Dataset.patients_across).order_by(Dataset.id)).all() == [1, 0]
    engine.dispose()
