"""Train-test leakage: the images that a classifier was trained on, and all others of the same patients."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from db.models import Image, Prediction, Run, TrainedOn

Training = aliased(Run)


def unseen(*train_runs: int | None) -> ColumnElement[bool]:
    """Condition on Image: none of these train runs was trained on the same content or, within the train run's dataset,
    on the same patient (patient keys are meaningless across datasets)."""
    theirs = TrainedOn.run_id.in_([number for number in train_runs if number is not None])
    own_dataset = (Training.id == TrainedOn.run_id, Training.dataset_id == Image.dataset_id)
    same_film = exists().where(theirs, TrainedOn.image_sha256 == Image.sha256)
    same_patient = exists().where(theirs, *own_dataset, TrainedOn.patient_key == Image.patient_key)
    return ~same_film & ~same_patient


def is_unseen(session: Session, image_id: int, train_run: int) -> bool:
    """Whether the image is `unseen` by the train run."""
    return session.scalar(select(Image.id).where(Image.id == image_id, unseen(train_run))) is not None


def unseen_of(session: Session, dataset_id: int, train_run: int) -> set[int]:
    """The ids of the dataset's images that are `unseen` by the train run."""
    return set(session.scalars(select(Image.id).where(Image.dataset_id == dataset_id, unseen(train_run))))


def trained_on(session: Session, train_run: int) -> set[str]:
    """The sha256 of every image that the train run was trained on."""
    return set(session.scalars(select(TrainedOn.image_sha256).where(TrainedOn.run_id == train_run)))


class Familiar(NamedTuple):
    """How many of the images that a predict run scored its classifier was trained on, or on their patients."""

    images: int
    """Distinct images with a prediction."""
    trained: int
    """Those that are not `unseen`."""
    labelled: int
    judged: int
    """Labelled images that are `unseen`: those that an evaluation measures."""


def familiar(session: Session, run: Run) -> dict[str | None, Familiar]:
    """Split -> the images that a predict run scored there, see `Familiar`."""
    new, known = unseen(run.train_run_id), Image.label.is_not(None)
    found = select(Image.split, known.label("known"), new.label("new")).select_from(Prediction)
    rows = found.join(Image, Image.id == Prediction.image_id).where(Prediction.run_id == run.id).subquery()
    trained = func.sum(case((rows.c.new, 0), else_=1))
    labelled = func.sum(case((rows.c.known, 1), else_=0))
    judged = func.sum(case((rows.c.known & rows.c.new, 1), else_=0))
    query = select(rows.c.split, func.count(), trained, labelled, judged).group_by(rows.c.split)
    return {split: Familiar(*numbers) for split, *numbers in session.execute(query)}
