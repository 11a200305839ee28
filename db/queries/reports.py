"""Which reports match a question, a page at a time, and how they score."""

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
from db.queries.report_questions import PROBLEMS, STANCES, ScoreCondition, cases_of, conditions, score_conditions
from db.queries.report_questions import ReportQuestion as ReportQuestion

MANY = 25_000
"""Images from which on a list asks of each report whether it describes one, and does not find them all first."""
FEW = 2000
"""Reports with a score asked for, up to which a list walks along the scores instead of along all reports."""


@dataclass(frozen=True)
class ReportRow:
    """One report with its image and its scores by metric, None where one is unknown, and what each rests on."""

    report: Report
    image: Image
    scores: dict[str, float | None]
    details: dict[str, dict[str, Any]]
    predict_run: int | None = None
    """The predict run whose probability the report was written from; None of a generator that does not read it."""

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

    def grounds(self, problem: str) -> dict[str, Any]:
        """What the score that shows the problem rests on; empty where nothing is told."""
        return self.details.get(PROBLEMS[problem][0], {})


def page(
    session: Session, question: ReportQuestion, *, limit: int = 50, offset: int = 0, total: int | None = None
) -> list[ReportRow]:
    """The reports asked for, the latest first, or disagreements by the classifier's confidence. total: see `ids`."""
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
    """Their ids, in that order; all of them without a limit. total: how many there are, where that is known: what lies
    in the second half is then walked to from the end."""
    if question.disagreeing is not None:
        return _opposed(session, question, limit=limit, offset=offset)
    about = cases_of(question)
    films = MANY if about is None else case_counts.count(session, about)
    if not films:
        return []
    query = _matching(question, _few(session, question), films < MANY)
    if limit is not None and total is not None and 2 * offset > total:
        end, start = total - offset, total - offset - limit
        rest = query.order_by(Report.id).limit(max(0, min(limit, end))).offset(max(0, start))
        return session.scalars(rest).all()[::-1]
    return session.scalars(query.order_by(Report.id.desc()).limit(limit).offset(offset or None)).all()


@lru_cache(maxsize=256)
def _matching(question: ReportQuestion, along: ScoreCondition | None, films: bool) -> Select[int]:
    """The ids of the reports that match. Kept, as putting it together takes longer than it runs."""
    query: Select[int] = select(Report.id).where(*conditions(question, along=along, films=films))
    return query


def _opposed(session: Session, question: ReportQuestion, *, limit: int | None, offset: int) -> Sequence[int]:
    """Reports against the classifier, the most confident call first: from both ends of the probabilities inwards."""
    assert question.disagreeing is not None
    run_id, threshold = question.disagreeing
    distance = func.abs(Prediction.probability - threshold).label("distance")
    query = select(Report.id, distance).select_from(Prediction).join(Image, Image.id == Prediction.image_id)
    query = query.join(Report, Report.image_sha256 == Image.sha256).where(Prediction.run_id == run_id)
    # an expression, so that SQLite does not begin with the index on the dataset
    query = query.where(Image.dataset_id + 0 == question.dataset_id, *conditions(question))
    said = select(ReportScore.value).where(ReportScore.report_id == Report.id, ReportScore.metric == "stance")
    stance = said.correlate(Report).scalar_subquery()
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
    """What the question asks of a score that few reports fulfil, if anything is."""
    whole = ReportQuestion(question.dataset_id)
    for demand in score_conditions(question):
        number = of_demand(session, whole, demand)
        if number is not None and number <= FEW:
            return demand
    return None


def rows(session: Session, dataset_id: int, report_ids: Sequence[int]) -> list[ReportRow]:
    """These reports with the dataset's images that they describe and with their scores, in the order given."""
    if not report_ids:  # for an empty list SQLite would walk all images
        return []
    # an expression, so that SQLite begins with the reports
    image = and_(Image.sha256 == Report.image_sha256, Image.dataset_id + 0 == dataset_id)
    read = Run.config["predict_run"].as_integer()
    query = select(Report, Image, read).join(Image, image).join(Run, Run.id == Report.run_id)
    query = query.where(Report.id.in_(report_ids))
    found = {report.id: (report, image, number) for report, image, number in session.execute(query)}
    scores: dict[int, dict[str, float | None]] = {number: {} for number in found}
    details: dict[int, dict[str, dict[str, Any]]] = {number: {} for number in found}
    columns = select(ReportScore.report_id, ReportScore.metric, ReportScore.value, ReportScore.detail)
    for number, metric, value, detail in session.execute(columns.where(ReportScore.report_id.in_(list(found)))):
        scores[number][metric], details[number][metric] = value, detail or {}
    return [
        ReportRow(report, image, scores[number], details[number], read if "classifier" in report.settings else None)
        for number in report_ids
        if number in found
        for report, image, read in (found[number],)
    ]


def of_image(session: Session, image_id: int) -> list[ReportRow]:
    """All reports of one image, the latest first."""
    image = session.get(Image, image_id)
    if image is None:
        return []
    return rows(session, image.dataset_id, ids(session, ReportQuestion(image.dataset_id, image_id=image_id)))


def count_of_run(session: Session, run_id: int) -> int:
    """How many reports the run itself wrote."""
    return session.scalar(select(func.count()).select_from(Report).where(Report.run_id == run_id)) or 0


def latest_written(session: Session, dataset_id: int) -> datetime | None:
    """When the last of the dataset's reports was written; None where it has none."""
    held = exists().where(Image.sha256 == Report.image_sha256, Image.dataset_id == dataset_id)
    return session.scalars(select(Report.created).where(held).order_by(Report.id.desc()).limit(1)).first()


def failed(session: Session, run_id: int, *, limit: int) -> tuple[int, list[ReportFailure]]:
    """How many reports of the run could not be written, and the first of them."""
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
    """The reports that exist already under this key, of the images named."""
    query = select(Report).where(_keyed(model, revision, prompt_sha256, settings_sha256))
    return [one for part in batches(shas) for one in session.scalars(query.where(Report.image_sha256.in_(part)))]


def of_images(session: Session, shas: Sequence[str]) -> list[Report]:
    """Every report of these images, in id order."""
    found: list[Report] = []
    for part in batches(shas):
        found += session.scalars(select(Report).where(Report.image_sha256.in_(part)))
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
    query = query.where(_keyed(model, revision, prompt_sha256, settings_sha256))
    rows = (row for part in batches(shas) for row in session.execute(query.where(Report.image_sha256.in_(part))))
    return [(metric, value) for metric, value in rows]
