"""Results of audits: neighbours, slices, calls under stress, measurements."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ErrorSlice, Image, ImageMeasure, Metric, Neighbour, Run, SliceMember
from db.queries.duplicates import NEAR_DUPLICATE as NEAR_DUPLICATE
from db.queries.runs import CURRENT_FIRST

CHANGES, UNDER = "call_changes", "stress: "
"""Measures of an image: the number of stresses that change its call, and, before the name of each of these, its
probability under it."""


@dataclass(frozen=True)
class NearCase:
    """A neighbour with its image."""

    neighbour: Neighbour
    image: Image


def latest(session: Session, predict_run_id: int) -> Run | None:
    """The current audit of this predict run, or None."""
    query = select(Run).where(Run.kind == "audit", Run.status == "finished")
    query = query.where(Run.config["predict_run"].as_integer() == predict_run_id)
    return session.scalars(query.order_by(*CURRENT_FIRST).limit(1)).first()


def neighbours(session: Session, run_id: int, image_id: int) -> list[NearCase]:
    """The training images that the audit found near this one, nearest first."""
    query = select(Neighbour, Image).join(Image, Image.id == Neighbour.neighbour_id)
    query = query.where(Neighbour.run_id == run_id, Neighbour.image_id == image_id).order_by(Neighbour.rank)
    return [NearCase(neighbour, image) for neighbour, image in session.execute(query)]


def near_duplicates(session: Session, run_id: int) -> Sequence[Neighbour]:
    """The evaluated images' near-duplicates in training, closest first."""
    query = select(Neighbour).where(Neighbour.run_id == run_id, Neighbour.verdict == NEAR_DUPLICATE)
    return session.scalars(query.order_by(Neighbour.hash_distance, Neighbour.image_id, Neighbour.rank)).all()


def slices(session: Session, run_id: int) -> Sequence[ErrorSlice]:
    """The audit's slices, highest error rate first."""
    query = select(ErrorSlice).where(ErrorSlice.run_id == run_id)
    return session.scalars(query.order_by(ErrorSlice.rate.desc(), ErrorSlice.name)).all()


def shortcut(session: Session, run_id: int, *, apart: Sequence[str]) -> Metric | None:
    """The highest AUC of a probe on the evaluated images, among those whose interval is above .5; None if there is
    none. apart: probes that are no shortcuts, by their slice of the metric probe_auc."""
    query = select(Metric).where(Metric.run_id == run_id, Metric.name == "probe_auc", Metric.split != "oof")
    query = query.where(Metric.slice.not_in(apart), Metric.low > 0.5)
    return session.scalars(query.order_by(Metric.value.desc()).limit(1)).first()


def slice_of(session: Session, run_id: int, image_id: int) -> ErrorSlice | None:
    """The slice that contains the image, or None."""
    query = select(ErrorSlice).join(SliceMember, SliceMember.slice_id == ErrorSlice.id)
    return session.scalars(query.where(ErrorSlice.run_id == run_id, SliceMember.image_id == image_id)).first()


def members(session: Session, run_id: int) -> dict[int, list[int]]:
    """Slice id -> ids of its images, for all slices of the audit."""
    query = select(SliceMember.slice_id, SliceMember.image_id).join(ErrorSlice, ErrorSlice.id == SliceMember.slice_id)
    found: dict[int, list[int]] = {}
    for slice_id, image_id in session.execute(query.where(ErrorSlice.run_id == run_id).order_by(SliceMember.id)):
        found.setdefault(slice_id, []).append(image_id)
    return found


def measures(session: Session, run_id: int, image_id: int) -> dict[str, float]:
    """The run's measurements of one image, by name."""
    query = select(ImageMeasure.name, ImageMeasure.value)
    rows = session.execute(query.where(ImageMeasure.run_id == run_id, ImageMeasure.image_id == image_id))
    return {row.name: row.value for row in rows}


def stresses(session: Session, run_id: int) -> Sequence[Metric]:
    """The share of calls that each stress changes, as a metric with the stress as its slice, most first."""
    query = select(Metric).where(Metric.run_id == run_id, Metric.name == "stress_changed", Metric.value.is_not(None))
    return session.scalars(query.order_by(Metric.value.desc(), Metric.slice)).all()


def most_changed(session: Session, run_id: int) -> int | None:
    """Id of the image whose call changes under most stresses; None if no call changes."""
    query = select(ImageMeasure.image_id).where(ImageMeasure.run_id == run_id, ImageMeasure.name == CHANGES)
    query = query.where(ImageMeasure.value > 0).order_by(ImageMeasure.value.desc(), ImageMeasure.image_id)
    return session.scalars(query.limit(1)).first()


def under_stress(session: Session, run_id: int, stress: str, ids: Sequence[int]) -> dict[int, float]:
    """Image id -> probability under the stress, for those of these images whose call it changes."""
    query = select(ImageMeasure.image_id, ImageMeasure.value).where(ImageMeasure.run_id == run_id)
    query = query.where(ImageMeasure.image_id.in_(ids), ImageMeasure.name == UNDER + stress)
    return {row.image_id: row.value for row in session.execute(query)}
