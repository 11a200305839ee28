"""Writes: repeatable inserts, updates and deletions, on both databases."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Table, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db import report_tallies, review_rules
from db.batches import batches as batches
from db.models import (
    AnswerSeen,
    Artifact,
    Base,
    Dataset,
    Image,
    ImageAttribute,
    ImageMeasure,
    ImageTag,
    Metric,
    Prediction,
    Report,
    ReportFailure,
    Review,
    Run,
    TrainedOn,
)


def upsert(
    session: Session, model: type[Base], rows: Sequence[dict[str, Any]], *, unique: Sequence[str], update: bool = True
) -> None:
    """Insert `rows`; on a conflict in the `unique` columns overwrite the others, or with update=False keep the old
    row."""
    table = model.__table__
    assert isinstance(table, Table)
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    for batch in batches(rows):
        statement = dialect.insert(table).values(batch)
        changed = {name: statement.excluded[name] for name in batch[0] if name not in unique}
        if update and changed:
            statement = statement.on_conflict_do_update(index_elements=list(unique), set_=changed)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=list(unique))
        session.execute(statement)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric to be stored; None means unknown. step: epoch of a curve, -1 for a final value."""

    name: str
    split: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    slice: str = "all"
    step: int = -1


def metrics(session: Session, run_id: int, values: Iterable[MetricValue]) -> None:
    """Store a run's metrics, overwriting older values."""
    rows = [{**asdict(value), "run_id": run_id} for value in values]
    upsert(session, Metric, rows, unique=("run_id", "name", "split", "slice", "step"))


def trained_on(session: Session, run_id: int) -> None:
    """Record a train run's training images, which are those with (out-of-fold) predictions by it."""
    clear(session, TrainedOn, run_id)
    learned = select(Prediction.run_id, Image.sha256, Image.patient_key).join(Image, Image.id == Prediction.image_id)
    learned = learned.where(Prediction.run_id == run_id).distinct()
    session.execute(insert(TrainedOn).from_select(["run_id", "image_sha256", "patient_key"], learned))


def attributes(session: Session, known: Mapping[int, Mapping[str, str]]) -> None:
    """Replace the attributes of these images. known: image id -> value by attribute name."""
    for batch in batches(sorted(known)):
        session.execute(delete(ImageAttribute).where(ImageAttribute.image_id.in_(batch)))
    rows = [
        {"image_id": i, "name": name, "value": value} for i, pairs in known.items() for name, value in pairs.items()
    ]
    upsert(session, ImageAttribute, rows, unique=("image_id", "name"))


def follow_patients(session: Session, dataset_id: int) -> None:
    """Update the patient keys recorded for the dataset's train runs to the images' current ones, which an ingest may
    have corrected."""
    trained = select(Run.id).where(Run.dataset_id == dataset_id, Run.kind == "train")
    same = (Image.dataset_id == dataset_id, Image.sha256 == TrainedOn.image_sha256)
    corrected = exists().where(*same, Image.patient_key.is_distinct_from(TrainedOn.patient_key))
    stale = update(TrainedOn).where(TrainedOn.run_id.in_(trained), corrected)
    stale = stale.values(patient_key=select(Image.patient_key).where(*same).scalar_subquery())
    session.execute(stale.execution_options(synchronize_session=False))


def clear(session: Session, model: type[Base], run_id: int) -> None:
    """Delete the rows of `model` that the run wrote, before it writes them again."""
    table = model.__table__
    session.execute(delete(table).where(table.c.run_id == run_id))  # type: ignore[arg-type]


def measures(session: Session, run_id: int, values: Mapping[str, Mapping[int, float]]) -> None:
    """Store what a run measured of single images, by name and image id; NaN is left out. Whatever the run stored before
    under these names is replaced."""
    for name, of_images in values.items():
        session.execute(delete(ImageMeasure).where(ImageMeasure.run_id == run_id, ImageMeasure.name == name))
        rows = [
            {"run_id": run_id, "image_id": int(image_id), "name": name, "value": value}
            for image_id, value in of_images.items()
            if not math.isnan(value)
        ]
        upsert(session, ImageMeasure, rows, unique=("run_id", "image_id", "name"))


def hold(session: Session, dataset_id: int | None) -> None:
    """Lock the dataset's labels and predictions against other writers until this transaction ends, waiting for them
    first. Call it before writing any row, to avoid deadlocks. SQLite has only one writer anyway."""
    session.execute(select(Dataset.id).where(Dataset.id == dataset_id).with_for_update(key_share=True))


def forget_images(session: Session, ids: Sequence[int]) -> None:
    """Delete images of a dataset with everything that refers to them: predictions, reviews and reports. Reports on an
    image that another dataset also holds pass to that image. The dataset's tallies must be recounted afterwards."""
    for batch in batches(ids):
        for model in (Report, ReportFailure):
            other = select(func.min(Image.id)).where(Image.sha256 == model.image_sha256, Image.id.not_in(batch))
            held = update(model).where(model.image_id.in_(batch), other.scalar_subquery().is_not(None))
            session.execute(held.values(image_id=other.scalar_subquery()))
        report_tallies.take_of_images(session, batch)
        session.execute(delete(Image).where(Image.id.in_(batch)))


def disown(session: Session, run_id: int, paths: Sequence[str]) -> None:
    """Delete the records of other runs for the files at `paths`, which `run_id` has overwritten."""
    for batch in batches(paths):
        session.execute(delete(Artifact).where(Artifact.path.in_(batch), Artifact.run_id != run_id))


def forget_files(session: Session, paths: Sequence[str]) -> None:
    """Delete all records of the files at `paths`."""
    for batch in batches(paths):
        session.execute(delete(Artifact).where(Artifact.path.in_(batch)))


def review(
    session: Session,
    *,
    image_id: int,
    reviewer: str,
    verdict: str,
    note: str = "",
    tags: Sequence[str] = (),
    unblinded_by: str = "",
    since: int | None = None,
) -> Review | None:
    """Store a reader's verdict in addition to earlier ones; the latest is valid, the first counts for agreement.

    unblinded_by: what the reader had been shown about the image, "" for nothing.
    since: the reader's latest review of the image when they began, None if there was none. If there is a newer one by
    now (a second click or tab), nothing is stored and None is returned.
    Raises RefusedError if the image no longer exists, or if a value violates db.review_rules.
    """
    row = Review(image_id=image_id, reviewer=review_rules.name(reviewer), verdict=review_rules.verdict(verdict))
    row.note, settled = review_rules.note(note), review_rules.tags(list(tags))
    row.unblinded_by = unblinded_by
    # SQLite has one writer anyway; on PostgreSQL two verdicts on one image wait for each other here
    image = select(Image.id).where(Image.id == image_id).with_for_update(key_share=True)
    if session.scalar(image) is None:
        raise review_rules.RefusedError(f"image {image_id} is gone from the database; nothing was stored")
    latest = select(func.max(Review.id)).where(Review.image_id == image_id, Review.reviewer == row.reviewer)
    if session.scalar(latest) != since:
        return None
    session.add(row)
    session.flush()
    session.add_all(ImageTag(image_id=image_id, name=name, review_id=row.id) for name in settled)
    return row


def take_back(session: Session, review_id: int, *, reviewer: str) -> int | None:
    """Delete a review by this reader with its tags, and remember that they may have seen the answer; returns the
    image's id, or None if there is no such review."""
    own = (Review.id == review_id, Review.reviewer == reviewer)
    image_id = session.scalar(select(Review.image_id).where(*own))
    session.execute(delete(Review).where(*own))
    if image_id is not None:
        seen = {"image_id": image_id, "reviewer": reviewer}
        upsert(session, AnswerSeen, [seen], unique=("image_id", "reviewer"), update=False)
    return image_id


def tag(session: Session, image_ids: Sequence[int], name: str) -> int:
    """Add a separate tag, which is part of no review, to images; returns how many did not have it yet. Images that no
    longer exist are ignored."""
    added = 0
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    alone = ImageTag.review_id.is_(None)
    had = select(ImageTag.image_id).where(ImageTag.name == name, alone)
    for batch in batches(image_ids):
        query = select(Image.id).where(Image.id.in_(batch), Image.id.not_in(had)).order_by(Image.id)
        rows = [{"image_id": number, "name": name} for number in session.scalars(query)]
        if rows:  # another reader may be putting the same tag on them
            statement = dialect.insert(ImageTag).values(rows)
            statement = statement.on_conflict_do_nothing(index_elements=["image_id", "name"], index_where=alone)
            added += len(session.scalars(statement.returning(ImageTag.image_id)).all())
    return added


def untag(session: Session, image_ids: Sequence[int], name: str) -> int:
    """Remove a separate tag from images; tags in reviews stay. Returns how many had it."""
    removed = 0
    for batch in batches(image_ids):
        alone = (ImageTag.image_id.in_(batch), ImageTag.name == name, ImageTag.review_id.is_(None))
        removed += session.scalar(select(func.count()).select_from(ImageTag).where(*alone)) or 0
        session.execute(delete(ImageTag).where(*alone))
    return removed
