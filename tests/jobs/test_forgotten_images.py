"""Runs whose images were forgotten, and possibly came back under other ids."""

from pathlib import Path

import pytest
from sqlalchemy import select

from db import session, writes
from db.models import Image, Prediction, Run, TrainedOn
from db.queries import datasets, leakage, runs
from engine.errors import InputError
from jobs.command import Context
from jobs.results.judged import unseen
from jobs.run import ActiveRun, Work
from tests.sample import build, films


@pytest.fixture
def dataset(context: Context, tmp_path: Path) -> int:
    return build(context.engine, context.artifacts, tmp_path / "films", pictures=films(12))


def predicted(context: Context, dataset: int, kind: str, **config: object) -> ActiveRun:
    """The run of this kind, with a prediction for every image; redone if some are missing."""
    with session.reading(context.engine) as db:
        images = datasets.images(db, dataset)
    run = ActiveRun.claim(context, Work(kind=kind, config={"of": 1} | config, dataset_id=dataset, predicts=len(images)))
    if not run.already_finished:
        rows = [{"run_id": run.id, "image_id": image.id, "logit": 0.0, "probability": 0.5} for image in images]
        with run:
            run.predictions(rows, {"threshold": 0.5} | config)
    return run


def come_and_gone(context: Context, dataset: int) -> None:
    """Forget all images, and ingest them again."""
    with session.transaction(context.engine) as db:
        images = datasets.images(db, dataset)
        kept = [{c.name: getattr(one, c.name) for c in Image.__table__.columns if c.name != "id"} for one in images]
        writes.forget_images(db, [image.id for image in images])
        db.add_all(Image(**one) for one in kept)


@pytest.mark.parametrize("kind", ["train", "predict"])
def test_predictions_that_went_with_their_images_are_made_anew(context: Context, dataset: int, kind: str) -> None:
    first = predicted(context, dataset, kind)
    assert predicted(context, dataset, kind).already_finished
    come_and_gone(context, dataset)
    again = predicted(context, dataset, kind)
    assert again.id != first.id
    with session.reading(context.engine) as db:
        assert (runs.scored(db, first.id), runs.scored(db, again.id)) == (0, 12)
    assert predicted(context, dataset, kind).id == again.id


def test_images_that_a_classifier_learned_from_are_no_test_of_it_when_they_were_forgotten(
    context: Context, dataset: int, tmp_path: Path
) -> None:
    train = predicted(context, dataset, "train")
    other = build(context.engine, context.artifacts, tmp_path / "films", pictures=films(14), name="same")
    come_and_gone(context, dataset)
    with session.transaction(context.engine) as db:
        shas = [image.sha256 for image in datasets.images(db, dataset)]
        writes.forget_images(db, [image.id for image in datasets.images(db, dataset)])
        kept = db.scalars(select(TrainedOn.image_sha256).where(TrainedOn.run_id == train.id)).all()
        assert sorted(kept) == sorted(shas)
    judged = predicted(context, other, "predict", train_run=train.id)
    with session.reading(context.engine) as db:
        row = db.get_one(Run, judged.id)
        left = db.scalars(select(Image.path).where(Image.dataset_id == other, leakage.unseen(train.id))).all()
    assert len(left) == 2 and {one.path for one in unseen(context, row)} == set(left)
    with session.transaction(context.engine) as db:
        gone = select(Image.id).where(Image.path.in_(left)).scalar_subquery()
        db.query(Prediction).filter(Prediction.run_id == judged.id, Prediction.image_id.in_(gone)).delete()
    with pytest.raises(
        InputError, match="all labelled images that it scored are of patients whom its classifier was trained on"
    ):
        unseen(context, row)
