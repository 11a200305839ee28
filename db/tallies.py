"""Tallies of images and predictions, updated when they are written, so that pages need not count a million rows.

Jobs call these functions in the transaction that writes the rows; db.queries answers from the tallies where possible.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Subquery, case, delete, func, insert, null, or_, select, update
from sqlalchemy.orm import Session

from db import report_tallies
from db.bins import bin_below
from db.models import Dataset, Image, ImageAttribute, ImageTally, Prediction, PredictionTally, ReportTally, Run
from db.queries import attributes

BINS = 1000
"""Number of bins of the probability."""


def dataset(session: Session, dataset_id: int) -> None:
    """Recount the dataset's images, and their predictions and reports, because splits and labels may have changed."""
    _images(session, dataset_id)
    session.get_one(Dataset, dataset_id).attributes = attributes.counts(session, dataset_id)
    report_tallies.dataset(session, dataset_id)
    predicted = select(Prediction.id).where(Prediction.run_id == Run.id).exists()
    counted = select(PredictionTally.id).where(PredictionTally.run_id == Run.id).exists()  # perhaps all were removed
    for run in session.scalars(select(Run).where(Run.dataset_id == dataset_id, or_(predicted, counted))).all():
        predictions(session, run)


def missing(session: Session) -> None:
    """Count every dataset without tallies, which was written before tallies existed."""
    counted = select(ImageTally.id).where(ImageTally.dataset_id == Dataset.id).exists()
    for dataset_id in session.scalars(select(Dataset.id).where(~counted)).all():
        dataset(session, dataset_id)
    described = select(ReportTally.id).where(ReportTally.dataset_id == Dataset.id).exists()
    for dataset_id in session.scalars(select(Dataset.id).where(~described)).all():
        report_tallies.dataset(session, dataset_id)


def predictions(session: Session, run: Run) -> None:
    """Recount the run's predictions at its own threshold, which is in its summary, and store each prediction's
    error."""
    run_id, threshold = run.id, run.threshold
    distance = select(func.abs(Prediction.probability - Image.label)).where(Image.id == Prediction.image_id)
    noted = update(Prediction).where(Prediction.run_id == run_id).values(error=distance.scalar_subquery())
    session.execute(noted.execution_options(synchronize_session=False))
    session.execute(delete(PredictionTally).where(PredictionTally.run_id == run_id))
    called: Any = null() if threshold is None else Prediction.probability >= threshold
    bin = bin_below(Prediction.probability, BINS)
    each = select(Image.id, Image.split, Image.label, Image.cause, bin.label("bin"), called.label("called"))
    each = each.join(Prediction, Prediction.image_id == Image.id).where(Prediction.run_id == run_id)
    part = each.subquery()  # grouped outside, because PostgreSQL accepts no bound values in GROUP BY
    keys = (part.c.split, part.c.label, part.c.cause, part.c.bin, part.c.called)
    counts = (func.count().label("images"),)
    rows = [dict(row) for row in session.execute(select(*keys, *counts).group_by(*keys)).mappings()]
    rows += _by_attribute(session, part, keys, counts, rows)
    if rows:
        session.execute(insert(PredictionTally), [{**row, "run_id": run_id} for row in rows])


def _images(session: Session, dataset_id: int) -> None:
    tested = func.count(case((Image.split == "test", 1)))
    across = select(Image.patient_key).where(Image.dataset_id == dataset_id).group_by(Image.patient_key)
    across = across.having(tested.between(1, func.count() - 1))
    found = session.get_one(Dataset, dataset_id)
    found.patients_across = session.scalar(select(func.count()).select_from(across.subquery())) or 0
    session.execute(delete(ImageTally).where(ImageTally.dataset_id == dataset_id))
    earlier = func.row_number().over(
        partition_by=(Image.split, Image.label, Image.patient_key), order_by=(func.coalesce(Image.cause, ""), Image.id)
    )
    each = select(Image.id, Image.split, Image.label, Image.cause, Image.file_count, earlier.label("place"))
    part = each.where(Image.dataset_id == dataset_id).subquery()
    keys = (part.c.split, part.c.label, part.c.cause)
    first = case((part.c.place == 1, 1), else_=0)
    sums = (func.sum(part.c.file_count).label("files"), func.sum(first).label("patients"))
    counts = (func.count().label("images"), *sums)
    rows = [dict(row) for row in session.execute(select(*keys, *counts).group_by(*keys)).mappings()]
    rows += [{**row, "patients": 0} for row in _by_attribute(session, part, keys, counts[:2], rows)]
    if rows:
        session.execute(insert(ImageTally), [{**row, "dataset_id": dataset_id} for row in rows])


def _by_attribute(
    session: Session, part: Subquery, keys: Sequence[Any], counts: Sequence[Any], whole: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The same counts for each value of each attribute, and for images without the attribute, as the remainder of
    `whole`."""
    groups = (ImageAttribute.name.label("attribute"), ImageAttribute.value.label("value"), *keys)
    query = select(*groups, *counts).join(ImageAttribute, ImageAttribute.image_id == part.c.id).group_by(*groups)
    found = [dict(row) for row in session.execute(query).mappings()]
    left = {name: {_key(one, keys): dict(one) for one in whole} for name in {row["attribute"] for row in found}}
    for row in found:
        rest = left[row["attribute"]]
        for count in counts:
            rest[_key(row, keys)][count.name] -= row[count.name]
    unknown = [
        {**row, "attribute": name, "value": attributes.UNKNOWN}
        for name, rest in left.items()
        for row in rest.values()
        if row["images"]
    ]
    return [*found, *unknown]


def _key(row: Mapping[str, Any], keys: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in keys)
