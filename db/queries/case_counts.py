"""How many cases there are, of each outcome as well: from what was tallied where that tells, else by counting."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select, true
from sqlalchemy.orm import Session

from db.models import Dataset, Image, ImageTally, Prediction, PredictionTally
from db.queries import report_counts
from db.queries.case_questions import (
    LABELS,
    OUTCOMES,
    UNKNOWN,
    Outcome,
    Question,
    asks_predictions,
    conditions,
    joined,
)
from db.queries.report_questions import ReportQuestion
from db.tallies import BINS

Tally = type[ImageTally] | type[PredictionTally]
SOUGHT = 10_000
"""Reports up to which the images that they describe are found and sorted, among a million, sooner than enough of them
are met on a walk."""
NAMES: dict[tuple[int, bool], Outcome] = {(1, True): "TP", (1, False): "FN", (0, True): "FP", (0, False): "TN"}


def count(session: Session, question: Question) -> int:
    """How many distinct images match."""
    denied = _denied(question)
    if denied is not None:
        whole, part = (count(session, side) for side in denied)
        return whole - part
    tallied = _tallied(question)
    if tallied is not None:
        table, wanted = tallied
        return session.scalar(select(func.coalesce(func.sum(table.images), 0)).where(*wanted)) or 0
    told = share(session, question)
    common = told is not None and told[0] > told[1] / 9  # one that is found by its error costs as much as 9 walked to
    question = replace(question, sought=True, rarest=_rarest(session, question))
    query = select(func.count()).select_from(Image).where(*conditions(question, by_id=common))
    return session.scalar(joined(query, question, inner=True) if asks_predictions(question) else query) or 0


def planned(session: Session, question: Question) -> Question:
    """The same question, its described images `sought` where their reports are few, and the images that have an
    attribute found where they are few."""
    question = replace(question, rarest=_rarest(session, question))
    if question.reported != "yes":
        return question
    reports = report_counts.tallied(session, ReportQuestion(dataset_id=question.dataset_id))
    return replace(question, sought=(reports or 0) <= SOUGHT)


def _rarest(session: Session, question: Question) -> tuple[str, str] | None:
    """Of the question's attributes that of the fewest images, where they are few."""
    if not question.attributes:
        return None
    counts = session.get_one(Dataset, question.dataset_id).attributes
    known = [pair for pair in question.attributes if pair[1] != UNKNOWN]
    images, pair = min(
        ((counts.get(name, {}).get(value, 0), (name, value)) for name, value in known), default=(0, None)
    )
    return pair if images <= SOUGHT else None


def share(session: Session, question: Question) -> tuple[int, int] | None:
    """How many images match at most, for what the question asks of predictions, and among how many; None where it asks
    nothing of them, or no tally tells."""
    if not asks_predictions(question):
        return None
    asked = replace(question, reported=None, sought=False, twin=None, slice_id=None, tag=None, reviewed=None)
    query = _shared(replace(asked, attributes=question.attributes[:1], rarest=None))
    if query is None:
        return None
    matching, among = session.execute(query).one()
    return matching, among


@lru_cache(maxsize=256)
def _shared(question: Question) -> Select[Any] | None:
    """Kept, as `_tallied_confusion`."""
    whole = replace(question, outcome=None, low=0.0, high=1.0, moved=False)
    wanted, among = tallied_predictions(question), tallied_predictions(whole)
    if wanted is None or among is None:
        return None
    images = func.sum(PredictionTally.images)
    found: list[Any] = [func.coalesce(images.filter(and_(*wanted)), 0), func.coalesce(images, 0)]
    return select(*found).where(*among)


def confusion(session: Session, question: Question) -> dict[Outcome, int] | None:
    """Distinct images by outcome under the question's other sides; None where there is no run or no threshold."""
    if question.run_id is None or question.threshold is None:
        return None
    asked = replace(question, outcome=None)
    denied = _denied(asked)
    if denied is not None:
        whole, part = (confusion(session, side) for side in denied)
        return whole and part and {name: whole[name] - part[name] for name in OUTCOMES}
    query = _tallied_confusion(asked)
    if query is not None:
        return dict(zip(OUTCOMES, session.execute(query).one(), strict=True))
    asked = replace(asked, sought=True, rarest=_rarest(session, asked))
    positive = case((Prediction.probability >= question.threshold, 1), else_=0).label("called")
    seen = joined(select(Image.label, positive).select_from(Image), question, inner=True)
    table = seen.where(*conditions(asked)).subquery()
    query = select(table.c.label, table.c.called, func.count())
    counts: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
    query = query.where(table.c.label.is_not(None)).group_by(table.c.label, table.c.called)
    for label, positive_call, number in session.execute(query):
        counts[NAMES[label, bool(positive_call)]] = number
    return counts


def _denied(question: Question) -> tuple[Question, Question] | None:
    """Of what was not reviewed, or no report describes: all, and what was or is, which leave it when one is taken from
    the other. All are tallied as a rule, and those that are, are fewer."""
    if question.reviewed == "no":
        return replace(question, reviewed=None), replace(question, reviewed="yes")
    if question.reported == "no":
        return replace(question, reported=None), replace(question, reported="yes")
    return None


@lru_cache(maxsize=256)
def _tallied_confusion(question: Question) -> Select[Any] | None:
    """How many of each of OUTCOMES were tallied; None where no tally tells. Kept, as putting it together takes longer
    than it runs."""
    called, wanted = _called(question, question.threshold), tallied_predictions(question)
    if called is None or wanted is None:
        return None
    images = func.sum(PredictionTally.images)
    found: list[Any] = [func.coalesce(images.filter(_outcome_is(name, called)), 0) for name in OUTCOMES]
    return select(*found).where(*wanted)


def _plain(question: Question) -> bool:
    """Whether the question asks only for what tallies tell, thresholds apart."""
    others = (question.reported, question.twin, question.slice_id, question.tag, question.among, question.reviewed)
    on_edges = all(_edge(value) is not None for value in (question.low, question.high))
    apart = len(question.attributes) > 1
    return on_edges and not apart and all(other is None for other in (*others, question.flipped))


def _edge(value: float) -> int | None:
    """The bin that begins at a probability, or None where none does."""
    near = round(value * BINS)
    return near if near / BINS == value else None


def _tallied(question: Question) -> tuple[Tally, list[ColumnElement[bool]]] | None:
    """The tally that tells, and its rows; None where none does."""
    if asks_predictions(question):
        wanted = tallied_predictions(question)
        return None if wanted is None else (PredictionTally, wanted)
    if not _plain(question):
        return None
    return ImageTally, [ImageTally.dataset_id == question.dataset_id, *_sides(ImageTally, question)]


def tallied_predictions(question: Question) -> list[ColumnElement[bool]] | None:
    """The rows of PredictionTally that match; None where it cannot tell."""
    if not _plain(question):
        return None
    wanted = [PredictionTally.run_id == question.run_id, *_sides(PredictionTally, question)]
    if question.low > 0.0:
        wanted.append(PredictionTally.bin >= (_edge(question.low) or 0))
    if question.high < 1.0:
        wanted.append(PredictionTally.bin < (_edge(question.high) or 0))
    called, usual = (_called(question, threshold) for threshold in (question.threshold, question.own_threshold))
    if question.outcome is not None:
        if called is None:
            return None
        wanted.append(_outcome_is(question.outcome, called))
    if question.moved:
        if called is None or usual is None:
            return None
        wanted.append(called != usual)
    return wanted


def _called(question: Question, threshold: float | None) -> ColumnElement[bool] | None:
    """Which tallied predictions reach the threshold; None where the tally cannot tell."""
    if threshold is None:
        return None
    if threshold == question.own_threshold:
        return PredictionTally.called.is_(True)
    edge = _edge(threshold)
    return None if edge is None else PredictionTally.bin >= edge


def _sides(table: Tally, question: Question) -> list[ColumnElement[bool]]:
    """What the question asks of split, label, cause and an attribute."""
    name, value = question.attributes[0] if question.attributes else ("", "")
    wanted: list[ColumnElement[bool]] = [table.attribute == name, table.value == value]
    if question.split is not None:
        wanted.append(table.split.is_(None) if question.split == UNKNOWN else table.split == question.split)
    if question.label is not None:
        label = LABELS[question.label]
        wanted.append(table.label.is_(None) if label is None else table.label == label)
    if question.cause is not None:
        unknown = table.cause.is_(None) & table.label.is_distinct_from(LABELS["normal"])
        wanted.append(unknown if question.cause == UNKNOWN else table.cause == question.cause)
    return wanted


def _outcome_is(wanted: str, called: ColumnElement[bool]) -> Any:
    ill, well = PredictionTally.label == 1, PredictionTally.label == 0
    clauses = {"TP": ill & called, "FN": ill & ~called, "FP": well & called, "TN": well & ~called}
    return clauses["FP"] | clauses["FN"] if wanted == "wrong" else clauses.get(wanted, ~true())
