"""The number of cases before a value in a sorted list, and where to start reading a distant page: both from tallies,
plus counting in the one or two bins that contain the value."""

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true
from sqlalchemy.orm import Session

from db.models import Image, Prediction, PredictionTally
from db.queries.case_counts import tallied_predictions
from db.queries.case_questions import Question
from db.tallies import BINS

NEAR = 1e-9
"""Upper bound of the rounding error of a distance from the threshold."""


@dataclass(frozen=True)
class Start:
    """A point where reading may start: a value of the sort key, and the number of cases before it."""

    value: float
    before: int


def key(question: Question) -> Any:
    """The sort key; "wrong" and "high" are sorted in descending order, the others ascending."""
    if question.sort == "wrong":
        return Prediction.error
    return (
        func.abs(Prediction.probability - nearest(question)) if question.sort == "uncertain" else Prediction.probability
    )


def nearest(question: Question) -> float:
    """The threshold for sort "uncertain"; .5 if the question has none."""
    return 0.5 if question.threshold is None else question.threshold


def total(session: Session, question: Question) -> int | None:
    """The number of matching images in the list's first part; None if tallies do not cover the question."""
    wanted = tallied_predictions(question)
    if wanted is None:
        return None
    if question.sort == "wrong":
        wanted.append(PredictionTally.label.is_not(None))
    return _tallied(session, wanted)


def before(
    session: Session, question: Question, ahead: Select[Any], earlier: ColumnElement[bool], value: float
) -> int | None:
    """The number of cases in `ahead`, a SELECT from Prediction and Image, that fulfil `earlier`; None if tallies do not
    cover the question.

    value: the sort key at which `earlier` ends; every case more than a bin before it must fulfil `earlier`.
    """
    wanted = tallied_predictions(question)
    if wanted is None:
        return None
    whole, rest = _parts(question, value)
    found = _tallied(session, [*wanted, whole])
    for part in rest:
        counted = select(func.count()).select_from(ahead.where(earlier, part).subquery())
        found += session.scalar(counted) or 0
    return found


def start(session: Session, question: Question, ahead: Select[Any], offset: int) -> Start | None:
    """The last bin edge with at most `offset` cases before it; None if tallies do not cover the question, or it would
    be the start of the list."""
    wanted = tallied_predictions(question)
    if wanted is None:
        return None
    columns = (PredictionTally.label, PredictionTally.bin)
    rows = session.execute(select(*columns, func.sum(PredictionTally.images)).where(*wanted).group_by(*columns))
    ranked: Counter[int] = Counter()
    for label, part, images in rows:
        if question.sort != "wrong" or label is not None:
            ranked[_rank(question, label, part)] += images
    sums = list(accumulate((ranked[rank] for rank in range(BINS + 1)), initial=0))
    rank = max(rank for rank, earlier in enumerate(sums) if earlier <= offset)
    for near in range(rank, 0, -1):  # cases on the edge of a bin may be tallied on its other side
        value = (BINS + 1 - near if question.sort in ("wrong", "high") else near) / BINS
        found = before(session, question, ahead, past(question, value), value)
        if found is not None and found <= offset:
            return Start(value, found)
    return None


def past(question: Question, value: float) -> ColumnElement[bool]:
    """Condition for what comes before the value in the list."""
    beyond: ColumnElement[bool] = key(question) > value if question.sort in ("wrong", "high") else key(question) < value
    return beyond


def _tallied(session: Session, wanted: list[ColumnElement[bool]]) -> int:
    return session.scalar(select(func.coalesce(func.sum(PredictionTally.images), 0)).where(*wanted)) or 0


def _rank(question: Question, label: int | None, part: int) -> int:
    """The rank of a bin in the list's order, from 0."""
    if question.sort == "uncertain":
        return min(BINS, int(abs(part + 0.5 - BINS * nearest(question))))
    rising = question.sort == "low" or (question.sort == "wrong" and label == 1)
    return part if rising else BINS - part


def _parts(question: Question, value: float) -> tuple[ColumnElement[bool], list[ColumnElement[bool]]]:
    """A condition for the tally bins entirely before the value, and conditions for the predictions outside these bins
    that may also come before it."""
    if question.sort == "uncertain":
        return _around_threshold(nearest(question), value)
    part = _bin(value)
    if question.sort == "high":
        return PredictionTally.bin > part, [Prediction.probability < (part + 1) / BINS]
    if question.sort == "low":
        return PredictionTally.bin < part, [Prediction.probability >= part / BINS]
    # an error of 1 - p lies in the mirrored bin of p, possibly off by one through rounding
    low = BINS - 2 - part
    whole = or_(
        and_(PredictionTally.label == 0, PredictionTally.bin > part),
        and_(PredictionTally.label == 1, PredictionTally.bin < low),
    )
    left = or_(
        and_(Image.label == 0, Prediction.probability < (part + 1) / BINS),
        and_(Image.label == 1, Prediction.probability >= low / BINS),
    )
    return whole, [and_(left, Prediction.error <= (part + 3) / BINS)]


def _around_threshold(threshold: float, distance: float) -> tuple[ColumnElement[bool], list[ColumnElement[bool]]]:
    least, most = threshold - distance - NEAR, threshold + distance + NEAR
    low, high = int(least * BINS) + 2, int(most * BINS) - 2
    probability = Prediction.probability
    if low >= high:
        return ~true(), [probability.between(least, most)]
    whole = and_(PredictionTally.bin >= low, PredictionTally.bin < high)
    below, above = (
        and_(probability >= least, probability < low / BINS),
        and_(probability >= high / BINS, probability <= most),
    )
    return whole, [below, above]


def _bin(value: float) -> int:
    """The bin of a value in [0, 1], robust against rounding of the product."""
    part = int(value * BINS) + 1
    while part / BINS > value:
        part -= 1
    return part
