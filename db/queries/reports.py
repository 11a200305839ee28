"""The reports that match a question, a page at a time, with scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, union_all
from sqlalchemy.orm import Session

from db.batches import batches
from db.models import Image, Prediction, Report, ReportFailure, ReportScore, Run
from db.queries import case_counts
from db.queries.report_counts import LeaderboardRow as LeaderboardRow
from db.queries.report_counts import choices as choices
from db.queries.report_counts import leaderboard as leaderboard
from db.queries.report_counts import of_demand
from db.queries.report_counts import tallied as tallied
from db.queries.report_counts import unscored as unscored
from db.queries.report_questions import (
    OWN,
    PROBLEMS,
    STANCES,
    ScoreCondition,
    cases_of,
    conditions,
    score_conditions,
    score_of,
)
from db.queries.report_questions import ReportQuestion as ReportQuestion

MANY = 25_000
"""Number of images from which a list tests each report's image instead of looking up all images first."""
FEW = 2000
"""Maximum number of reports that fulfil a score condition for which they are looked up first."""


@dataclass(frozen=True)
class ReportRow:
    """One report with its image, its scores by metric for the image's dataset (None if unknown) and their details."""

    report: Report
    image: Image
    scores: dict[str, float | None]
    details: dict[str, dict[str, Any]]
    predict_run: int | None = None
    """The predict run that the report was written from; None if its generator does not use predictions."""

    @property
    def stance(self) -> str:
        """The report's stance, a key of STANCES."""
        return {value: name for name, value in STANCES.items()}[self.scores.get("stance")]

    @property
    def scored(self) -> bool:
        """Whether the image's dataset has scored the report; if not, only scores of its text alone are known."""
        return OWN in self.scores

    @property
    def problems(self) -> list[str]:
        """The problems, keys of PROBLEMS, that its scores show; unknown scores show none."""
        known = {name: self.scores.get(metric) for name, (metric, _, _) in PROBLEMS.items()}
        return [
            name
            for name, (_, compare, bound) in PROBLEMS.items()
            if known[name] is not None and compare(known[name], bound)
        ]

    def grounds(self, problem: str) -> dict[str, Any]:
        """The detail of the score that shows the problem; {} if there is none."""
        return self.details.get(PROBLEMS[problem][0], {})


def page(
    session: Session, question: ReportQuestion, *, limit: int = 50, offset: int = 0, total: int | None = None
) -> list[ReportRow]:
    """One page of matching reports, latest first, or disagreements by the classifier's confidence. total: see `ids`."""
    wanted = ids(session, question, limit=limit, offset=offset, total=total)
    return rows(session, question.dataset_id, wanted)


def ids(
    session: Session,
    question: ReportQuestion,
    *,
    limit: int | None = None,
    offset: int = 0,
    total: int | None = None,
) -> Sequence[int]:
    """The ids of matching reports, in the order of `page`; all without a limit. total: their number, if known; pages in
    the second half are then read from the end."""
    if question.disagreeing is not None:
        return _opposed(session, question, limit=limit, offset=offset)
    about = cases_of(question)
    images = MANY if about is None else case_counts.count(session, about)
    if not images:
        return []
    query = _matching(question, _few(session, question), images < MANY)
    if limit is not None and total is not None and 2 * offset > total:
        end, start = total - offset, total - offset - limit
        rest = query.order_by(Report.id).limit(max(0, min(limit, end))).offset(max(0, start))
        return session.scalars(rest).all()[::-1]
    return session.scalars(query.order_by(Report.id.desc()).limit(limit).offset(offset or None)).all()


@lru_cache(maxsize=256)
def _matching(question: ReportQuestion, along: ScoreCondition | None, images_first: bool) -> Select[int]:
    """The query for the ids of matching reports. Cached, because building it takes longer than running it."""
    query: Select[int] = select(Report.id).where(*conditions(question, along=along, images_first=images_first))
    return query


def _opposed(session: Session, question: ReportQuestion, *, limit: int | None, offset: int) -> Sequence[int]:
    """Reports that contradict the classifier, its most confident predictions first: from both ends of the probabilities
    inwards."""
    assert question.disagreeing is not None
    run_id, threshold = question.disagreeing
    distance = func.abs(Prediction.probability - threshold).label("distance")
    query = select(Report.id, distance).select_from(Prediction).join(Image, Image.id == Prediction.image_id)
    query = query.join(Report, Report.image_sha256 == Image.sha256).where(Prediction.run_id == run_id)
    # an expression, so that SQLite does not start with the index on the dataset
    query = query.where(Image.dataset_id + 0 == question.dataset_id, *conditions(question))
    score = select(ReportScore.value).where(ReportScore.report_id == Report.id, ReportScore.metric == "stance")
    stance = score.correlate(Report).scalar_subquery()
    above = query.where(Prediction.probability >= threshold, stance == STANCES["normal"])
    below = query.where(Prediction.probability < threshold, stance == STANCES["pneumonia"])
    most = None if limit is None else limit + offset
    sides = (
        above.order_by(Prediction.probability.desc(), Report.id.desc()).limit(most),
        below.order_by(Prediction.probability, Report.id.desc()).limit(most),
    )
    both = union_all(*(select(side.subquery()) for side in sides)).subquery()
    found = select(both.c.id).order_by(both.c.distance.desc(), both.c.id.desc())
    return session.scalars(found.limit(limit).offset(offset or None)).all()


def _few(session: Session, question: ReportQuestion) -> ScoreCondition | None:
    """The first score condition of the question that at most FEW reports fulfil, or None."""
    whole = ReportQuestion(question.dataset_id)
    for demand in score_conditions(question):
        number = of_demand(session, whole, demand)
        if number is not None and number <= FEW:
            return demand
    return None


def rows(session: Session, dataset_id: int, report_ids: Sequence[int]) -> list[ReportRow]:
    """These reports with the dataset's images that they describe and its scores of them, in the given order."""
    if not report_ids:  # with an empty list SQLite would scan all images
        return []
    # an expression, so that SQLite starts with the reports
    image = and_(Image.sha256 == Report.image_sha256, Image.dataset_id + 0 == dataset_id)
    read = Run.config["predict_run"].as_integer()
    query = select(Report, Image, read).join(Image, image).join(Run, Run.id == Report.run_id)
    query = query.where(Report.id.in_(report_ids))
    found = {report.id: (report, image, number) for report, image, number in session.execute(query)}
    scores: dict[int, dict[str, float | None]] = {number: {} for number in found}
    details: dict[int, dict[str, dict[str, Any]]] = {number: {} for number in found}
    columns = select(ReportScore.report_id, ReportScore.metric, ReportScore.value, ReportScore.detail)
    columns = columns.where(score_of(dataset_id))
    for number, metric, value, detail in session.execute(columns.where(ReportScore.report_id.in_(list(found)))):
        scores[number][metric], details[number][metric] = value, detail or {}
    return [
        ReportRow(report, image, scores[number], details[number], read if "classifier" in report.settings else None)
        for number in report_ids
        if number in found
        for report, image, read in (found[number],)
    ]


def of_image(session: Session, image_id: int) -> list[ReportRow]:
    """All reports on one image, latest first."""
    image = session.get(Image, image_id)
    if image is None:
        return []
    return rows(session, image.dataset_id, ids(session, ReportQuestion(image.dataset_id, image_id=image_id)))


def count_of_run(session: Session, run_id: int) -> int:
    """The number of reports that the run itself wrote."""
    return session.scalar(select(func.count()).select_from(Report).where(Report.run_id == run_id)) or 0


def latest_written(session: Session, dataset_id: int) -> datetime | None:
    """When the dataset's latest report was written; None if it has none."""
    held = exists().where(Image.sha256 == Report.image_sha256, Image.dataset_id == dataset_id)
    return session.scalars(select(Report.created).where(held).order_by(Report.id.desc()).limit(1)).first()


def failed(session: Session, run_id: int, *, limit: int) -> tuple[int, list[ReportFailure]]:
    """The number of reports that the run could not generate, and the first `limit` of them."""
    query = select(ReportFailure).where(ReportFailure.run_id == run_id)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    return total, list(session.scalars(query.order_by(ReportFailure.id).limit(limit)))


def _keyed(model: str, revision: str, prompt: str, settings: str) -> ColumnElement[bool]:
    return and_(
        Report.model == model,
        Report.revision == revision,
        Report.prompt_sha256 == prompt,
        Report.settings_sha256 == settings,
    )


def stored(
    session: Session, shas: Sequence[str], *, model: str, revision: str, prompt_sha256: str, settings_sha256: str
) -> list[Report]:
    """The existing reports on these images with this model, revision, prompt and settings."""
    query = select(Report).where(_keyed(model, revision, prompt_sha256, settings_sha256))
    return [one for part in batches(shas) for one in session.scalars(query.where(Report.image_sha256.in_(part)))]


def of_images(session: Session, shas: Sequence[str]) -> list[Report]:
    """All reports on these images, ordered by id."""
    found: list[Report] = []
    for part in batches(shas):
        found += session.scalars(select(Report).where(Report.image_sha256.in_(part)))
    return sorted(found, key=lambda report: report.id)


def with_ids(session: Session, ids: Sequence[int]) -> list[Report]:
    """The reports with these ids, except those that no longer exist."""
    found: list[Report] = []
    for part in batches(ids):
        found += session.scalars(select(Report).where(Report.id.in_(part)))
    return sorted(found, key=lambda report: report.id)


def latest_of(session: Session, shas: Sequence[str]) -> dict[str, Report]:
    """sha256 -> latest report on the image, for these images."""
    newest = select(func.max(Report.id)).where(Report.image_sha256.in_(shas)).group_by(Report.image_sha256)
    return {report.image_sha256: report for report in session.scalars(select(Report).where(Report.id.in_(newest)))}


def stored_scores(
    session: Session,
    dataset_id: int,
    shas: Sequence[str],
    *,
    model: str,
    revision: str,
    prompt_sha256: str,
    settings_sha256: str,
) -> list[tuple[str, float | None]]:
    """(metric, value) of all the dataset's scores of the reports that `stored` would return."""
    query = select(ReportScore.metric, ReportScore.value).join(Report, Report.id == ReportScore.report_id)
    query = query.where(_keyed(model, revision, prompt_sha256, settings_sha256), score_of(dataset_id))
    rows = (row for part in batches(shas) for row in session.execute(query.where(Report.image_sha256.in_(part))))
    return [(metric, value) for metric, value in rows]
