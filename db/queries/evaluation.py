"""Inputs and results of evaluations: reports, scores, curves, metrics."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db.batches import batches
from db.models import Image, Metric, Report, ReportScore, Run
from db.queries import runs
from db.queries.predictions import KNOWN, KnownImage
from db.queries.report_questions import OWN, score_of
from db.queries.runs import CURRENT_FIRST

CURVES = ("train_loss", "valid_loss", "valid_auc")
RETRIEVAL = ("p_at_", "map", "r_precision", "vote_auc", "chance", "other_patients_", "from_train_", "text_")
Evaluation = tuple[Run, dict[str, Sequence[Metric]]]
"""An evaluate run and its final metrics by task."""


@dataclass(frozen=True, slots=True)
class StandingReport(KnownImage):
    """A current report, with the dataset's image that it describes."""

    report_id: int
    model: str
    revision: str
    strategy: str
    settings_sha256: str
    text: str
    seconds: float
    tokens: int
    created: datetime


class Score(NamedTuple):
    """One score of one report; None if it is unknown."""

    report_id: int
    metric: str
    value: float | None


def reports(session: Session, dataset_id: int, *, last: int | None = None) -> list[StandingReport]:
    """The current reports: for each model those of its current revision and settings, see `_current_settings`, and of
    these the newest for each image and strategy. last: the highest report id to consider, for an earlier state."""
    written = (Report.model, Report.revision, Report.strategy, Report.settings_sha256, Report.text)
    query = select(*KNOWN, Report.id, *written, Report.seconds, Report.tokens, Report.created)
    query = query.join(Report, Report.image_sha256 == Image.sha256).where(Image.dataset_id == dataset_id)
    if last is not None:
        query = query.where(Report.id <= last)
    found: Iterable[Sequence[Any]] = session.execute(query.order_by(Report.id))
    current_settings = _current_settings(session, dataset_id, last)
    current = {
        (row.image_id, row.model, row.strategy): row
        for row in (StandingReport(*one) for one in found)
        if (row.revision, row.settings_sha256) == current_settings[row.model]
    }
    return [current[key] for key in sorted(current)]


def written(session: Session, dataset_id: int, *, last: int) -> int:
    """Number of all stored reports on the dataset's images, replaced ones included, up to that report id."""
    query = select(func.count()).select_from(Report).join(Image, Report.image_sha256 == Image.sha256)
    return session.scalar(query.where(Image.dataset_id == dataset_id, Report.id <= last)) or 0


def _current_settings(session: Session, dataset_id: int, last: int | None) -> dict[str, tuple[str, str]]:
    """Model -> (revision, hash of settings) of its current reports: those requested by the dataset's current report run
    for the model; without one, those written last by a run of the dataset, or else by any run."""
    query = select(Report.model, Report.revision, Report.settings_sha256, Run.dataset_id, func.max(Report.id))
    query = query.join(Run, Run.id == Report.run_id).join(Image, Image.sha256 == Report.image_sha256)
    query = query.where(Image.dataset_id == dataset_id)
    if last is not None:
        query = query.where(Report.id <= last)
    groups = session.execute(query.group_by(*query.selected_columns[:4])).all()
    asked: dict[str | None, tuple[str | None, dict[str, Any] | None]] = {}
    done = select(Run.config).where(Run.kind == "report", Run.status == "finished", Run.dataset_id == dataset_id)
    for config in session.scalars(done.order_by(*CURRENT_FIRST)):
        asked.setdefault(config.get("model"), (config.get("revision"), config.get("settings")))

    def weight(model: str, revision: str, writer: int | None, latest: int) -> tuple[bool, bool, int]:
        settings = session.get_one(Report, latest).settings
        return asked.get(model) == (revision, settings), writer == dataset_id, latest

    ranked = sorted(groups, key=lambda group: weight(group[0], group[1], group[3], group[4]))
    return {model: (revision, settings) for model, revision, settings, *_ in ranked}


def report_scores(session: Session, dataset_id: int, report_ids: Collection[int]) -> list[Score]:
    """All the dataset's scores of those of these reports that it has scored."""
    found: list[Score] = []
    for part in batches(sorted(report_ids)):
        query = select(ReportScore.report_id, ReportScore.metric, ReportScore.value)
        query = query.where(ReportScore.report_id.in_(part), score_of(dataset_id))
        query = query.order_by(ReportScore.report_id, ReportScore.metric)
        found += [Score(*row) for row in session.execute(query)]
    scored = {score.report_id for score in found if score.metric == OWN}
    return [score for score in found if score.report_id in scored]


def curves(session: Session, run_id: int) -> list[dict[str, Any]]:
    """The run's training curves: split (fold), name, step (epoch from 0), value."""
    query = (
        select(Metric.split, Metric.name, Metric.step, Metric.value)
        .where(Metric.run_id == run_id, Metric.step >= 0, Metric.name.in_(CURVES))
        .order_by(Metric.split, Metric.name, Metric.step)
    )
    return [dict(row) for row in session.execute(query).mappings()]


def of_classifiers(
    session: Session, run_ids: Collection[int], names: Collection[str]
) -> dict[int, dict[tuple[str, str], Metric]]:
    """Run id -> (name, split) -> metric over all images of the split, for these predict and train runs, from the latest
    evaluation that measured the run. Split "oof" belongs to train runs, all others to predict runs."""
    read = {kind: Run.config[f"{kind}_run"].as_integer() for kind in ("predict", "train")}
    query = select(Metric, read["predict"], read["train"]).join(Run, Run.id == Metric.run_id)
    query = query.where(Run.kind == "evaluate", Run.status == "finished")
    query = query.where(or_(*(number.in_(run_ids) for number in read.values())))
    query = query.where(Metric.name.in_(names), Metric.slice == "all", Metric.step == -1)
    found: dict[int, dict[tuple[str, str], Metric]] = {}
    for metric, predict, train in session.execute(query.order_by(Run.current_since, Run.id)):
        source = train if metric.split == "oof" else predict
        if source in run_ids:
            known = found.setdefault(source, {})
            if any(one.run_id != metric.run_id for one in known.values()):  # of an earlier evaluation
                known.clear()
            known[metric.name, metric.split] = metric
    return found


def task(metric: Metric) -> str:
    """The task of a final metric: classification, reports or retrieval."""
    if metric.split == "reports":
        return "reports"
    return "retrieval" if metric.name.startswith(RETRIEVAL) else "classification"


def latest(session: Session, dataset_id: int) -> Evaluation | None:
    """The dataset's current evaluation and its metrics by task, or None."""
    run = runs.current(session, "evaluate", dataset_id)
    return (run, _by_task(session, run)) if run else None


def of_run(session: Session, read: Run) -> Evaluation | None:
    """The current evaluation of this predict or train run and its metrics by task, or None."""
    query = select(Run).where(Run.kind == "evaluate", Run.status == "finished")
    query = query.where(Run.config[f"{read.kind}_run"].as_integer() == read.id)
    run = session.scalars(query.order_by(*CURRENT_FIRST).limit(1)).first()
    return (run, _by_task(session, run)) if run else None


def _by_task(session: Session, run: Run) -> dict[str, Sequence[Metric]]:
    by_task: dict[str, list[Metric]] = {"classification": [], "reports": [], "retrieval": []}
    for metric in runs.metrics(session, run.id):
        by_task[task(metric)].append(metric)
    return dict(by_task)
