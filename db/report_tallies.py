"""What is counted of reports and their scores when they are written, so that no page walks through millions of scores.

A report counts for every dataset that holds its picture, and counts once it has a score. Its scores stand in bins of a
hundredth in which every whole hundredth is a bin of its own, so that comparisons with whole hundredths stay exact.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, case, cast, delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.batches import batches
from db.models import Dataset, Image, Report, ReportScore, ReportTally

ITSELF = ""
"""Stands for the metric where the reports themselves are counted."""
UNKNOWN, BELOW, ABOVE = -9, -1, 201
"""Bins of an unknown value, of one below 0 and of one above 1."""
EVERY, KNOWN = "", 999
"""Label and bin of the rows that sum up: all labels together, all values that are known."""
KEY = ("dataset_id", "label", "metric", "model", "strategy", "bin")
RECOUNTED = 20_000
"""Reports that are looked at in one statement where all are counted in turn, so that no sorting outgrows the memory."""


def bin_of(value: float) -> int | None:
    """The bin of a whole hundredth in [0, 1], 0 to 200; None where the value is something else."""
    nearest = round(value * 100)
    return 2 * nearest if 0 <= nearest <= 100 and nearest / 100 == value else None


def dataset(session: Session, dataset_id: int) -> None:
    """Count the reports that describe the dataset's images anew."""
    session.execute(delete(ReportTally).where(ReportTally.dataset_id == dataset_id))
    first, last = session.execute(select(func.min(Report.id), func.max(Report.id))).one()
    here = Image.dataset_id + 0 == dataset_id  # as an expression it has no index: SQLite is to begin at the reports
    starts = range(first or 0, (last or 0) + 1, RECOUNTED)
    _change(session, [and_(Report.id.between(at, at + RECOUNTED - 1), here) for at in starts], sign=1)


def hold(session: Session, image_shas: Sequence[str]) -> None:
    """Let the labels of these pictures be corrected in no dataset until this transaction ends; where they are just
    being corrected, wait. It comes before any row that is written, as writes.hold does."""
    for shas in batches(image_shas):
        holding = select(Image.dataset_id).where(Image.sha256.in_(shas))
        datasets = select(Dataset.id).where(Dataset.id.in_(holding)).order_by(Dataset.id)
        session.execute(datasets.with_for_update(read=True))


def add(session: Session, report_ids: Sequence[int]) -> None:
    """Count these reports as they are scored now; `take` goes before a change of their scores."""
    _change(session, [Report.id.in_(ids) for ids in batches(report_ids)], sign=1)


def take(session: Session, report_ids: Sequence[int]) -> None:
    """Count these reports no more; where another transaction changes one of them, wait for its end."""
    for ids in batches(report_ids):
        session.execute(select(Report.id).where(Report.id.in_(ids)).order_by(Report.id).with_for_update())
    _change(session, [Report.id.in_(ids) for ids in batches(report_ids)], sign=-1)
    session.execute(delete(ReportTally).where(ReportTally.reports == 0))


def take_of_images(session: Session, image_ids: Sequence[int]) -> None:
    """Count no more the reports that go when these images do, in any dataset; theirs is to be counted anew after."""
    for ids in batches(image_ids):
        take(session, session.scalars(select(Report.id).where(Report.image_id.in_(ids))).all())


def _change(session: Session, parts: Iterable[ColumnElement[bool]], *, sign: int) -> None:
    """Add what the reports of these parts amount to, or with sign=-1 take it away."""
    reports, totals = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for query in [query.where(part) for part in parts for query in (_scores(), _whole())]:
        for dataset_id, label, *which, bin, number, total in session.execute(_summed(query)):
            summing = (dataset_id, EVERY, *which, UNKNOWN if bin == UNKNOWN else KNOWN)
            for key in ((dataset_id, label, *which, bin), summing):
                reports[key] += sign * number
                totals[key] += sign * total
    if not reports:
        return
    # in one order, so that no two writers wait for each other
    rows = [dict(zip(KEY, key, strict=True), reports=reports[key], total=totals[key]) for key in sorted(reports)]
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ReportTally)
    changed = {name: getattr(ReportTally, name) + statement.excluded[name] for name in ("reports", "total")}
    session.execute(statement.on_conflict_do_update(index_elements=list(KEY), set_=changed), rows)


def _scores() -> Select[Any]:
    """Every score with its value and the key that it counts under."""
    value = ReportScore.value
    near = cast(value * 100.0, Integer)  # where this rounds, or the product does, the comparisons put it right
    part = near + case((value >= (near + 1) / 100.0, 1), else_=0) - case((value < near / 100.0, 1), else_=0)
    between = 2 * part + case((value > part / 100.0, 1), else_=0)
    bin = case((value.is_(None), UNKNOWN), (value < 0.0, BELOW), (value > 1.0, ABOVE), else_=between)
    query = select(*_group(), ReportScore.metric, bin.label("bin"), value.label("value"))
    return query.join(ReportScore, ReportScore.report_id == Report.id).join(Image, Image.sha256 == Report.image_sha256)


def _whole() -> Select[Any]:
    """Every report that has a score, with the key that it counts under."""
    scored = select(ReportScore.id).where(ReportScore.report_id == Report.id).exists()
    itself = literal(ITSELF).label("metric"), literal(UNKNOWN).label("bin"), literal(0.0).label("value")
    return select(*_group(), *itself).join(Image, Image.sha256 == Report.image_sha256).where(scored)


def _group() -> tuple[Any, ...]:
    label = case((Image.label == 1, "pneumonia"), (Image.label == 0, "normal"), else_="unknown")
    return Image.dataset_id, Report.model, Report.strategy, label.label("label")


def _summed(query: Select[Any]) -> Select[Any]:
    part = query.subquery()
    keys = [part.c[name] for name in KEY]
    total = func.coalesce(func.sum(part.c.value), 0.0)
    return select(*keys, func.count().label("reports"), total.label("total")).group_by(*keys)
