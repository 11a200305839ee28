"""Whole columns, in parts: what a page shows of every image at once."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.models import Image, ImageAttribute, Prediction, Run
from db.queries import leakage

PART = 50_000
"""Rows that are held at a time."""
Part = Sequence[tuple[Any, ...]]


def labels(session: Session, dataset_id: int) -> Iterator[Part]:
    """Id and label (1, 0, -1 unknown) of each of the dataset's images, in no order."""
    return _parts(session, select(Image.id, func.coalesce(Image.label, -1)).where(Image.dataset_id == dataset_id))


def probabilities(session: Session, run_id: int) -> Iterator[Part]:
    """Image id and probability of each of the run's predictions, in no order."""
    return _parts(session, select(Prediction.image_id, Prediction.probability).where(Prediction.run_id == run_id))


def attribute(session: Session, dataset_id: int, name: str) -> Iterator[Part]:
    """Image id and value of an attribute of each of the dataset's images of which it is known, in no order."""
    query = select(ImageAttribute.image_id, ImageAttribute.value).join(Image, Image.id == ImageAttribute.image_id)
    return _parts(session, query.where(Image.dataset_id == dataset_id, ImageAttribute.name == name))


def judgements(session: Session, run: Run) -> Iterator[Part]:
    """Split, label, cause and probability of each labelled image that the run scored and that is a test of its
    classifier, in no order; of a train run, whose probabilities are out of fold, of all."""
    query = select(Image.split, Image.label, Image.cause, Prediction.probability)
    query = query.join(Prediction, Prediction.image_id == Image.id)
    query = query.where(Prediction.run_id == run.id, Image.label.is_not(None))
    return _parts(session, query if run.kind == "train" else query.where(leakage.unseen(run.train_run_id)))


def _parts(session: Session, query: Select[*tuple[Any, ...]]) -> Iterator[Part]:
    """Tuples as the driver gives them: of a million rows SQLAlchemy's own would take three times as long."""
    result = session.connection().execute(query)
    while part := result.cursor.fetchmany(PART):
        yield part
    result.close()
