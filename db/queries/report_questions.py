"""Filters for lists of reports, and their conditions in SQL."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Image, Prediction, Report, ReportScore
from db.queries.case_questions import LABELS, Question, cause_is, outcome_is

STANCES: dict[str, float | None] = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}
"""Stance -> value of the score `stance`."""
PROBLEMS: dict[str, tuple[str, Callable[[Any, Any], Any], float]] = {
    "label": ("stance_agreement", operator.eq, 0.0),
    "classifier": ("classifier_opposition", operator.eq, 1.0),
    "undecided": ("classifier_opposition", operator.eq, 0.5),
    "unsupported": ("unsupported", operator.gt, 0.0),
    "contradiction": ("contradictions", operator.gt, 0.0),
    "side": ("laterality", operator.lt, 1.0),
    "form": ("format", operator.lt, 1.0),
    "repetition": ("repetition", operator.ge, 0.2),
    "truncated": ("truncated", operator.gt, 0.0),
}
"""Problem of a report -> (the metric that shows it, comparison, bound)."""

Comparison = Callable[[Any, Any], Any]
OWN = "stance_agreement"
"""A score that every report has of each dataset that scored it, if only as unknown."""


@dataclass(frozen=True)
class ReportQuestion:
    """The filters of a list of reports; None means no filter.

    label, stance, problem: keys of LABELS, STANCES and PROBLEMS. score: a metric with a value between low and high.
    cause, outcome: as in case_questions.Question.
    """

    dataset_id: int
    label: str | None = None
    cause: str | None = None
    outcome: str | None = None
    judged: tuple[int, float] | None = None
    """The predict run and threshold that an outcome refers to."""
    own_threshold: float | None = None
    """That run's own threshold, at which outcomes are counted faster; None if it is unknown."""
    strategy: str | None = None
    model: str | None = None
    stance: str | None = None
    problem: str | None = None
    score: str | None = None
    low: float = 0.0
    high: float = 1.0
    keyword: str | None = None
    """Text that the report contains, ignoring case; no wildcards."""
    image_id: int | None = None
    run_id: int | None = None
    disagreeing: tuple[int, float] | None = None
    """A predict run and its threshold: only reports whose stance is the opposite of its prediction, the most confident
    prediction first."""


@dataclass(frozen=True)
class ScoreCondition:
    """A condition on one score: its value fulfils each (comparison, bound); a bound of None means an unknown value."""

    metric: str
    bounds: tuple[tuple[Comparison, float | None], ...]

    def holds(self, value: Any) -> ColumnElement[bool]:
        """The condition on a column of values."""
        return and_(*(value.is_(None) if bound is None else compare(value, bound) for compare, bound in self.bounds))


def score_of(dataset_id: int) -> ColumnElement[bool]:
    """Whether a score is of this dataset, or of the text alone."""
    return or_(ReportScore.dataset_id.is_(None), ReportScore.dataset_id == dataset_id)


def score_conditions(question: ReportQuestion) -> list[ScoreCondition]:
    """The question's conditions on scores."""
    found = []
    if question.stance is not None:
        found.append(ScoreCondition("stance", ((operator.eq, STANCES[question.stance]),)))
    if question.problem is not None:
        metric, compare, bound = PROBLEMS[question.problem]
        found.append(ScoreCondition(metric, ((compare, bound),)))
    if question.score is not None:
        found.append(ScoreCondition(question.score, ((operator.ge, question.low), (operator.le, question.high))))
    return found


def conditions(
    question: ReportQuestion, *, along: ScoreCondition | None = None, images_first: bool = False
) -> list[ColumnElement[bool]]:
    """The question's conditions on Report, each tested per report, so that a list can scan reports in order and stop.

    along: a score condition that few reports fulfil, which are then looked up first. images_first: whether there are so
    few images that all of them are looked up first.
    """
    among = Report.image_sha256.in_(_images(question, Image.sha256, images_first=True))
    found: list[ColumnElement[bool]] = [among if images_first else image_of(question).is_not(None)]
    if question.image_id is not None:
        own = select(Image.sha256).where(Image.id == question.image_id)
        found.append(Report.image_sha256 == own.scalar_subquery())
    for column, wanted in ((Report.model, question.model), (Report.strategy, question.strategy)):
        if wanted is not None:
            # an expression, so that SQLite starts with the few and not with this column's index
            found.append((column if along is None else func.coalesce(column, "")) == wanted)
    if question.run_id is not None:
        found.append(Report.run_id == question.run_id)
    if question.keyword:
        found.append(Report.text.icontains(question.keyword, autoescape=True))
    for demand in score_conditions(question):
        fits = and_(ReportScore.metric == demand.metric, demand.holds(ReportScore.value), score_of(question.dataset_id))
        if demand == along:
            found.append(Report.id.in_(select(ReportScore.report_id).where(fits)))
        else:
            found.append(exists().where(ReportScore.report_id == Report.id, fits))
    return found


def image_of(question: ReportQuestion) -> ColumnElement[int | None]:
    """The id of the question's image that a report describes, or NULL if it describes none.

    A report belongs to an image's content: if two datasets hold the same file, both show it. The image that the report
    was written for is tried first, because looking it up by id is faster.
    """
    image = _images(question, Image.id, images_first=False)
    own = image.where(Image.id == Report.image_id).correlate(Report).scalar_subquery()
    same = image.where(Image.sha256 == Report.image_sha256).correlate(Report).scalar_subquery()
    return func.coalesce(own, same)


def cases_of(question: ReportQuestion) -> Question | None:
    """The question for the cases that the reports describe, or None if it has no conditions on them except the
    label."""
    if question.cause is None and question.outcome is None:
        return None
    run_id, threshold = question.judged or (None, None)
    return Question(
        question.dataset_id,
        run_id=run_id,
        threshold=threshold,
        own_threshold=question.own_threshold,
        label=question.label,
        cause=question.cause,
        outcome=question.outcome,
    )


def _images(question: ReportQuestion, column: InstrumentedAttribute[Any], *, images_first: bool) -> Select[Any]:
    """A SELECT of a column of the question's images. images_first: see `conditions`."""
    image = select(column).where(Image.dataset_id == question.dataset_id)
    if question.label is not None:
        image = image.where(Image.label.is_not_distinct_from(LABELS[question.label]))
    if question.cause is not None:
        image = image.where(cause_is(question.cause))
    if question.outcome is not None:
        run_id, threshold = question.judged or (0, None)
        image = image.join(Prediction, and_(Prediction.image_id == Image.id, Prediction.run_id == run_id))
        probability: SQLColumnExpression[float] = Prediction.probability
        probability = probability if images_first else probability + 0.0
        image = image.where(outcome_is(question.outcome, threshold, probability, by_error=images_first))
    return image
