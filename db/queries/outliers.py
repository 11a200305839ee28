"""Images that are unlike most others of their dataset, as found when it was last embedded."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import ImageMeasure, Run
from db.queries import indexes

OUTLIER = "outlier"
"""The measure of an outlier: its mean cosine to the part of the dataset nearest to it."""


def run_of(session: Session, dataset_id: int) -> int | None:
    """The embed run whose outliers are shown: of the current indexes that know theirs the first with a classifier's
    features, which tell strangers best (docs/decisions/0030), else the first; None without such an index."""
    built = [session.get_one(Run, index.run_id) for index in indexes.current(session, dataset_id)]
    knowing = [run for run in built if (run.summary or {}).get("outliers") is not None]
    return next((run.id for run in knowing if run.config.get("train_run")), knowing[0].id if knowing else None)


def count(session: Session, dataset_id: int) -> int:
    """The number of the dataset's outliers."""
    query = select(func.count()).select_from(ImageMeasure).where(ImageMeasure.name == OUTLIER)
    return session.scalar(query.where(ImageMeasure.run_id == run_of(session, dataset_id))) or 0


def similarity(session: Session, dataset_id: int, image_id: int) -> float | None:
    """The outlier's mean cosine to the part of the dataset nearest to it; None if the image is no outlier."""
    query = select(ImageMeasure.value).where(ImageMeasure.name == OUTLIER, ImageMeasure.image_id == image_id)
    return session.scalar(query.where(ImageMeasure.run_id == run_of(session, dataset_id)))
