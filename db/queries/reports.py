"""Which reports match a question, how they score, and how models and strategies compare."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.models import Image, Prediction, Report, ReportFailure, ReportScore, Run

STANCES: dict[str, float | None] = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}
"""A stance as the score row `stance` stores it."""
LABELS: dict[str, int | None] = {"pneumonia": 1, "normal": 0, "unknown": None}
PROBLEMS: dict[str, tuple[str, Callable[[Any, Any], Any], float]] = {
    "label": ("stance_agreement", operator.eq, 0.0),
    "classifier": ("classifier_agreement", operator.eq, 0.0),
    "unsupported": ("unsupported", operator.gt, 0.0),
    "contradiction": ("contradictions", operator.gt, 0.0),
    "side": ("laterality", operator.lt, 1.0),
    "form": ("format", operator.lt, 1.0),
    "repetition": ("repetition", operator.ge, 0.2),
    "truncated": ("truncated", operator.gt, 0.0),
}
"""What can be wrong with a report -> the score that shows it, and how that compares with which value."""


@dataclass(frozen=True)
class ReportQuestion:
    """What a list of reports is about; None leaves a side open. label: of LABELS; stance: of STANCES; problem: of
    PROBLEMS; score: a metric, whose value lies between low and high."""

    dataset_id: int
    label: str | None = None
    strategy: str | None = None
    model: str | None = None
    stance: str | None = None
    problem: str | None = None
    score: str | None = None
    low: float = 0.0
    high: float = 1.0
    keyword: str | None = None
    """Text that the report contains, case ignored; no wildcards."""
    image_id: int | None = None
    run_id: int | None = None
    disagreeing: tuple[int, float] | None = None
    """A predict run and its threshold: only reports whose stance is the opposite of the classifier's call, the most
    confident call first."""


@dataclass(frozen=True)
class ReportRow:
    """One report with its image and its scores by metric; a score is None where it is unknown."""

    report: Report
    image: Image
    scores: dict[str, float | None]

    @property
    def stance(self) -> str:
        """What it says of pneumonia, of STANCES."""
        return {value: name for name, value in STANCES.items()}[self.scores.get("stance")]

    @property
    def problems(self) -> list[str]:
        """What its scores show to be wrong with it, of PROBLEMS; what is unknown is not wrong."""
        known = {name: self.scores.get(metric) for name, (metric, _, _) in PROBLEMS.items()}
        return [
            name
            for name, (_, compare, bound) in PROBLEMS.items()
            if known[name] is not None and compare(known[name], bound)
        ]


@dataclass(frozen=True)
class Standing:
    """A model under a strategy: how many reports, and the mean of each metric over those that have it."""

    model: str
    strategy: str
    reports: int
    means: dict[str, float]


@dataclass(frozen=True)
class PredictedImage:
    """An image with what a predict run says of it."""

    image: Image
    probability: float
    zones: dict[str, float]


def _matching(question: ReportQuestion, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """`query`, a selection from Report, narrowed to what the question asks.

    A report belongs to a picture's content: where two datasets hold the same file, both show it.
    """
    query = query.join(Image, Image.sha256 == Report.image_sha256).where(Image.dataset_id == question.dataset_id)
    for column, wanted in (
        (Report.strategy, question.strategy),
        (Report.model, question.model),
        (Image.id, question.image_id),
        (Report.run_id, question.run_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if question.label is not None:
        query = query.where(Image.label.is_not_distinct_from(LABELS[question.label]))
    if question.stance is not None:
        query, stance = _scored(query, "stance")
        query = query.where(stance.is_not_distinct_from(STANCES[question.stance]))
    if question.problem is not None:
        metric, compare, bound = PROBLEMS[question.problem]
        query, value = _scored(query, metric)
        query = query.where(compare(value, bound))
    if question.score is not None:
        query, value = _scored(query, question.score)
        query = query.where(value.between(question.low, question.high))
    if question.keyword:
        query = query.where(Report.text.icontains(question.keyword, autoescape=True))
    if question.disagreeing is not None:
        run_id, threshold = question.disagreeing
        query, said = _scored(query, "stance")
        query = query.join(Prediction, and_(Prediction.image_id == Image.id, Prediction.run_id == run_id))
        called = Prediction.probability >= threshold
        query = query.where(or_(and_(called, said == 0.0), and_(~called, said == 1.0)))
    return query


def _scored(query: Select[*tuple[Any, ...]], metric: str) -> tuple[Select[*tuple[Any, ...]], Any]:
    """The query joined to the report's score of that metric, and the score's value."""
    score = aliased(ReportScore)
    return query.join(score, and_(score.report_id == Report.id, score.metric == metric)), score.value


def _order(question: ReportQuestion) -> tuple[ColumnElement[Any], ...]:
    """The latest first, or where disagreements are asked for the most confident call first."""
    if question.disagreeing is None:
        return (Report.id.desc(),)
    return (func.abs(Prediction.probability - question.disagreeing[1]).desc(), Report.id.desc())


def page(session: Session, question: ReportQuestion, *, limit: int = 50, offset: int = 0) -> list[ReportRow]:
    """The reports asked for, the latest first, or disagreements by the classifier's confidence."""
    wanted = _matching(question, select(Report.id, Image.id.label("image_id")))
    wanted = wanted.add_columns(func.row_number().over(order_by=_order(question)).label("place"))
    wanted = wanted.order_by(*_order(question)).limit(limit).offset(offset)
    return _rows(session, wanted)


def _rows(session: Session, wanted: Select[*tuple[Any, ...]]) -> list[ReportRow]:
    """The reports whose ids and images `wanted` selects, with their scores: by its `place` where it gives one, else the
    latest first."""
    chosen = wanted.subquery()
    query = select(Report, Image).join(chosen, chosen.c.id == Report.id).join(Image, Image.id == chosen.c.image_id)
    found = session.execute(query.order_by(chosen.c.place if "place" in chosen.c else Report.id.desc())).all()
    scores: dict[int, dict[str, float | None]] = {}
    columns = select(ReportScore.report_id, ReportScore.metric, ReportScore.value)
    for number, metric, value in session.execute(
        columns.where(ReportScore.report_id.in_([report.id for report, _ in found]))
    ):
        scores.setdefault(number, {})[metric] = value
    return [ReportRow(report, image, scores.get(report.id, {})) for report, image in found]


def count(session: Session, question: ReportQuestion) -> int:
    """How many reports the question has."""
    return session.scalar(_matching(question, select(func.count()).select_from(Report))) or 0


def of_image(session: Session, image_id: int) -> list[ReportRow]:
    """All reports of one image, the latest first."""
    wanted = select(Report.id, Image.id.label("image_id")).join(Image, Image.sha256 == Report.image_sha256)
    return _rows(session, wanted.where(Image.id == image_id))


def count_of_run(session: Session, run_id: int) -> int:
    """How many reports the run itself wrote."""
    return session.scalar(select(func.count()).select_from(Report).where(Report.run_id == run_id)) or 0


def failed(session: Session, run_id: int, *, limit: int) -> tuple[int, list[ReportFailure]]:
    """How many reports of the run could not be written, and the first of them."""
    query = select(ReportFailure).where(ReportFailure.run_id == run_id)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    return total, list(session.scalars(query.order_by(ReportFailure.id).limit(limit)))


def choices(session: Session, dataset_id: int) -> tuple[list[str], list[str]]:
    """The models and the strategies that the dataset has reports of, by name."""
    query = select(Report.model, Report.strategy).join(Image, Image.sha256 == Report.image_sha256)
    pairs = session.execute(query.where(Image.dataset_id == dataset_id).distinct()).all()
    return sorted({model for model, _ in pairs}), sorted({strategy for _, strategy in pairs})


def leaderboard(session: Session, dataset_id: int) -> list[Standing]:
    """Models under strategies, by name, with the mean of every metric."""
    query = (
        select(
            Report.model,
            Report.strategy,
            ReportScore.metric,
            func.count(Report.id.distinct()),
            func.avg(ReportScore.value),
        )
        .join(ReportScore, ReportScore.report_id == Report.id)
        .join(Image, Image.sha256 == Report.image_sha256)
        .where(Image.dataset_id == dataset_id)
        .group_by(Report.model, Report.strategy, ReportScore.metric)
        .order_by(Report.model, Report.strategy)
    )
    groups: dict[tuple[str, str], list[tuple[str, int, float | None]]] = {}
    for model, strategy, metric, reports, mean in session.execute(query):
        groups.setdefault((model, strategy), []).append((metric, reports, mean))
    return [
        Standing(*key, max(n for _, n, _ in rows), {metric: mean for metric, _, mean in rows if mean is not None})
        for key, rows in groups.items()
    ]


def predicted(session: Session, run: Run, *, split: str | None = None) -> list[PredictedImage]:
    """The images that a predict run scored, in id order."""
    query = (
        select(Image, Prediction.probability, Prediction.zones)
        .join(Prediction, Prediction.image_id == Image.id)
        .where(Prediction.run_id == run.id)
        .order_by(Image.id)
    )
    if split is not None:
        query = query.where(Image.split == split)
    return [PredictedImage(image, probability, zones or {}) for image, probability, zones in session.execute(query)]


def _keyed(shas: Sequence[str], model: str, revision: str, prompt: str, settings: str) -> ColumnElement[bool]:
    return and_(
        Report.image_sha256.in_(shas),
        Report.model == model,
        Report.revision == revision,
        Report.prompt_sha256 == prompt,
        Report.settings_sha256 == settings,
    )


def failures(session: Session, shas: Sequence[str], model: str, revision: str) -> list[str]:
    """When each failed report of these images by this model was tried last, in id order."""
    query = select(ReportFailure.created).where(
        ReportFailure.image_sha256.in_(shas), ReportFailure.model == model, ReportFailure.revision == revision
    )
    return [created.isoformat() for created in session.scalars(query.order_by(ReportFailure.id))]


def stored(
    session: Session, shas: Sequence[str], *, model: str, revision: str, prompt_sha256: str, settings_sha256: str
) -> list[Report]:
    """The reports that exist already under this key, of the images named."""
    query = select(Report).where(_keyed(shas, model, revision, prompt_sha256, settings_sha256))
    return list(session.scalars(query))


def of_images(session: Session, shas: Sequence[str]) -> list[Report]:
    """Every report of these images, in id order."""
    found: list[Report] = []
    for start in range(0, len(shas), 500):
        found += session.scalars(select(Report).where(Report.image_sha256.in_(shas[start : start + 500])))
    return sorted(found, key=lambda report: report.id)


def latest_of(session: Session, shas: Sequence[str]) -> dict[str, Report]:
    """The latest report of each of these images, by their sha256."""
    newest = select(func.max(Report.id)).where(Report.image_sha256.in_(shas)).group_by(Report.image_sha256)
    return {report.image_sha256: report for report in session.scalars(select(Report).where(Report.id.in_(newest)))}


def stored_scores(
    session: Session, shas: Sequence[str], *, model: str, revision: str, prompt_sha256: str, settings_sha256: str
) -> list[tuple[str, float | None]]:
    """Metric and value of every score that those reports have."""
    query = select(ReportScore.metric, ReportScore.value).join(Report, Report.id == ReportScore.report_id)
    rows = session.execute(query.where(_keyed(shas, model, revision, prompt_sha256, settings_sha256)))
    return [(metric, value) for metric, value in rows]
