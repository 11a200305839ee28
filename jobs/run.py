"""The life of a run: claimed, running with progress and heartbeat, then finished, failed or interrupted; resumable."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self, TypeVar

from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session
from tqdm import tqdm

from db import session, tallies, writes
from db.models import Artifact, Prediction, Run, now
from db.queries import datasets, runs
from db.writes import MetricValue
from engine.commands import option
from engine.digests import file_sha256, is_whole, members
from engine.files import save_array
from jobs.command import Context, JobError, make_artifacts_writable, one_line
from jobs.redaction import redact
from jobs.run_folders import own_folder

T = TypeVar("T")

PROGRESS_SECONDS = 1.0
LATEST = ("dataset", "predict_run", "train_run", "embedder")
"""Options for which a job uses the latest if they are unset."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; the run's row records it, and the same command continues from there."""


def command_line(context: Context, config: dict[str, Any]) -> str | None:
    """The context's command line, quoted for a shell and without secrets; None if there is none.

    Options that were left to mean the latest get the value in the run's config, so that the command stays repeatable.
    """
    chosen = {**config.get("settings", {}), **config}  # the embedder that reports use is one of their settings
    unnamed = [name for name in LATEST if name in context.left_open and chosen.get(name) is not None]
    named = [word for name in unnamed for word in option(name, chosen[name])]
    return shlex.join(redact(word) for word in (*context.command, *named)) if context.command else None


def code_version() -> str:
    """The checked-out commit, with '+' if files differ from it, or 'unknown' outside a checkout."""
    here = Path(__file__).parent
    try:
        describe = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(describe, cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def hold_sources(db: Session, config: Mapping[str, Any]) -> None:
    """Lock the runs that this config builds on until it is stored. Raises JobError if one was forgotten meanwhile."""
    named = runs.named_in(config)
    for number in sorted(named - runs.hold(db, named)):
        if (by := runs.forgotten_by(db, number)) is not None:
            raise JobError(
                f"run {number}, which this builds on, was forgotten in the meantime by run {by.id}; start again"
            )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run does, and what is stored about it from the start."""

    kind: str
    config: dict[str, Any]
    inputs: str = ""
    """Text, usually a hash, that changes with what the run reads."""
    dataset_id: int | None = None
    seed: int | None = None
    predicts: int = 0
    """The number of images whose predictions it stores."""
    expected_summary: Mapping[str, Any] = field(default_factory=dict)
    """Summary entries that describe its inputs and can change under one fingerprint; None means unknown."""

    @property
    def fingerprint(self) -> str:
        """sha256 of everything that determines the run's results."""
        return runs.fingerprint(self.kind, self.config, self.inputs, seed=self.seed)


@dataclass(frozen=True)
class Earlier:
    """The finished run with a fingerprint, as it was a moment ago; id is None if there was none."""

    id: int | None = None
    finished: datetime | None = None
    whole: bool = False
    """Whether its files are unchanged."""
    outdated: bool = False
    """Whether some of its predictions are gone, or its inputs have changed since."""


class Advance(Protocol):
    """Reports that `count` more units are done, with an optional short note beside the progress bar."""

    def __call__(self, count: int = 1, note: str | None = None) -> None:
        """The note replaces the one before; None leaves it."""
        ...


class ActiveRun:
    """A claimed run. Use it as a context manager around the work; `already_finished` means there is nothing to do."""

    def __init__(self, context: Context, row: Run, *, already_finished: bool, resumed: bool) -> None:
        self.context = context
        self.id = row.id
        self.kind = row.kind
        self.config = row.config
        self.already_finished = already_finished
        self.resumed = resumed
        self.summary: dict[str, Any] = dict(row.summary or {})
        self.folder = own_folder(context.artifacts, row, older=already_finished or resumed)
        self._state: dict[str, Any] = {"stage": None, "done": 0, "total": None, "eta_seconds": None}
        self._stages: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._saved = 0.0
        self._spent_before = row.seconds
        self._leads = True
        self._scratch: list[Path] = []
        self._started = time.monotonic()

    @classmethod
    def claim(cls, context: Context, work: Work, *, again: bool = False) -> Self:
        """Find or create the row for this work.

        A finished run with the same fingerprint (and unchanged files) is already done, and becomes the current run as
        if it had just finished. A new run is made instead with `again`, if predictions are missing because images were
        forgotten and came back, or if its summary is not as expected. An interrupted, failed or lost run resumes where
        it stopped, with or without `again`. Raises JobError if a live process owns the run.
        """
        mark, version = work.fingerprint, code_version()
        earlier = _earlier(context, work)
        with session.transaction(context.engine) as db:
            if context.engine.dialect.name == "postgresql":
                db.execute(text("SELECT pg_advisory_xact_lock(hashtext(:mark))"), {"mark": mark})
            row = runs.by_fingerprint(db, mark)
            if (again or earlier.outdated) and row is not None and row.status == "finished":
                row = None
            resumed = row is not None
            if row is not None:
                standing = runs.status(row)
                if standing == "running" and (row.host, row.pid) != (socket.gethostname(), os.getpid()):
                    raise JobError(
                        f"{work.kind} is already running as run {row.id} (process {row.pid} on {row.host}); "
                        "wait for it, or stop that process"
                    )
                just_now = (row.id, row.finished) != (earlier.id, earlier.finished)  # by another process
                if standing == "finished" and (just_now or earlier.whole):
                    row.current_since = now()
                    return cls(context, row, already_finished=True, resumed=False)
            make_artifacts_writable(context.artifacts)
            datasets.hold(db, work.dataset_id)  # before the runs, as `forget` locks them
            hold_sources(db, work.config)
            if row is None:
                row = Run(
                    kind=work.kind, dataset_id=work.dataset_id, fingerprint=mark, config=work.config, seed=work.seed
                )
                db.add(row)
            row.status, row.error, row.traceback, row.finished = "running", None, None, None
            row.host, row.pid, row.heartbeat, row.code_version = socket.gethostname(), os.getpid(), now(), version
            row.seconds = row.seconds or 0.0
            if row.command is None:
                row.command = command_line(context, work.config)
            db.flush()
            return cls(context, row, already_finished=False, resumed=resumed)

    @classmethod
    def helping(cls, context: Context, run_id: int) -> Self:
        """A run that another process of this job has claimed and leads, and whose progress and end that one stores."""
        with session.reading(context.engine) as db:
            run = cls(context, db.get_one(Run, run_id), already_finished=False, resumed=False)
        run._leads = False
        return run

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._restore = _catch_signals()
        self._beat = threading.Thread(target=self._heartbeat, name=f"heartbeat-{self.id}", daemon=True)
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._beat.join()
        for number, handler in self._restore.items():
            signal.signal(number, handler)
        changes: dict[str, Any] = {**self._state, "summary": self.summary, "finished": now(), "seconds": self.seconds}
        if error is None:
            changes |= {"status": "finished", "eta_seconds": 0.0, "current_since": changes["finished"]}
        elif isinstance(error, KeyboardInterrupt):
            changes |= {"status": "interrupted", "error": "interrupted; run the same command again to continue"}
        else:
            lines = "".join(traceback.format_exception(error))
            changes |= {"status": "failed", "error": redact(one_line(error)), "traceback": redact(lines)}
        try:
            self._write(changes)
        except Exception:
            if error is None:
                raise
            print(f"run {self.id}: its final status could not be stored; it will be shown as lost", file=sys.stderr)
        if error is None and self._leads:
            for path in self._scratch:
                with suppress(OSError):  # the results are stored; what stays only takes space
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def discard(self, *paths: Path) -> None:
        """Remove these files and folders once the run has finished; until then it could not be resumed without them."""
        self._scratch.extend(paths)

    @property
    def seconds(self) -> float:
        """Wall-clock time spent so far, in seconds, including earlier attempts."""
        return self._spent_before + time.monotonic() - self._started

    def track(self, items: Iterable[T], *, stage: str, total: int | None = None) -> Iterator[T]:
        """Yield `items` while updating the progress bar and the row's progress and ETA."""
        total = len(items) if total is None and isinstance(items, Sequence) else total
        with self.progress(stage, total) as advance:
            for item in items:
                yield item
                advance()

    @contextmanager
    def progress(self, stage: str, total: int | None) -> Iterator[Advance]:
        """A stage of the run, whose body reports its progress. A stage within another is shown until it ends, then the
        outer one again; a run that ends shows its last outer stage."""
        began = time.monotonic()
        state: dict[str, Any] = {"stage": stage, "done": 0, "total": total, "eta_seconds": None}
        with self._lock:
            level = len(self._stages)
            self._stages.append(state)
            self._state = state
        self._save(force=True)
        with tqdm(total=total, desc=f"{self.kind}: {stage}", file=sys.stderr, mininterval=0.5, leave=False) as bar:

            def advance(count: int = 1, note: str | None = None) -> None:
                if note is not None:
                    bar.set_postfix_str(note, refresh=False)
                bar.update(count)
                with self._lock:
                    done = state["done"] + count
                    spent = time.monotonic() - began
                    eta = max(spent / done * (total - done), 0.0) if total and done else None
                    state.update(done=done, eta_seconds=eta)
                self._save()

            try:
                yield advance
            finally:
                with self._lock:
                    del self._stages[level:]  # also stages within whose generator is not closed yet
                    self._state = self._stages[-1] if self._stages else state
        self._save(force=True)

    def metrics(self, values: Iterable[MetricValue]) -> None:
        """Store metrics, replacing older ones with the same name, split, slice and step."""
        with session.transaction(self.context.engine) as db:
            writes.metrics(db, self.id, values)

    def predictions(self, rows: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
        """Store the run's predictions, replacing older ones, and with them its summary, whose threshold is needed if
        they are recounted before the run ends."""
        self.summary = summary
        with session.transaction(self.context.engine) as db:
            row = db.get_one(Run, self.id)
            writes.hold(db, row.dataset_id)
            with db.no_autoflush:  # the run's row is written last, because its heartbeat waits while that is locked
                row.summary = summary
                writes.clear(db, Prediction, self.id)
                writes.upsert(db, Prediction, rows, unique=("run_id", "image_id"))
                if row.kind == "train":
                    writes.trained_on(db, row.id)
                tallies.predictions(db, row)

    def artifact(self, name: str, path: Path, *, shape: Sequence[int] | None = None) -> None:
        """Record a file or folder inside the artifact folder, with its hash and size."""
        files = [path] if path.is_file() else members(path)
        row = {
            "run_id": self.id,
            "name": name,
            "path": path.relative_to(self.context.artifacts).as_posix(),
            "sha256": file_sha256(path),
            "bytes": sum(file.stat().st_size for file in files),
            "shape": None if shape is None else "x".join(map(str, shape)),
        }
        with session.transaction(self.context.engine) as db:
            writes.upsert(db, Artifact, [row], unique=("run_id", "name"))

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as NAME.npy into the run's folder, and record it."""
        path = self.folder / f"{name}.npy"
        save_array(path, array)
        self.artifact(name, path, shape=array.shape)

    def _save(self, *, force: bool = False) -> None:
        if force or time.monotonic() - self._saved >= PROGRESS_SECONDS:
            self._saved = time.monotonic()
            with self._lock:
                state = dict(self._state)
            self._write(state)

    def _write(self, changes: dict[str, Any]) -> None:
        if not self._leads:
            return
        with session.transaction(self.context.engine) as db:
            row = db.get_one(Run, self.id)
            if (row.host, row.pid) != (socket.gethostname(), os.getpid()):
                raise JobError(
                    f"run {self.id} sent no heartbeat for too long, and process {row.pid} on {row.host} took it over"
                )
            for name, value in {**changes, "heartbeat": now()}.items():
                setattr(row, name, value)

    def _heartbeat(self) -> None:
        while not self._stop.wait(runs.HEARTBEAT_SECONDS):
            try:
                self._write({"seconds": self.seconds})
            except Exception as error:  # retried at the next beat; a dead database ends the job at its next write
                print(f"run {self.id}: the heartbeat could not be stored: {one_line(error)}", file=sys.stderr)


def _earlier(context: Context, work: Work) -> Earlier:
    """The finished run of this work, and whether it still has all predictions and the expected summary. Hashing its
    files can take long, so this runs outside the write transaction."""
    with session.reading(context.engine) as db:
        row = runs.by_fingerprint(db, work.fingerprint)
        if row is None or row.status != "finished":
            return Earlier()
        summary = row.summary or {}
        expected = {name: known for name, known in work.expected_summary.items() if known is not None}
        outdated = any(summary.get(name) != known for name, known in expected.items())
        outdated = outdated or (work.predicts > 0 and runs.scored(db, row.id) < work.predicts)
        files = {context.artifacts / made.path: made.sha256 for made in runs.artifacts(db, row.id)}
    return Earlier(row.id, row.finished, all(is_whole(file, sha256) for file, sha256 in files.items()), outdated)


def _catch_signals() -> dict[int, Any]:
    """Make SIGINT and SIGTERM raise Interrupted in the main thread; returns the previous handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    return {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
