"""A dataset's current results: the runs, reports and indexes that `evaluate` measures and `export` shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from db import session
from db.models import Dataset, Metric, Run, VectorIndex
from db.queries import attributes, datasets, evaluation, predictions, runs
from db.queries import indexes as stored_indexes
from db.queries.evaluation import Score, StandingReport
from db.queries.predictions import KnownImage, PredictedImage
from db.writes import MetricValue
from engine.commands import job
from engine.datasets.splits import UNSPLIT
from engine.digests import json_sha256
from engine.errors import InputError
from jobs import indexes
from jobs.command import Context, UsageError
from jobs.run import Work

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex

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


def finished_run(db: Session, dataset: Dataset, kind: str, number: int | None) -> Run | None:
    """Run `number`; if `number` is None, the dataset's current run of this kind, or None. Raises UsageError if run
    `number` is not a finished run of this kind on the dataset."""
    if number is None:
        return runs.current(db, kind, dataset.id)
    found = db.get(Run, number)
    if found is None or (found.kind, found.status, found.dataset_id) != (kind, "finished", dataset.id):
        raise UsageError(
            f"run {number} is not a finished {kind} run of dataset '{dataset.name}'; "
            f"choose one on the Runs page, or leave --{kind}-run out"
        )
    return found


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


def unseen(context: Context, source: Run) -> list[PredictedImage]:
    """The labelled images that the predict run scored, except those of patients its classifier was trained on.

    Raises InputError if there are none: metrics on training patients would be meaningless.
    """
    with session.reading(context.engine) as db:
        found = predictions.of_run(db, source.id, labelled=True, unseen_by=source.train_run_id)
        labelled = bool(found) or bool(predictions.of_run(db, source.id, labelled=True))
    if not found:
        trained = (
            "all labelled images that it scored are of patients whom its classifier was trained on; for unseen "
            "patients see the out-of-fold values"
        )
        raise InputError(f"predict run {source.id}: {trained if labelled else 'no image that it scored has a label'}")
    return found


def measured(row: Metric) -> "Measured":
    """A metric row as the engine's value."""
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured

    value, low, high = (math.nan if known is None else known for known in (row.value, row.low, row.high))
    return Measured(row.name, row.slice, Interval(value, low, high, row.n or 0), row.step)


def is_current(inputs: Inputs, evaluated: Run) -> bool:
    """Whether the evaluation read exactly these inputs."""
    config = {**inputs.config, "replicates": evaluated.config["replicates"]}
    work = Work(kind="evaluate", config=config, inputs=inputs.fingerprint, seed=evaluated.seed)
    return work.fingerprint == evaluated.fingerprint


def thresholds_of(source: Run) -> dict[str, float]:
    """The run's decision threshold as "all", and, if stored, those of the operating points "recall97" and "youden".

    Raises InputError if the run has no threshold.
    """
    known = {"all": "threshold", "recall97": "threshold_recall97", "youden": "threshold_youden"}
    summary = source.summary or {}
    if source.threshold is None:
        raise InputError(
            f"{source.kind} run {source.id} has no threshold; repeat it with: python -m jobs {source.kind}"
        )
    return {name: float(summary[key]) for name, key in known.items() if summary.get(key) is not None}


def by_split(images: Sequence[PredictedImage]) -> dict[str, list[PredictedImage]]:
    """The images of each split; those without a split are under UNSPLIT."""
    names = sorted({image.split or UNSPLIT for image in images})
    return {name: [image for image in images if (image.split or UNSPLIT) == name] for name in names}


def attribute_columns(rows: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Attribute -> its value for each image, "" if unknown, in alphabetical order. rows: each image's attributes."""
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name, "") for row in rows] for name in names}


Rows = list[tuple[int, KnownImage]]
"""Row numbers of an index, each with its image."""


def index_rows(context: Context, index: VectorIndex) -> "tuple[OpenIndex, Rows]":
    """The opened index and its rows. Raises engine.retrieval.index.folder.IndexDamagedError if its folder has changed
    since it was written."""
    opened = indexes.open_index(context, index)
    with session.reading(context.engine) as db:
        known = predictions.images(db, opened.ids.tolist())
    return opened, [(row, known[int(number)]) for row, number in enumerate(opened.ids) if int(number) in known]


def test_rows(rows: Rows) -> tuple[str, Rows]:
    """ "test" and the rows of test images, or "all" and all rows if there is no test image."""
    test = [(row, image) for row, image in rows if image.split == "test"]
    return "test" if test else "all", test or rows


def metric_value(name: str, split: str, where: str, interval: "Interval", *, step: int = -1) -> MetricValue:
    """A metric with its interval as it is stored; unknown values are NULL."""
    value, low, high = (
        known if math.isfinite(known) else None for known in (interval.value, interval.low, interval.high)
    )
    return MetricValue(name, split, value, low, high, interval.n, slice=where, step=step)
