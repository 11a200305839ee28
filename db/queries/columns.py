"""Whole columns in parts, for pages that show every image at once."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.models import Image, ImageAttribute, Prediction, Run
from db.queries import leakage

PART = 50_000
"""Number of rows per part."""
Part = Sequence[tuple[Any, ...]]


def labels(session: Session, dataset_id: int) -> Iterator[Part]:
    """(id, label) of the dataset's images, with label 1, 0 or -1 if unknown, in no particular order."""
    return _parts(session, select(Image.id, func.coalesce(Image.label, -1)).where(Image.dataset_id == dataset_id))


def probabilities(session: Session, run_id: int) -> Iterator[Part]:
    """(image id, probability) of the run's predictions, in no particular order."""
    return _parts(session, select(Prediction.image_id, Prediction.probability).where(Prediction.run_id == run_id))


def attribute(session: Session, dataset_id: int, name: str) -> Iterator[Part]:
    """(image id, value) of an attribute, for the dataset's images that have it, in no particular order."""
    query = select(ImageAttribute.image_id, ImageAttribute.value).join(Image, Image.id == ImageAttribute.image_id)
    return _parts(session, query.where(Image.dataset_id == dataset_id, ImageAttribute.name == name))


def judgements(session: Session, run: Run) -> Iterator[Part]:
    """(split, label, cause, probability) of the run's labelled images that its classifier was not trained on, in no
    particular order; for a train run, whose probabilities are out of fold, of all its labelled images."""
    query = select(Image.split, Image.label, Image.cause, Prediction.probability)
    query = query.join(Prediction, Prediction.image_id == Image.id)
    query = query.where(Prediction.run_id == run.id, Image.label.is_not(None))
    return _parts(session, query if run.kind == "train" else query.where(leakage.unseen(run.train_run_id)))


def _parts(session: Session, query: Select[*tuple[Any, ...]]) -> Iterator[Part]:
    """Rows as the driver's tuples: for a million rows SQLAlchemy's own rows would take three times as long."""
    result = session.connection().execute(query)
    while part := result.cursor.fetchmany(PART):
        yield part
    result.close()
