"""Tallies of reports and scores, updated when they are written, so that pages need not count millions of scores.

A report counts for every dataset that holds its image, once it has a score; a score against labels or predictions only
for the dataset that it is of. Scores are binned by hundredths, with a
separate bin for every whole hundredth, so that comparisons with whole hundredths are exact.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.batches import batches
from db.bins import bin_below
from db.models import Dataset, Image, Report, ReportScore, ReportTally

ITSELF = ""
"""Metric in rows that count the reports themselves."""
UNKNOWN, BELOW, ABOVE = -9, -1, 201
"""Bins for unknown values, values below 0 and values above 1."""
EVERY, KNOWN = "", 999
"""Label and bin of summary rows: all labels together, all known values."""
KEY = ("dataset_id", "label", "metric", "model", "strategy", "bin")
RECOUNTED = 20_000
"""Number of reports per statement in a recount, which limits the memory needed for sorting."""


def bin_of(value: float) -> int | None:
    """The bin of a whole hundredth in [0, 1], 0 to 200; None for any other value."""
    nearest = round(value * 100)
    return 2 * nearest if 0 <= nearest <= 100 and nearest / 100 == value else None


def dataset(session: Session, dataset_id: int) -> None:
    """Recount the reports on the dataset's images."""
    session.execute(delete(ReportTally).where(ReportTally.dataset_id == dataset_id))
    first, last = session.execute(select(func.min(Report.id), func.max(Report.id))).one()
    here = Image.dataset_id + 0 == dataset_id  # an expression has no index, so SQLite starts with the reports
    starts = range(first or 0, (last or 0) + 1, RECOUNTED)
    _change(session, [and_(Report.id.between(at, at + RECOUNTED - 1), here) for at in starts], sign=1)


def hold(session: Session, image_shas: Sequence[str]) -> None:
    """Lock the labels of these images, in every dataset, against changes until this transaction ends; waits for changes
    in progress. Like writes.hold, call it before writing any row."""
    for shas in batches(image_shas):
        holding = select(Image.dataset_id).where(Image.sha256.in_(shas))
        datasets = select(Dataset.id).where(Dataset.id.in_(holding)).order_by(Dataset.id)
        session.execute(datasets.with_for_update(read=True))


def add(session: Session, report_ids: Sequence[int]) -> None:
    """Add these reports with their current scores to the tallies. Before changing scores, call `take`."""
    _change(session, [Report.id.in_(ids) for ids in batches(report_ids)], sign=1)


def take(session: Session, report_ids: Sequence[int]) -> None:
    """Subtract these reports from the tallies, waiting for other transactions that change them."""
    for ids in batches(report_ids):
        session.execute(select(Report.id).where(Report.id.in_(ids)).order_by(Report.id).with_for_update())
    _change(session, [Report.id.in_(ids) for ids in batches(report_ids)], sign=-1)
    session.execute(delete(ReportTally).where(ReportTally.reports == 0))


def take_of_images(session: Session, image_ids: Sequence[int]) -> None:
    """Subtract the reports that are deleted with these images, in every dataset. The images' own dataset must be
    recounted afterwards."""
    for ids in batches(image_ids):
        take(session, session.scalars(select(Report.id).where(Report.image_id.in_(ids))).all())


def _change(session: Session, parts: Iterable[ColumnElement[bool]], *, sign: int) -> None:
    """Add the counts of the reports matching any of these conditions to the tallies, or with sign=-1 subtract them."""
    reports, totals = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for query in [query.where(part) for part in parts for query in (_scores(), _whole())]:
        for dataset_id, label, *which, bin, number, total in session.execute(_summed(query)):
            summing = (dataset_id, EVERY, *which, UNKNOWN if bin == UNKNOWN else KNOWN)
            for key in ((dataset_id, label, *which, bin), summing):
                reports[key] += sign * number
                totals[key] += sign * total
    if not reports:
        return
    # sorted, so that two writers cannot deadlock
    rows = [dict(zip(KEY, key, strict=True), reports=reports[key], total=totals[key]) for key in sorted(reports)]
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(ReportTally)
    changed = {name: getattr(ReportTally, name) + statement.excluded[name] for name in ("reports", "total")}
    session.execute(statement.on_conflict_do_update(index_elements=list(KEY), set_=changed), rows)


def _scores() -> Select[Any]:
    """Every score with its value and its tally's key."""
    value = ReportScore.value
    part = bin_below(value, 100)
    between = 2 * part + case((value > part / 100.0, 1), else_=0)
    bin = case((value.is_(None), UNKNOWN), (value < 0.0, BELOW), (value > 1.0, ABOVE), else_=between)
    query = select(*_group(), ReportScore.metric, bin.label("bin"), value.label("value"))
    query = query.join(ReportScore, ReportScore.report_id == Report.id).join(Image, Image.sha256 == Report.image_sha256)
    return query.where(or_(ReportScore.dataset_id.is_(None), ReportScore.dataset_id == Image.dataset_id))


def _whole() -> Select[Any]:
    """Every report that has a score, with its tally's key."""
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
