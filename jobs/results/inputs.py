"""A dataset's current results: the runs, reports and indexes that `evaluate` measures and `export` shows."""

from dataclasses import dataclass
from typing import Any

from db import session
from db.models import Dataset, Run, VectorIndex
from db.queries import attributes, datasets, evaluation
from db.queries import indexes as stored_indexes
from db.queries.evaluation import Score, StandingReport
from engine.commands import job
from engine.digests import json_sha256
from jobs.command import Context
from jobs.results.source_runs import finished_run
from jobs.run import Work

VERSION = 13
"""Increased when a metric is added or changes its meaning, so that finished evaluations are redone."""


@dataclass(frozen=True)
class Inputs:
    """What can be evaluated of a dataset; `missing` lists the tasks without results and the commands to run."""

    dataset: Dataset
    images: str
    """Fingerprint of the dataset's images, labels and patients: corrected labels require a new evaluation."""
    attributes: str
    """Fingerprint of the images' attributes, "" if they have none."""
    predict: Run | None
    train: Run | None
    indexes: list[VectorIndex]
    reports: list[StandingReport]
    scores: list[Score]

    @property
    def unscored(self) -> int:
        """The number of reports that the dataset has not scored, which are left out."""
        return len(self.reports) - len({score.report_id for score in self.scores})

    @property
    def missing(self) -> list[str]:
        """One line for each task without results."""
        name = self.dataset.name
        imported = self.predict is not None and self.predict.imported
        reports = f"no scored report; write some with: {job('report', name)}"
        if self.reports:
            reports = f"none is scored for this dataset; score them with: {job('score', name)}"
        tasks = {
            f"classification on test: no predict run; make one with: {job('predict', name)}": self.predict,
            f"out-of-fold classification: no train run; make one with: {job('train', name)}": self.train or imported,
            f"reports: {reports}": self.scores,
            f"retrieval: no vector index; build one with: {job('embed', name)}": self.indexes,
        }
        return [line for line, found in tasks.items() if not found]

    @property
    def config(self) -> dict[str, Any]:
        """The runs that are read, as stored in the evaluation's row."""
        return {
            "dataset": self.dataset.name,
            "predict_run": self.predict.id if self.predict else None,
            "train_run": self.train.id if self.train else None,
            "indexes": {index.embedder: index.id for index in self.indexes},
            "last_report": max((report.report_id for report in self.reports), default=None),
        }

    @property
    def current(self) -> Run | None:
        """The predict run if its classifier is the train run's, else None: out-of-fold values then use its threshold,
        so that they are comparable with those on test."""
        behind = self.predict.train_run_id if self.predict else None
        return self.predict if self.train is not None and behind == self.train.id else None

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the metrics."""
        marks = [(run.fingerprint, run.checkpoint_sha256) if run else None for run in (self.predict, self.train)]
        parts = [VERSION, self.images, marks, [index.sha256 for index in self.indexes], self.scores]
        parts += [self.attributes] if self.attributes else []
        return json_sha256(parts)


def gather(
    context: Context, dataset: Dataset, *, predict_run: int | None = None, train_run: int | None = None
) -> Inputs:
    """The requested runs, or else the current ones; the train run defaults to the one behind the predict run, so that
    both describe the same classifier. Raises UsageError if a requested run is not a finished run of its kind on this
    dataset."""
    with session.reading(context.engine) as db:
        predict = finished_run(db, dataset, "predict", predict_run)
        behind = db.get(Run, predict.train_run_id) if predict and predict.train_run_id else None
        if train_run is None and behind and behind.dataset_id == dataset.id:
            train: Run | None = behind
        elif train_run is None and predict and predict.imported:
            train = None  # it has no out-of-fold values; a train run would be of a different classifier
        else:
            train = finished_run(db, dataset, "train", train_run)
        reports = evaluation.reports(db, dataset.id)
        scores = evaluation.report_scores(db, dataset.id, [report.report_id for report in reports])
        images = datasets.fingerprint(db, dataset.id)
        indexes = sorted(stored_indexes.current(db, dataset.id), key=lambda index: index.embedder)
        known = attributes.fingerprint(db, dataset.id)
        return Inputs(dataset, images, known, predict, train, indexes, reports, scores)


def is_current(inputs: Inputs, evaluated: Run) -> bool:
    """Whether the evaluation read exactly these inputs."""
    config = {**inputs.config, "replicates": evaluated.config["replicates"]}
    work = Work(kind="evaluate", config=config, inputs=inputs.fingerprint, seed=evaluated.seed)
    return work.fingerprint == evaluated.fingerprint
