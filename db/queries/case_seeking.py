"""How many cases of a sorted list come before a value, and where in the list a far page begins: both from what was
tallied, but for the bin or two that the value lies in, whose cases are counted."""

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
"""Rounding that a distance from the threshold may carry."""


@dataclass(frozen=True)
class Start:
    """Where a page may begin: the value that the list has got to, in what it is sorted by, and how many come before
    it."""

    value: float
    before: int


def key(question: Question) -> Any:
    """What the list is sorted by; "wrong" and "high" from its largest value, the others from the smallest."""
    if question.sort == "wrong":
        return Prediction.error
    return (
        func.abs(Prediction.probability - nearest(question)) if question.sort == "uncertain" else Prediction.probability
    )


def nearest(question: Question) -> float:
    """The threshold that "uncertain" means."""
    return 0.5 if question.threshold is None else question.threshold


def total(session: Session, question: Question) -> int | None:
    """How many images that match the run says something of; None where the tallies cannot tell."""
    wanted = tallied_predictions(question)
    if wanted is None:
        return None
    if question.sort == "wrong":
        wanted.append(PredictionTally.label.is_not(None))
    return _tallied(session, wanted)


def before(
    session: Session, question: Question, ahead: Select[Any], earlier: ColumnElement[bool], value: float
) -> int | None:
    """How many of `ahead`, a selection from Prediction and Image, are `earlier`; None where the tallies cannot tell.

    value: the key where that ends; whatever lies before it by more than a bin must be earlier.
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
    """A value that at most `offset` cases come before, fewer by what one bin holds at most; None where the tallies
    cannot tell, or the bin is the list's first."""
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
    for near in range(rank, 0, -1):  # the tallies are off by what lies on the edge of a bin
        value = (BINS + 1 - near if question.sort in ("wrong", "high") else near) / BINS
        found = before(session, question, ahead, past(question, value), value)
        if found is not None and found <= offset:
            return Start(value, found)
    return None


def past(question: Question, value: float) -> ColumnElement[bool]:
    """What comes before the value in the list."""
    beyond: ColumnElement[bool] = key(question) > value if question.sort in ("wrong", "high") else key(question) < value
    return beyond


def _tallied(session: Session, wanted: list[ColumnElement[bool]]) -> int:
    return session.scalar(select(func.coalesce(func.sum(PredictionTally.images), 0)).where(*wanted)) or 0


def _rank(question: Question, label: int | None, part: int) -> int:
    """The place of a bin in the list's order, from 0."""
    if question.sort == "uncertain":
        return min(BINS, int(abs(part + 0.5 - BINS * nearest(question))))
    rising = question.sort == "low" or (question.sort == "wrong" and label == 1)
    return part if rising else BINS - part


def _parts(question: Question, value: float) -> tuple[ColumnElement[bool], list[ColumnElement[bool]]]:
    """The tallied bins that come before the value as a whole, and which predictions are in none of them and near
    enough to come before it."""
    if question.sort == "uncertain":
        return _around_threshold(nearest(question), value)
    part = _bin(value)
    if question.sort == "high":
        return PredictionTally.bin > part, [Prediction.probability < (part + 1) / BINS]
    if question.sort == "low":
        return PredictionTally.bin < part, [Prediction.probability >= part / BINS]
    # an error of 1 - p lies in the bins of p turned round, and a rounding off
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
    """The bin of a value in [0, 1], whatever the product's rounding."""
    part = int(value * BINS) + 1
    while part / BINS > value:
        part -= 1
    return part
