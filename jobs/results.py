"""Which results of a data set stand: the runs, reports and indexes that evaluate measures and export shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from db import session
from db.models import Dataset, Metric, Run, VectorIndex
from db.queries import attributes, datasets, evaluation, predictions, runs
from db.queries.evaluation import Score, StandingReport
from db.queries.predictions import KnownImage, PredictedImage
from db.writes import MetricValue
from engine.commands import job
from engine.digests import json_sha256
from engine.errors import InputError
from engine.splits import UNSPLIT
from jobs import indexes
from jobs.command import Context, UsageError
from jobs.run import fingerprint

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured
    from engine.retrieval.vector_index import VectorIndex as OpenIndex

VERSION = 11
"""Raised when a metric is added or changes its meaning, so that finished evaluations are made anew."""


@dataclass(frozen=True)
class Inputs:
    """What there is to evaluate of a dataset; `missing` names each absent task and the command that makes it."""

    dataset: Dataset
    images: str
    """Fingerprint of the dataset's images, labels and patients: corrected labels mean another evaluation."""
    attributes: str
    """Fingerprint of what is known of the images beside their labels, "" where nothing is."""
    predict: Run | None
    train: Run | None
    indexes: list[VectorIndex]
    reports: list[StandingReport]
    scores: list[Score]
    scored_for: str | None = None
    """The dataset whose labels made the scores, where it is another; see evaluation.scored_for."""

    @property
    def missing(self) -> list[str]:
        """One line for each task that has nothing to evaluate."""
        name = self.dataset.name
        imported = self.predict is not None and self.predict.imported
        asked = {
            f"classification on test: no predict run; make one with: {job('predict', name)}": self.predict,
            f"out-of-fold classification: no train run; make one with: {job('train', name)}": self.train or imported,
            f"reports: none with a score; write some with: {job('report', name)}": self.scores,
            f"retrieval: no vector index; build one with: {job('embed', name)}": self.indexes,
        }
        return [line for line, found in asked.items() if not found]

    @property
    def config(self) -> dict[str, Any]:
        """Which runs are read, as the evaluation's row remembers them."""
        return {
            "dataset": self.dataset.name,
            "predict_run": self.predict.id if self.predict else None,
            "train_run": self.train.id if self.train else None,
            "indexes": {index.embedder: index.id for index in self.indexes},
            "last_report": max((report.report_id for report in self.reports), default=None),
        }

    @property
    def in_force(self) -> Run | None:
        """The predict run where its classifier is the train run's, else None: out-of-fold values are then taken at its
        threshold too, so that they compare with the test's."""
        behind = self.predict.train_run_id if self.predict else None
        return self.predict if self.train is not None and behind == self.train.id else None

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the values depend on."""
        marks = [(run.fingerprint, run.checkpoint_sha256) if run else None for run in (self.predict, self.train)]
        parts = [VERSION, self.images, marks, [index.sha256 for index in self.indexes], self.scores]
        parts += [self.scored_for] if self.scored_for else []
        parts += [self.attributes] if self.attributes else []
        return json_sha256(parts)


def finished_run(db: Session, dataset: Dataset, kind: str, number: int | None) -> Run | None:
    """Run `number`, or where that is None the dataset's run of this kind that is in force, None without one. Raises
    UsageError where it is not a finished run of this kind on the dataset."""
    if number is None:
        return runs.in_force(db, kind, dataset.id)
    found = db.get(Run, number)
    if found is None or (found.kind, found.status, found.dataset_id) != (kind, "finished", dataset.id):
        raise UsageError(
            f"run {number} is no finished {kind} run of dataset '{dataset.name}'; "
            f"see the Runs page, or leave --{kind}-run out"
        )
    return found


def gather(
    context: Context, dataset: Dataset, *, predict_run: int | None = None, train_run: int | None = None
) -> Inputs:
    """The runs asked for, else those in force: of train runs that behind the predict run, so that both speak of one
    classifier. Raises UsageError where a run asked for is not a finished run of its kind on this dataset."""
    with session.reading(context.engine) as db:
        predict = finished_run(db, dataset, "predict", predict_run)
        behind = db.get(Run, predict.train_run_id) if predict and predict.train_run_id else None
        if train_run is None and behind and behind.dataset_id == dataset.id:
            train: Run | None = behind
        elif train_run is None and predict and predict.imported:
            train = None  # it has no out-of-fold values; those of a classifier trained here would be another's
        else:
            train = finished_run(db, dataset, "train", train_run)
        reports = evaluation.reports(db, dataset.id)
        scores = evaluation.report_scores(db, [report.report_id for report in reports])
        images = datasets.fingerprint(db, dataset.id)
        indexes = sorted(evaluation.indexes(db, dataset.id), key=lambda index: index.embedder)
        other = evaluation.scored_for(db, dataset.id)
        known = attributes.fingerprint(db, dataset.id)
        return Inputs(dataset, images, known, predict, train, indexes, reports, scores, other)


def unseen(context: Context, source: Run) -> list[PredictedImage]:
    """The labelled images that the predict run scored, those left out that are no test of its classifier.

    Raises InputError where nothing is left: a score on patients that were trained on is no result.
    """
    with session.reading(context.engine) as db:
        left = predictions.of_run(db, source.id, labelled=True, unseen_by=source.train_run_id)
        labelled = bool(left) or bool(predictions.of_run(db, source.id, labelled=True))
    if not left:
        trained = (
            "every labelled image that it scored was trained on, or is of a patient with one that was; the out-of-fold "
            "values speak of unseen patients"
        )
        raise InputError(f"predict run {source.id}: {trained if labelled else 'no image that it scored has a label'}")
    return left


def measured(row: Metric) -> "Measured":
    """A metric row as the engine's value."""
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured

    value, low, high = (math.nan if known is None else known for known in (row.value, row.low, row.high))
    return Measured(row.name, row.slice, Interval(value, low, high, row.n or 0), row.step)


def is_current(inputs: Inputs, evaluated: Run) -> bool:
    """Whether an evaluation of these inputs would read the same results."""
    config = {**inputs.config, "replicates": evaluated.config["replicates"]}
    return fingerprint("evaluate", config, inputs.fingerprint, evaluated.seed) == evaluated.fingerprint


def thresholds_of(source: Run) -> dict[str, float]:
    """The run's threshold in force as "all"; where it has them, that for a recall of .97 and Youden's by their names.

    Raises InputError where the run remembers no threshold.
    """
    known = {"all": "threshold", "recall97": "threshold_recall97", "youden": "threshold_youden"}
    summary = source.summary or {}
    if source.threshold is None:
        raise InputError(f"{source.kind} run {source.id} has no threshold; repeat it: python -m jobs {source.kind}")
    return {name: float(summary[key]) for name, key in known.items() if summary.get(key) is not None}


def by_split(images: Sequence[PredictedImage]) -> dict[str, list[PredictedImage]]:
    """The images of each split; those without one are under UNSPLIT."""
    names = sorted({image.split or UNSPLIT for image in images})
    return {name: [image for image in images if (image.split or UNSPLIT) == name] for name in names}


def attribute_columns(films: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Each attribute's value of each film, "" where it is unknown, in the order of names."""
    names = sorted({name for film in films for name in film})
    return {name: [film.get(name, "") for film in films] for name in names}


Rows = list[tuple[int, KnownImage]]
"""Rows of an index, each with what is known of its image."""


def index_rows(context: Context, index: VectorIndex) -> "tuple[OpenIndex, Rows]":
    """The opened index, and its rows. Raises engine.retrieval.vector_index.IndexDamagedError where the folder is not
    the one that was written."""
    opened = indexes.open_index(context, index)
    with session.reading(context.engine) as db:
        known = predictions.images(db, opened.ids.tolist())
    return opened, [(row, known[int(number)]) for row, number in enumerate(opened.ids) if int(number) in known]


def test_rows(rows: Rows) -> tuple[str, Rows]:
    """Those of test images and the split's name, or all rows and "all" where none is in it."""
    test = [(row, image) for row, image in rows if image.split == "test"]
    return "test" if test else "all", test or rows


def metric_value(name: str, split: str, where: str, interval: "Interval", *, step: int = -1) -> MetricValue:
    """An interval on a slice as it is stored; unknown values are NULL."""
    value, low, high = (
        known if math.isfinite(known) else None for known in (interval.value, interval.low, interval.high)
    )
    return MetricValue(name, split, value, low, high, interval.n, slice=where, step=step)
