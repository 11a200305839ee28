"""Whole columns, in parts: what a page shows of every image at once."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.models import Image, Prediction

PART = 50_000
"""Rows that are held at a time."""
Part = Sequence[tuple[Any, ...]]


def labels(session: Session, dataset_id: int) -> Iterator[Part]:
    """Id and label (1, 0, -1 unknown) of each of the dataset's images, in no order."""
    return _parts(session, select(Image.id, func.coalesce(Image.label, -1)).where(Image.dataset_id == dataset_id))


def probabilities(session: Session, run_id: int) -> Iterator[Part]:
    """Image id and probability of each of the run's predictions, in no order."""
    return _parts(session, select(Prediction.image_id, Prediction.probability).where(Prediction.run_id == run_id))


def _parts(session: Session, query: Select[int, Any]) -> Iterator[Part]:
    """Tuples as the driver gives them: of a million rows SQLAlchemy's own would take three times as long."""
    result = session.connection().execute(query)
    while part := result.cursor.fetchmany(PART):
        yield part
    result.close()
