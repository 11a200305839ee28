"""Images that are unlike all others of their dataset, as found when it was last embedded."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ImageMeasure
from db.queries import indexes

OUTLIER = "outlier"
"""The measure of an outlier: its mean cosine to the images nearest to it."""


def run_of(session: Session, dataset_id: int) -> int | None:
    """The embed run whose outliers are shown: that of the dataset's index that is used by default; None without one."""
    built = indexes.current(session, dataset_id)
    return built[0].run_id if built else None


def found(session: Session, dataset_id: int) -> Sequence[int]:
    """The ids of the dataset's outliers, least similar first."""
    query = select(ImageMeasure.image_id).where(ImageMeasure.name == OUTLIER)
    query = query.where(ImageMeasure.run_id == run_of(session, dataset_id))
    return session.scalars(query.order_by(ImageMeasure.value, ImageMeasure.image_id)).all()


def similarity(session: Session, dataset_id: int, image_id: int) -> float | None:
    """The outlier's mean cosine to the images nearest to it; None if the image is no outlier."""
    query = select(ImageMeasure.value).where(ImageMeasure.name == OUTLIER, ImageMeasure.image_id == image_id)
    return session.scalar(query.where(ImageMeasure.run_id == run_of(session, dataset_id)))
