"""Images and their predictions, as rows that remain usable after the session."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.batches import batches
from db.models import Image, Prediction
from db.queries import leakage

KNOWN: tuple[InstrumentedAttribute[Any], ...] = (
    Image.id,
    Image.sha256,
    Image.path,
    Image.split,
    Image.label,
    Image.cause,
    Image.patient_key,
)
"""The columns of a KnownImage, in its order."""


SIZE: tuple[InstrumentedAttribute[Any], ...] = (Image.file_count, Image.width, Image.height)
"""What a SizedImage has besides."""


@dataclass(frozen=True, slots=True)
class KnownImage:
    """The facts of an image that do not depend on a run."""

    image_id: int
    sha256: str
    path: str
    """Relative to the dataset's root."""
    split: str | None
    label: int | None
    """1 pneumonia, 0 normal, None unknown."""
    cause: str | None
    patient_key: str


@dataclass(frozen=True, slots=True)
class SizedImage(KnownImage):
    """An image with its number of files and their size in pixels."""

    file_count: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PredictedImage(SizedImage):
    """An image with a run's prediction."""

    probability: float
    """Calibrated, of pneumonia, in [0, 1]."""
    logit: float
    fold: int | None
    """For train runs: the fold in which the image was held out."""
    heatmap_row: int | None
    """Row in the run's heatmaps."""
    zones: Mapping[str, float] | None
    """Share of the heatmap in each lung zone; None without a heatmap."""

    def called(self, threshold: float) -> bool:
        """Whether the classifier predicts pneumonia."""
        return self.probability >= threshold

    def failed(self, threshold: float) -> bool:
        """Whether the prediction is wrong; False without a label."""
        return self.label is not None and self.called(threshold) != (self.label == 1)

    @property
    def error(self) -> float:
        """Absolute difference of probability and label, in [0, 1]; NaN without a label."""
        return float("nan") if self.label is None else abs(self.probability - self.label)


def of_run(
    session: Session, run_id: int, *, labelled: bool = False, unseen_by: int | None = None
) -> list[PredictedImage]:
    """The images with predictions by the run, ordered by id. labelled: only those with a label. unseen_by: a train run;
    only images that are `leakage.unseen` by it."""
    predicted = (Prediction.probability, Prediction.logit, Prediction.fold, Prediction.heatmap_row, Prediction.zones)
    query = select(*KNOWN, *SIZE, *predicted)
    query = query.join(Prediction, Prediction.image_id == Image.id).where(Prediction.run_id == run_id)
    if labelled:
        query = query.where(Image.label.is_not(None))
    if unseen_by is not None:
        query = query.where(leakage.unseen(unseen_by))
    rows: Iterable[Sequence[Any]] = session.execute(query.order_by(Image.id))
    return [PredictedImage(*row) for row in rows]


def labelled_outside(session: Session, dataset_id: int, split: str) -> list[SizedImage]:
    """The dataset's labelled images outside `split`, in id order, without the patients who have an image in it."""
    inside = select(Image.patient_key).where(Image.dataset_id == dataset_id, Image.split == split)
    query = select(*KNOWN, *SIZE).where(Image.dataset_id == dataset_id, Image.label.is_not(None))
    query = query.where(Image.split.is_distinct_from(split), Image.patient_key.not_in(inside))
    rows: Iterable[Sequence[Any]] = session.execute(query.order_by(Image.id))
    return [SizedImage(*row) for row in rows]


def labelled_by_split(session: Session, run_id: int) -> dict[str | None, int]:
    """The number of labelled images with predictions by the run, by split."""
    query = select(Image.split, func.count()).join(Prediction, Prediction.image_id == Image.id)
    query = query.where(Prediction.run_id == run_id, Image.label.is_not(None)).group_by(Image.split)
    return {row[0]: row[1] for row in session.execute(query)}


def images(session: Session, ids: Collection[int]) -> dict[int, KnownImage]:
    """The facts of these images, by id."""
    found: dict[int, KnownImage] = {}
    for part in batches(sorted(int(number) for number in ids)):
        query = select(*KNOWN).where(Image.id.in_(part))
        found |= {row[0]: KnownImage(*row) for row in session.execute(query)}
    return found
