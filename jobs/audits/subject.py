"""What is audited: a predict run, its judged images, those its classifier learned from, and how they look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from db import session
from db.models import Dataset, Metric, Run
from db.queries import attributes, datasets, predictions, runs
from db.queries.predictions import KnownImage, PredictedImage, SizedImage
from engine import devices
from engine.classification import model_json
from engine.commands import job
from engine.digests import is_whole, json_sha256
from engine.errors import InputError
from engine.files import kept_array, save_array
from engine.splits import evaluated_split
from jobs.checkpoints import checkpoint_of
from jobs.command import Context, JobError
from jobs.results import attribute_columns, by_split, finished_run, measured, thresholds_of, unseen
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from engine.classification.checkpoints import AnyClassifier
    from engine.images import Ingested
    from engine.metrics.bootstrap import Interval, Statistic
    from engine.retrieval.embedders import Embedder

VERSION = 4
"""Raised when an audit measures something else, so that finished ones are made anew."""
SHARD = 256
"""Images whose numbers are one file while the run goes on, and are lost at most where it is killed."""


@dataclass(frozen=True)
class Trained:
    """A classifier that was trained here: its run and weights, and the images that it learned from, with their
    out-of-fold predictions."""

    run: Run
    checkpoint: Path
    dataset: Dataset
    images: list[PredictedImage]

    @property
    def root(self) -> Path:
        """The folder of the images that it learned from."""
        return Path(self.dataset.root)


@dataclass(frozen=True)
class Subject:
    """The predictions that an audit is about, and the classifier that made them."""

    dataset: Dataset
    predict: Run
    split: str
    """That the classifier is judged on: test where there is one."""
    judged: list[PredictedImage]
    """Labelled images of that split that the classifier did not learn from, with what it said of them."""
    images: str
    """Fingerprint of the judged dataset's images, labels and patients."""
    attributes: dict[str, list[str]]
    """Each attribute's value of each judged image, "" where it is unknown."""
    trained: "Trained | None"
    """None of imported predictions, whose classifier is not here."""
    heatmaps: Path | None
    """None where predictions were imported without any."""
    others: Sequence[SizedImage]
    """Labelled images that probes are fitted on, of patients who are not judged: those that the classifier learned
    from or, of imported predictions, the dataset's images outside the split."""

    @property
    def threshold(self) -> float:
        """From which probability on the classifier says pneumonia."""
        return thresholds_of(self.predict)["all"]

    @property
    def classifier(self) -> Trained:
        """The classifier itself. Raises InputError where it is not here to be asked."""
        if self.trained is None:
            raise InputError(f"{self.predict.recipe} is not here to be asked")
        return self.trained

    @property
    def training(self) -> list[PredictedImage]:
        """The images that it learned from. Raises InputError where they are not known."""
        return self.classifier.images

    @property
    def called(self) -> NDArray[np.bool_]:
        """Whether the classifier says pneumonia of each judged image: (n,)."""
        called: NDArray[np.bool_] = column(self.judged, "probability") >= self.threshold
        return called

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether it is wrong: (n,)."""
        wrong: NDArray[np.bool_] = self.called != (column(self.judged, "label") == 1)
        return wrong

    @property
    def fingerprint(self) -> str:
        """Hash of everything that an audit's values depend on, options aside."""
        weights = self.predict.checkpoint_sha256
        learned = self.trained.run.fingerprint if self.trained else None
        parts = [VERSION, self.images, self.predict.fingerprint, learned, weights]
        parts += [self.attributes] if self.attributes else []
        return json_sha256(parts)


def find_subject(context: Context, dataset: Dataset, number: int | None) -> Subject:
    """The predict run asked for, or that in force, with all that hangs on it.

    Raises UsageError, JobError or InputError, each with what to run where something is missing.
    """
    with session.reading(context.engine) as db:
        predict = finished_run(db, dataset, "predict", number)
        images, films = datasets.fingerprint(db, dataset.id), attributes.of_dataset(db, dataset.id)
    if predict is None:
        again = job("predict", dataset.name)
        raise JobError(f"dataset '{dataset.name}' has no predictions to audit; make some with: {again}")
    trained = None if predict.imported else trained_of(context, dataset, predict)
    splits = by_split(unseen(context, predict))
    split = evaluated_split(splits)
    known = attribute_columns([films.get(image.image_id, {}) for image in splits[split]])
    with session.reading(context.engine) as db:
        others = trained.images if trained else predictions.labelled_outside(db, dataset.id, split)
    return Subject(
        dataset,
        predict,
        split,
        judged=splits[split],
        images=images,
        attributes=known,
        trained=trained,
        heatmaps=heatmaps_of(context, dataset, predict),
        others=others,
    )


def heatmaps_of(context: Context, dataset: Dataset, predict: Run) -> Path | None:
    """The predict run's heatmaps; None of predictions that were imported without. Raises JobError where they are gone
    or damaged."""
    with session.reading(context.engine) as db:
        stored = runs.artifact(db, predict.id, "heatmaps")
    if stored is None and predict.imported:
        return None
    if stored is None or not is_whole(context.artifacts / stored.path, stored.sha256):
        again = "import them again" if predict.imported else f"repeat it: {job('predict', dataset.name)}"
        raise JobError(f"predict run {predict.id} has no heatmaps, or not those it wrote; {again}")
    return context.artifacts / stored.path


def trained_of(context: Context, dataset: Dataset, predict: Run) -> Trained:
    """The classifier that made the predictions. Raises JobError where it or its images are gone."""
    again = job("predict", dataset.name)
    with session.reading(context.engine) as db:
        train = db.get(Run, predict.train_run_id) if predict.train_run_id else None
        learned_from = db.get(Dataset, train.dataset_id) if train else None
        training = predictions.of_run(db, train.id, labelled=True) if train else []
    if train is None or learned_from is None or not training:
        raise JobError(f"predict run {predict.id} does not tell which train run it comes from; repeat it: {again}")
    checkpoint = checkpoint_of(context, train, predict.config.get("checkpoint", "checkpoint"))
    weights = model_json.revision(checkpoint)
    if weights is not None and weights != predict.checkpoint_sha256:
        by_now = job("predict", dataset.name, "--train-run", str(train.id))
        raise JobError(
            f"predict run {predict.id} asked weights that train run {train.id} has not any more; repeat: {by_now}"
        )
    return Trained(train, checkpoint, learned_from, training)


def values_of(metrics: Sequence[Metric], split: str) -> "dict[tuple[str, str], Interval]":
    """The split's values as intervals, by name and slice."""
    return {(row.name, row.slice): measured(row).interval for row in metrics if row.split == split}


def column(images: Sequence[KnownImage], name: str) -> NDArray[Any]:
    """One fact of every image: (n,)."""
    return np.array([getattr(image, name) for image in images])


@dataclass
class Audit:
    """An audit at work: its run, its subject, and what several of its questions need."""

    run: ActiveRun
    subject: Subject
    seed: int
    replicates: int
    folds: int
    sample: int
    """Images of each group that deletion and insertion measure."""

    @cached_property
    def classifier(self) -> "AnyClassifier":
        """The classifier that made the predictions. Raises InputError where it is not here or damaged."""
        from engine.classification.checkpoints import load_classifier

        return load_classifier(self.subject.classifier.checkpoint, device=devices.available())

    @cached_property
    def heat(self) -> NDArray[np.float32]:
        """The judged images' heatmaps: float32 (n, h, w) in [0, 1]. Raises InputError where there are none."""
        if self.subject.heatmaps is None:
            raise InputError(f"the predictions of {self.subject.predict.recipe} were imported without heatmaps")
        stored = np.load(self.subject.heatmaps, mmap_mode="r", allow_pickle=False)
        return np.asarray(stored[column(self.subject.judged, "heatmap_row")], dtype=np.float32)

    @cached_property
    def appearance(self) -> NDArray[np.void]:
        """How the judged images look, a record each; see `look`."""
        return self._appearance("judged", self.subject.judged, Path(self.subject.dataset.root))

    @cached_property
    def other_appearance(self) -> NDArray[np.void]:
        """How the images look that probes are fitted on, a record each."""
        trained = self.subject.trained
        root = trained.root if trained else Path(self.subject.dataset.root)
        return self._appearance("training" if trained else "other", self.subject.others, root)

    def _appearance(self, which: str, rows: Sequence[KnownImage], root: Path) -> NDArray[np.void]:
        from engine.retrieval.embedders import load_embedder

        embedder = load_embedder("imagenet-lite0", models=self.run.context.models)
        return self.sharded(
            f"appearance-{which}",
            rows,
            lambda part: look(files(root, part), embedder),
            stage=f"looking at {which} images",
        )

    def sharded(
        self,
        name: str,
        rows: Sequence[KnownImage],
        compute: Callable[[list[Any]], NDArray[Any]],
        *,
        stage: str,
        size: int = SHARD,
    ) -> NDArray[Any]:
        """compute(rows) part by part, (n, ...); parts that an earlier try of this run finished are read, not made."""
        parts = []
        with self.run.progress(stage, len(rows)) as advance:
            for start in range(0, len(rows), size):
                part = list(rows[start : start + size])
                path = self.run.folder / "parts" / f"{name}-{start:08d}.npy"
                made = kept_array(path, len(part))
                if made is None:
                    made = compute(part)
                    save_array(path, made)
                parts.append(made)
                advance(len(part))
        return np.concatenate(parts)

    def interval(self, statistic: "Statistic", rows: Sequence[KnownImage]) -> "Interval":
        """The statistic of `rows` with its 95 % interval over patients."""
        from engine.metrics.bootstrap import cluster_bootstrap

        return cluster_bootstrap(statistic, column(rows, "patient_key"), seed=self.seed, replicates=self.replicates)

    def mean(self, values: NDArray[np.floating], rows: Sequence[KnownImage]) -> "Interval":
        """Their mean, NaN left out and not counted."""
        from engine.metrics.proportions import share

        return share(values, column(rows, "patient_key"), seed=self.seed, replicates=self.replicates)


def files(root: Path, rows: Sequence[KnownImage]) -> "list[Ingested]":
    """The rows' files below the dataset's folder."""
    from engine.images import Ingested

    return [Ingested(root / row.path, row.sha256) for row in rows]


def look(files: "Sequence[Ingested]", embedder: "Embedder") -> NDArray[np.void]:
    """What audits need of each file's picture, (n,) records.

    statistics: greys, see engine.audit.shortcuts. frame: its pixels. frame_features, features: of the frame alone and
    of the whole picture, by a frozen ImageNet network. hash: perceptual. bytes: the file's size.
    Raises InputError naming a file that cannot be read.
    """
    from engine.audit import shortcuts
    from engine.images import read_fitted
    from engine.retrieval.duplicates import perceptual_hash

    pixels = read_fitted(files, embedder.fit)
    columns: dict[str, NDArray[Any]] = {
        "statistics": shortcuts.statistics(pixels),
        "frame": shortcuts.frame_pixels(pixels),
        "frame_features": embedder.embed_images(shortcuts.only_frame(pixels)),
        "features": embedder.embed_images(pixels),
        "hash": perceptual_hash(pixels),
        "bytes": np.array([file.path.stat().st_size for file in files], dtype=np.float64),
    }
    records = np.empty(len(files), dtype=[(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
    for name, values in columns.items():
        records[name] = values
    return records
