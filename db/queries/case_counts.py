"""Numbers of cases, in total and by outcome: from tallies where possible, else by counting."""

from dataclasses import fields, replace
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
    Plan,
    Question,
    asks_predictions,
    conditions,
    given,
    joined,
)
from db.queries.report_questions import ReportQuestion
from db.tallies import BINS

Tally = type[ImageTally] | type[PredictionTally]
SOUGHT = 10_000
"""Maximum number of reports (or images) for which finding the images and sorting them is faster, among a million
images, than scanning in list order until enough are found."""
TALLIED = frozenset(("dataset_id", "run_id", "threshold", "own_threshold", "split", "label", "cause", "attributes"))
TALLIED |= {"outcome", "changed_by_threshold", "low", "high", "sort", "plan"}
"""The fields of a question that tallies cover: of attributes one, of thresholds and probabilities those on edges of
bins."""
BESIDE = frozenset(("reported", "near_duplicate", "slice_id", "changed_under", "outlier_of", "tag", "reviewed", "plan"))
"""The fields that `share` ignores: conditions on images alone, and the plan."""
NAMES: dict[tuple[int, bool], Outcome] = {(1, True): "TP", (1, False): "FN", (0, True): "FP", (0, False): "TN"}


def count(session: Session, question: Question) -> int:
    """The number of distinct images that match."""
    complement = _complement(question)
    if complement is not None:
        whole, part = (count(session, side) for side in complement)
        return whole - part
    tallied = _tallied(question)
    if tallied is not None:
        table, wanted = tallied
        return session.scalar(select(func.coalesce(func.sum(table.images), 0)).where(*wanted)) or 0
    estimate = share(session, question)
    # finding a prediction by its error costs as much as scanning 9
    common = estimate is not None and estimate[0] > estimate[1] / 9
    question = replace(question, plan=Plan(attribute=_rarest(session, question), reports=True))
    query = select(func.count()).select_from(Image).where(*conditions(question, by_id=common))
    return session.scalar(joined(query, question, inner=True) if asks_predictions(question) else query) or 0


def planned(session: Session, question: Question) -> Question:
    """The same question with the plan for lists: reports are looked up first if there are few, an attribute if it has
    few images."""
    every = ReportQuestion(dataset_id=question.dataset_id)
    reports = question.reported == "yes" and (report_counts.tallied(session, every) or 0) <= SOUGHT
    return replace(question, plan=Plan(attribute=_rarest(session, question), reports=reports))


def _rarest(session: Session, question: Question) -> tuple[str, str] | None:
    """The question's attribute with the fewest images, if they are at most SOUGHT."""
    if not question.attributes:
        return None
    counts = session.get_one(Dataset, question.dataset_id).attributes
    known = [pair for pair in question.attributes if pair[1] != UNKNOWN]
    images, pair = min(
        ((counts.get(name, {}).get(value, 0), (name, value)) for name, value in known), default=(0, None)
    )
    return pair if images <= SOUGHT else None


def share(session: Session, question: Question) -> tuple[int, int] | None:
    """(an upper bound of the number of matching images, from the conditions on predictions; the number without these
    conditions). None if there are no conditions on predictions, or no tally covers them."""
    if not asks_predictions(question):
        return None
    usual: dict[str, Any] = {field.name: field.default for field in fields(question) if field.name in BESIDE}
    query = _shared(replace(question, **usual, attributes=question.attributes[:1]))
    if query is None:
        return None
    matching, among = session.execute(query).one()
    return matching, among


@lru_cache(maxsize=256)
def _shared(question: Question) -> Select[Any] | None:
    """The query of `share`; cached like `_tallied_confusion`."""
    whole = replace(question, outcome=None, low=0.0, high=1.0, changed_by_threshold=False)
    wanted, among = tallied_predictions(question), tallied_predictions(whole)
    if wanted is None or among is None:
        return None
    images = func.sum(PredictionTally.images)
    found: list[Any] = [func.coalesce(images.filter(and_(*wanted)), 0), func.coalesce(images, 0)]
    return select(*found).where(*among)


def confusion(session: Session, question: Question) -> dict[Outcome, int] | None:
    """The number of distinct images by outcome, under the question's other conditions; None without run or
    threshold."""
    if question.run_id is None or question.threshold is None:
        return None
    asked = replace(question, outcome=None)
    complement = _complement(asked)
    if complement is not None:
        whole, part = (confusion(session, side) for side in complement)
        return whole and part and {name: whole[name] - part[name] for name in OUTCOMES}
    query = _tallied_confusion(asked)
    if query is not None:
        return dict(zip(OUTCOMES, session.execute(query).one(), strict=True))
    asked = replace(asked, plan=Plan(attribute=_rarest(session, asked), reports=True))
    positive = case((Prediction.probability >= question.threshold, 1), else_=0).label("called")
    seen = joined(select(Image.label, positive).select_from(Image), question, inner=True)
    table = seen.where(*conditions(asked)).subquery()
    query = select(table.c.label, table.c.called, func.count())
    counts: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
    query = query.where(table.c.label.is_not(None)).group_by(table.c.label, table.c.called)
    for label, positive_call, number in session.execute(query):
        counts[NAMES[label, bool(positive_call)]] = number
    return counts


def _complement(question: Question) -> tuple[Question, Question] | None:
    """For images that are not reviewed, or have no report: the questions for all images and for those that are or have,
    whose difference answers it faster, since the former is usually tallied and the latter are fewer. Else None."""
    if question.reviewed == "no":
        return replace(question, reviewed=None), replace(question, reviewed="yes")
    if question.reported == "no":
        return replace(question, reported=None), replace(question, reported="yes")
    return None


@lru_cache(maxsize=256)
def _tallied_confusion(question: Question) -> Select[Any] | None:
    """The query for the tallied number of each of OUTCOMES; None if no tally covers the question. Cached, because
    building it takes longer than running it."""
    called, wanted = _called(question, question.threshold), tallied_predictions(question)
    if called is None or wanted is None:
        return None
    images = func.sum(PredictionTally.images)
    found: list[Any] = [func.coalesce(images.filter(_outcome_is(name, called)), 0) for name in OUTCOMES]
    return select(*found).where(*wanted)


def _plain(question: Question) -> bool:
    """Whether the question has only conditions that tallies cover, thresholds aside."""
    on_edges = all(_edge(value) is not None for value in (question.low, question.high))
    return on_edges and len(question.attributes) <= 1 and given(question) <= TALLIED


def _edge(value: float) -> int | None:
    """The bin that starts at a probability, or None if none does."""
    near = round(value * BINS)
    return near if near / BINS == value else None


def _tallied(question: Question) -> tuple[Tally, list[ColumnElement[bool]]] | None:
    """The tally table that covers the question, and conditions on its rows; None if none does."""
    if asks_predictions(question):
        wanted = tallied_predictions(question)
        return None if wanted is None else (PredictionTally, wanted)
    if not _plain(question):
        return None
    return ImageTally, [ImageTally.dataset_id == question.dataset_id, *_sides(ImageTally, question)]


def tallied_predictions(question: Question) -> list[ColumnElement[bool]] | None:
    """Conditions on the rows of PredictionTally that match; None if the tally does not cover the question."""
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
    if question.changed_by_threshold:
        if called is None or usual is None:
            return None
        wanted.append(called != usual)
    return wanted


def _called(question: Question, threshold: float | None) -> ColumnElement[bool] | None:
    """Condition that tallied predictions are at or above the threshold; None if the tally cannot say."""
    if threshold is None:
        return None
    if threshold == question.own_threshold:
        return PredictionTally.called.is_(True)
    edge = _edge(threshold)
    return None if edge is None else PredictionTally.bin >= edge


def _sides(table: Tally, question: Question) -> list[ColumnElement[bool]]:
    """The question's conditions on split, label, cause and an attribute."""
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
