"""Numbers of reports and mean scores, from the tallies."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from db.models import ReportTally
from db.queries.case_questions import LABELS
from db.queries.report_questions import OWN, ReportQuestion, ScoreCondition, score_conditions
from db.report_tallies import EVERY, ITSELF, UNKNOWN, bin_of


@dataclass(frozen=True)
class LeaderboardRow:
    """A model and strategy: number of reports, and the mean of each metric over the reports that have it."""

    model: str
    strategy: str
    reports: int
    means: dict[str, float]


def tallied(session: Session, question: ReportQuestion) -> int | None:
    """The number of reports that match, or None if tallies do not cover the question: keywords, causes, outcomes, an
    image or run, disagreement, or conditions on several scores."""
    others = (question.keyword, question.cause, question.outcome, question.image_id, question.run_id)
    asked = score_conditions(question)
    if len(asked) > 1 or question.disagreeing or any(other is not None for other in others):
        return None
    return of_demand(session, question, asked[0] if asked else None)


def of_demand(session: Session, question: ReportQuestion, demand: ScoreCondition | None) -> int | None:
    """The number of reports of the question's dataset, label, model and strategy that fulfil this condition on a score
    (None: all); None if a bound is not a whole hundredth."""
    labels = list(LABELS) if question.label is None else [question.label]
    wanted = [ReportTally.dataset_id == question.dataset_id, ReportTally.label.in_(labels)]
    wanted.append(ReportTally.metric == (demand.metric if demand else ITSELF))
    for name in ("model", "strategy"):
        value = getattr(question, name)
        if value is not None:
            wanted.append(getattr(ReportTally, name) == value)
    if demand is not None:
        binned = _binned(demand)
        if binned is None:
            return None
        wanted += binned
    return session.scalar(select(func.coalesce(func.sum(ReportTally.reports), 0)).where(*wanted)) or 0


def _binned(demand: ScoreCondition) -> list[ColumnElement[bool]] | None:
    """The condition in terms of bins; None if a bound is not a whole hundredth."""
    found: list[ColumnElement[bool]] = []
    for compare, bound in demand.bounds:
        if bound is None:
            found.append(ReportTally.bin == UNKNOWN)
            continue
        edge = bin_of(bound)
        if edge is None:
            return None
        found += [compare(ReportTally.bin, edge), ReportTally.bin != UNKNOWN]
    return found


def unscored(session: Session, dataset_id: int) -> int:
    """The number of the dataset's reports that it has not scored against its own labels and predictions."""
    signed = case((ReportTally.metric == ITSELF, ReportTally.reports), else_=-ReportTally.reports)
    here = (ReportTally.dataset_id == dataset_id, ReportTally.label == EVERY, ReportTally.metric.in_((ITSELF, OWN)))
    return session.scalar(select(func.coalesce(func.sum(signed), 0)).where(*here)) or 0


def choices(session: Session, dataset_id: int) -> tuple[list[str], list[str]]:
    """(models, strategies) of the dataset's reports, sorted by name."""
    query = select(ReportTally.model, ReportTally.strategy).where(ReportTally.dataset_id == dataset_id)
    pairs = session.execute(query.where(ReportTally.label == EVERY, ReportTally.metric == ITSELF)).all()
    return sorted({model for model, _ in pairs}), sorted({strategy for _, strategy in pairs})


def leaderboard(session: Session, dataset_id: int) -> list[LeaderboardRow]:
    """Every model and strategy, sorted by name, with the mean of every metric."""
    keys = (ReportTally.model, ReportTally.strategy, ReportTally.metric)
    known = func.sum(case((ReportTally.bin == UNKNOWN, 0), else_=ReportTally.reports))
    query = select(*keys, func.sum(ReportTally.reports), known, func.sum(ReportTally.total))
    query = query.where(ReportTally.dataset_id == dataset_id, ReportTally.label == EVERY)
    groups: dict[tuple[str, str], LeaderboardRow] = {}
    for model, strategy, metric, reports, valued, total in session.execute(query.group_by(*keys).order_by(*keys)):
        one = groups.setdefault((model, strategy), LeaderboardRow(model, strategy, reports, {}))
        if metric != ITSELF and valued:
            one.means[metric] = total / valued
    return list(groups.values())
