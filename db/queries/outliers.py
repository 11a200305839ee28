"""Images that are unlike most others of their dataset, as found when it was last embedded."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ImageMeasure, Run
from db.queries import indexes

OUTLIER = "outlier"
"""The measure of an outlier: its mean cosine to the part of the dataset nearest to it."""


def run_of(session: Session, dataset_id: int) -> int | None:
    """The embed run whose outliers are shown: of the current indexes the first with a classifier's features, which tell
    strangers best (docs/decisions/0030), else the one used by default; None without an index."""
    built = [session.get_one(Run, index.run_id) for index in indexes.current(session, dataset_id)]
    return next((run.id for run in built if run.config.get("train_run")), built[0].id if built else None)


def found(session: Session, dataset_id: int) -> Sequence[int]:
    """The ids of the dataset's outliers, least similar first."""
    query = select(ImageMeasure.image_id).where(ImageMeasure.name == OUTLIER)
    query = query.where(ImageMeasure.run_id == run_of(session, dataset_id))
    return session.scalars(query.order_by(ImageMeasure.value, ImageMeasure.image_id)).all()


def similarity(session: Session, dataset_id: int, image_id: int) -> float | None:
    """The outlier's mean cosine to the part of the dataset nearest to it; None if the image is no outlier."""
    query = select(ImageMeasure.value).where(ImageMeasure.name == OUTLIER, ImageMeasure.image_id == image_id)
    return session.scalar(query.where(ImageMeasure.run_id == run_of(session, dataset_id)))
