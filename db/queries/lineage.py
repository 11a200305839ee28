"""What links runs to each other: indexes, reports, and scores, with the runs that made or measured them."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.models import Image, Metric, Report, Run, VectorIndex


class BuiltIndex(NamedTuple):
    """A vector index, and the run that built it."""

    index_id: int
    run_id: int
    sha256: str


class HeldReport(NamedTuple):
    """A report, and a dataset that holds its image."""

    report_id: int
    model: str
    strategy: str
    dataset_id: int


class WrittenReport(NamedTuple):
    """A report, and what it was written about and with."""

    report_id: int
    model: str
    revision: str
    settings_sha256: str
    prompt_sha256: str
    image_sha256: str


def built_indexes(session: Session) -> list[BuiltIndex]:
    """All vector indexes."""
    return [BuiltIndex(*row) for row in session.execute(select(VectorIndex.id, VectorIndex.run_id, VectorIndex.sha256))]


def held_reports(session: Session, run_ids: Collection[int]) -> list[HeldReport]:
    """The reports of these runs, once for each dataset that holds their image, latest first."""
    query = select(Report.id, Report.model, Report.strategy, Image.dataset_id)
    query = query.join(Image, Image.sha256 == Report.image_sha256).where(Report.run_id.in_(run_ids))
    return [HeldReport(*row) for row in session.execute(query.order_by(Report.id.desc()))]


def written_reports(session: Session, run_ids: Collection[int]) -> list[WrittenReport]:
    """The reports of these runs, oldest first."""
    settings = (Report.model, Report.revision, Report.settings_sha256)
    query = select(Report.id, *settings, Report.prompt_sha256, Report.image_sha256)
    found = session.execute(query.where(Report.run_id.in_(run_ids)).order_by(Report.id))
    return [WrittenReport(*row) for row in found]


def measured_reports(session: Session) -> list[tuple[Run, str]]:
    """Each evaluate run with each slice of reports that it measured, see `evaluation.report_slice`."""
    slices = select(Metric.run_id, Metric.slice).where(Metric.split == "reports").distinct().subquery()
    query = select(Run, slices.c.slice).join(slices, slices.c.run_id == Run.id).where(Run.kind == "evaluate")
    return [(run, where) for run, where in session.execute(query)]


def latest_scoring(session: Session, dataset_ids: Collection[int]) -> set[int]:
    """For each of these datasets, the run that last scored its reports."""
    query = select(Run.dataset_id, Run.id).where(Run.kind.in_(("score", "report")), Run.status == "finished")
    query = query.where(Run.dataset_id.in_(dataset_ids)).order_by(Run.finished, Run.id)
    return set({row.dataset_id: row.id for row in session.execute(query)}.values())


def has_reports(session: Session, dataset_id: int, *, without: Collection[int]) -> bool:
    """Whether there is a report on one of the dataset's images by a run that is not in `without`."""
    written = exists().where(Report.image_sha256 == Image.sha256, Report.run_id.not_in(without))
    return session.scalar(select(Image.id).where(Image.dataset_id == dataset_id, written).limit(1)) is not None
