"""Datasets and their images."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from db.models import Dataset, Image, ImageTally, Run, SkippedFile
from db.queries import runs


def every(session: Session) -> Sequence[Dataset]:
    """All datasets: by the time their ingest became current, latest first, then those without an ingest by id."""
    ingested = select(func.max(Run.current_since)).where(
        Run.kind == "ingest", Run.status == "finished", Run.dataset_id == Dataset.id
    )
    latest = ingested.scalar_subquery().desc().nulls_last()
    return session.scalars(select(Dataset).order_by(latest, Dataset.id.desc())).all()


def find(session: Session, name: str) -> Dataset | None:
    """The dataset called `name`, or None."""
    return session.scalars(select(Dataset).where(Dataset.name == name)).first()


def hold(session: Session, dataset_id: int | None) -> None:
    """Lock the dataset against being forgotten until this transaction ends; None locks nothing."""
    held = select(Dataset.id).where(Dataset.id == dataset_id)
    session.execute(held.with_for_update(read=True, key_share=True))


def images(
    session: Session, dataset_id: int, *, splits: Sequence[str] | None = None, labelled: bool = False
) -> Sequence[Image]:
    """The dataset's distinct images, ordered by id. splits: only these, None for all. labelled: only with a label."""
    query = select(Image).where(Image.dataset_id == dataset_id).order_by(Image.id)
    if splits is not None:
        query = query.where(Image.split.in_(splits))
    if labelled:
        query = query.where(Image.label.is_not(None))
    return session.scalars(query).all()


def latest_image(session: Session, dataset_id: int) -> int | None:
    """The highest id of the dataset's images, None if there are none. Ids are not reused, so an equal number of images
    and an equal highest id mean the same images."""
    return session.scalar(select(func.max(Image.id)).where(Image.dataset_id == dataset_id))


def paths(session: Session, dataset_id: int) -> Sequence[str]:
    """The path of each of the dataset's distinct images."""
    return session.scalars(select(Image.path).where(Image.dataset_id == dataset_id)).all()


def copies(session: Session, dataset_id: int) -> dict[str, str]:
    """Path of each byte-identical file that the dataset's current ingest skipped -> path of its image."""
    ingest = runs.current(session, "ingest", dataset_id)
    query = select(SkippedFile.path.label("left_out"), Image.path).join(Image, Image.id == SkippedFile.image_id)
    query = query.where(SkippedFile.run_id == (ingest.id if ingest else None), Image.dataset_id == dataset_id)
    return {row.left_out: row.path for row in session.execute(query)}


def keys(session: Session, dataset_id: int) -> Sequence[Row[str, int, str, int | None]]:
    """(sha256, id, patient_key, label) of the dataset's images."""
    columns = (Image.sha256, Image.id, Image.patient_key, Image.label)
    return session.execute(select(*columns).where(Image.dataset_id == dataset_id)).all()


class Holding(NamedTuple):
    """Numbers of images, files and patients of one split and label; None where the source gives none."""

    split: str | None
    label: int | None
    images: int
    """Distinct images."""
    files: int
    patients: int


def counts(session: Session, dataset_id: int) -> list[Holding]:
    """The holdings of each split and label, from the tallies."""
    keys = (ImageTally.split, ImageTally.label)
    sums = [func.sum(column) for column in (ImageTally.images, ImageTally.files, ImageTally.patients)]
    query = select(*keys, *sums).where(ImageTally.dataset_id == dataset_id, ImageTally.attribute == "")
    query = query.group_by(*keys).order_by(*keys)
    return [Holding._make(row) for row in session.execute(query)]


def fingerprint(session: Session, dataset_id: int) -> str:
    """Hash of everything that results depend on: contents, splits, labels, causes, patients and file counts."""
    columns = (Image.sha256, Image.split, Image.label, Image.cause, Image.patient_key, Image.file_count)
    query = select(*columns).where(Image.dataset_id == dataset_id).order_by(Image.sha256)
    digest = hashlib.sha256()
    for row in session.execute(query):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()
