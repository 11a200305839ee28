"""What needs attention: runs that failed, and skipped files."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Run, SkippedFile
from db.queries import runs


def unfinished(session: Session) -> list[Run]:
    """Runs that failed, were interrupted or lost, without a later run of the same work, latest first."""
    latest = select(func.max(Run.id)).group_by(Run.fingerprint).scalar_subquery()
    query = select(Run).where(Run.id.in_(latest), Run.status != "finished").order_by(Run.id.desc())
    return [run for run in session.scalars(query) if runs.status(run) != "running"]


def running(session: Session) -> list[Run]:
    """Runs whose process is alive, latest first."""
    query = select(Run).where(Run.status == "running").order_by(Run.id.desc())
    return [run for run in session.scalars(query) if runs.status(run) == "running"]


def skipped(session: Session, run_id: int) -> dict[str, int]:
    """The number of files that an ingest run skipped, by reason."""
    query = select(SkippedFile.reason, func.count().label("files")).where(SkippedFile.run_id == run_id)
    rows = session.execute(query.group_by(SkippedFile.reason).order_by(SkippedFile.reason))
    return {row.reason: row.files for row in rows}
