"""Runs: their status, which one is current, and their results."""

import hashlib
import json
import socket
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from db.models import Artifact, Dataset, Metric, Prediction, Run, SkippedFile, now

HEARTBEAT_SECONDS = 5
LOST_AFTER = timedelta(seconds=60)
CURRENT_FIRST = (Run.current_since.desc(), Run.id.desc())
"""Order of finished runs of which the first is the current one."""
CLOCK_ERROR = timedelta(seconds=2)
"""A process's start, which counts from a boot time in whole seconds, may seem this much later than it was."""


def status(run: Run, at: datetime | None = None) -> str:
    """The run's actual status: a run stored as running whose process is no longer alive is lost.

    On the run's own host its process decides, because a living one can be unable to store its heartbeat for minutes:
    a long transaction blocks it, and a suspended machine stops it. Elsewhere the age of the heartbeat decides.
    """
    if run.status != "running":
        return run.status
    alive = _process_alive(run) if run.host == socket.gethostname() else None
    if alive is None:
        alive = (at or now()) - run.heartbeat <= LOST_AFTER
    return "running" if alive else "lost"


def _process_alive(run: Run) -> bool | None:
    """Whether the run's process on this host is alive; None if it may not be examined. A process that began after the
    last heartbeat is another one that was given the same number."""
    if not psutil.pid_exists(run.pid):
        return False
    try:
        process = psutil.Process(run.pid)
        began = datetime.fromtimestamp(process.create_time(), UTC)
        return process.status() != psutil.STATUS_ZOMBIE and began <= run.heartbeat + CLOCK_ERROR
    except psutil.Error:
        return None


def page(session: Session, *, kind: str | None = None, limit: int = 50, offset: int = 0) -> Sequence[Run]:
    """One page of runs, latest first."""
    query = select(Run).order_by(Run.id.desc()).limit(limit).offset(offset)
    return session.scalars(query if kind is None else query.where(Run.kind == kind)).all()


def every(session: Session, *, kind: str | None = None) -> Sequence[Run]:
    """All runs, or those of one kind, oldest first."""
    query = select(Run).order_by(Run.id)
    return session.scalars(query if kind is None else query.where(Run.kind == kind)).all()


def among(session: Session, run_ids: Collection[int]) -> Sequence[Run]:
    """Those of these runs that exist, oldest first."""
    return session.scalars(select(Run).where(Run.id.in_(run_ids)).order_by(Run.id)).all()


def of_dataset(session: Session, dataset_id: int) -> set[int]:
    """The ids of the dataset's runs."""
    return set(session.scalars(select(Run.id).where(Run.dataset_id == dataset_id)))


def exports(session: Session) -> Sequence[Run]:
    """All export runs, oldest first."""
    return session.scalars(select(Run).where(Run.kind == "export").order_by(Run.id)).all()


def count(session: Session, *, kind: str | None = None) -> int:
    """The number of runs."""
    query = select(func.count()).select_from(Run)
    return session.scalar(query if kind is None else query.where(Run.kind == kind)) or 0


def current(session: Session, kind: str, dataset_id: int | None = None, *, without: Collection[int] = ()) -> Run | None:
    """The current run of `kind`, which is the finished one that became current last; None if there is none.

    without: runs to ignore.
    """
    query = select(Run).where(Run.kind == kind, Run.status == "finished", Run.id.not_in(without))
    query = query.order_by(*CURRENT_FIRST)
    if dataset_id is not None:
        query = query.where(Run.dataset_id == dataset_id)
    return session.scalars(query.limit(1)).first()


def last_scoring(session: Session) -> Run | None:
    """The last run of any dataset that scored reports, or that forgot such a run (whose scores may remain); or None."""
    scoring = or_(Run.kind.in_(("score", "report")), Run.config["scoring"].as_boolean())
    query = select(Run).where(scoring, Run.status == "finished")
    return session.scalars(query.order_by(Run.finished.desc(), Run.id.desc()).limit(1)).first()


def scored_against(session: Session, dataset_id: int) -> list[int]:
    """The predict runs, latest first, that current scores of the dataset's reports may refer to: that of the last score
    run, which scores all reports, and those of later runs that scored some."""
    query = select(Run).where(Run.kind.in_(("score", "report")), Run.dataset_id == dataset_id)
    found: set[int] = set()
    for run in session.scalars(query.order_by(Run.heartbeat.desc(), Run.id.desc())):
        found |= {run.config["predict_run"]} if "predict_run" in run.config else set()
        if (run.kind, run.status) == ("score", "finished"):
            break
    return sorted(found, reverse=True)


def forgettings(session: Session) -> Sequence[Run]:
    """All forget runs, latest first."""
    return session.scalars(select(Run).where(Run.kind == "forget").order_by(Run.id.desc())).all()


def forgotten_by(session: Session, run_id: int) -> Run | None:
    """The run that forgot the run with this id; None if that still exists, or never did."""
    if session.get(Run, run_id) is not None:
        return None
    return next((run for run in forgettings(session) if run_id in run.config["runs"]), None)


def test_openings(session: Session, dataset_id: int) -> int:
    """How often the dataset's test split was scored: the number of its finished predict runs on "test" or on all
    images, including forgotten ones."""
    query = select(Run).where(Run.kind == "predict", Run.status == "finished", Run.dataset_id == dataset_id)
    there = sum(opens_test(run) for run in session.scalars(query))
    began = select(Dataset.created).where(Dataset.id == dataset_id).scalar_subquery()
    since = session.scalars(select(Run).where(Run.kind == "forget", Run.status == "finished", Run.started >= began))
    gone: int = sum(run.config["openings"].get(str(dataset_id), 0) for run in since)
    return there + gone


def opens_test(run: Run) -> bool:
    """Whether it is a finished predict run that scored the test split."""
    return run.kind == "predict" and run.status == "finished" and run.config.get("split") in ("test", "all")


def find(session: Session, run_id: int) -> Run | None:
    """The run with this id, or None."""
    return session.get(Run, run_id)


def named_in(*records: Mapping[str, Any] | None) -> set[int]:
    """The ids of runs named as inputs in these records, a run's config or summary: entries *_run, and parts."""
    given = [facts for facts in records if facts is not None]
    read = {number for facts in given for name, number in facts.items() if name.endswith("_run")}
    parts = {number for facts in given for number in (facts.get("parts") or {}).values()}
    return {number for number in read | parts if isinstance(number, int)}


def hold(session: Session, run_ids: Collection[int]) -> set[int]:
    """Lock these runs against being forgotten until this transaction ends; returns the ids of those that exist."""
    held = select(Run.id).where(Run.id.in_(run_ids)).order_by(Run.id)
    return set(session.scalars(held.with_for_update(read=True, key_share=True)))


def fingerprint(kind: str, config: Mapping[str, Any], inputs: str, *, seed: int | None) -> str:
    """sha256 (hex) of everything that determines a run's results. inputs: text that changes with what it reads."""
    return hashlib.sha256(json.dumps([kind, config, inputs, seed], sort_keys=True).encode()).hexdigest()


def by_fingerprint(session: Session, fingerprint: str) -> Run | None:
    """The latest run with this fingerprint, of any status, or None."""
    return session.scalars(select(Run).where(Run.fingerprint == fingerprint).order_by(Run.id.desc()).limit(1)).first()


def scored(session: Session, run_id: int) -> int:
    """The number of predictions by the run."""
    return session.scalar(select(func.count()).select_from(Prediction).where(Prediction.run_id == run_id)) or 0


def predictions(session: Session, run_id: int) -> dict[int, Prediction]:
    """Image id -> the run's prediction."""
    rows = session.scalars(select(Prediction).where(Prediction.run_id == run_id))
    return {row.image_id: row for row in rows}


def artifacts(session: Session, run_id: int) -> Sequence[Artifact]:
    """The files that the run created, sorted by name."""
    return session.scalars(select(Artifact).where(Artifact.run_id == run_id).order_by(Artifact.name)).all()


def artifact(session: Session, run_id: int, name: str) -> Artifact | None:
    """One named file of the run, or None."""
    return session.scalars(select(Artifact).where(Artifact.run_id == run_id, Artifact.name == name)).first()


def checkpoint(session: Session, run: Run) -> Artifact | None:
    """The checkpoint that a train run created, or that a predict or embed run used; None if no train run has it."""
    trained = run.id if run.kind == "train" else run.config.get("train_run")
    return artifact(session, int(trained), run.config.get("checkpoint") or "checkpoint") if trained else None


def artifact_by_id(session: Session, artifact_id: int) -> Artifact | None:
    """The file with this id, or None."""
    return session.get(Artifact, artifact_id)


def metrics(session: Session, run_id: int, *, curves: bool = False) -> Sequence[Metric]:
    """The run's final metrics, or with `curves` its metrics by epoch."""
    query = select(Metric).where(Metric.run_id == run_id, Metric.step >= 0 if curves else Metric.step == -1)
    return session.scalars(query.order_by(Metric.split, Metric.slice, Metric.name, Metric.step)).all()


def skipped(session: Session, run_id: int, *, limit: int = 200) -> Sequence[SkippedFile]:
    """The first `limit` files that an ingest run skipped, sorted by reason."""
    query = select(SkippedFile).where(SkippedFile.run_id == run_id).order_by(SkippedFile.reason, SkippedFile.path)
    return session.scalars(query.limit(limit)).all()
