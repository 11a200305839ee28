"""What is audited: a predict run, its audited images, its classifier's training images, and their appearance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from db import session, writes
from db.models import Dataset, Metric, Run
from db.queries import attributes, datasets, predictions, runs
from db.queries.predictions import KnownImage, PredictedImage, SizedImage
from engine import devices
from engine.classification.classifiers import model_json
from engine.commands import job
from engine.datasets.splits import evaluated_split
from engine.digests import is_whole, json_sha256
from engine.errors import InputError
from jobs.checkpoints import checkpoint_of
from jobs.command import Context, JobError
from jobs.results.judged import attribute_columns, by_split, unseen
from jobs.results.source_runs import finished_run, thresholds_of
from jobs.results.values import measured
from jobs.run import ActiveRun, Advance
from jobs.shards import records, sharded

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.imaging.images import Ingested
    from engine.metrics.bootstrap import Interval, Statistic
    from engine.metrics.means import PatientMean
    from engine.retrieval.embedders import Embedder

VERSION = 7
"""Increased when an audit measures something else, so that finished ones are redone."""
SHARD = 256
"""Images whose values share a file while the run is active: at most this many are recomputed after a kill."""


@dataclass(frozen=True)
class Trained:
    """A classifier that was trained here: its run and weights, and its training images with their out-of-fold
    predictions."""

    run: Run
    checkpoint: Path
    dataset: Dataset
    images: list[PredictedImage]

    @property
    def root(self) -> Path:
        """The folder of its training images."""
        return Path(self.dataset.root)


@dataclass(frozen=True)
class Subject:
    """The predictions that an audit is about, and the classifier that made them."""

    dataset: Dataset
    predict: Run
    split: str
    """The split that is audited: test if there is one."""
    judged: list[PredictedImage]
    """The audited images: labelled, in that split and unseen in training, with their predictions."""
    images: str
    """Fingerprint of the audited dataset's images, labels and patients."""
    attributes: dict[str, list[str]]
    """Attribute -> its value for each audited image, "" if unknown."""
    trained: "Trained | None"
    """None for imported predictions, whose classifier is not available."""
    heatmaps: Path | None
    """None for predictions that were imported without heatmaps."""
    others: Sequence[SizedImage]
    """Labelled images of other patients, on which probes are fitted: the classifier's training images or, for imported
    predictions, the dataset's images outside the split."""

    @property
    def threshold(self) -> float:
        """The decision threshold: the lowest probability that is predicted positive."""
        return thresholds_of(self.predict)["all"]

    @property
    def classifier(self) -> Trained:
        """The classifier itself. Raises InputError if its predictions were imported."""
        if self.trained is None:
            raise InputError(f"the predictions of {self.predict.recipe} were imported; its weights are not available")
        return self.trained

    @property
    def training(self) -> list[PredictedImage]:
        """Its training images. Raises InputError if they are unknown."""
        return self.classifier.images

    @property
    def called(self) -> NDArray[np.bool_]:
        """Whether each audited image is predicted positive: bool (n,)."""
        called: NDArray[np.bool_] = column(self.judged, "probability") >= self.threshold
        return called

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each prediction is wrong: bool (n,)."""
        wrong: NDArray[np.bool_] = self.called != (column(self.judged, "label") == 1)
        return wrong

    @property
    def fingerprint(self) -> str:
        """Hash of everything except options that determines an audit's results."""
        weights = self.predict.checkpoint_sha256
        learned = self.trained.run.fingerprint if self.trained else None
        parts = [VERSION, self.images, self.predict.fingerprint, learned, weights]
        parts += [self.attributes] if self.attributes else []
        return json_sha256(parts)


def find_subject(context: Context, dataset: Dataset, number: int | None) -> Subject:
    """The requested predict run, or the current one, with its images and classifier.

    Raises UsageError, JobError or InputError, each with the command to run if something is missing.
    """
    with session.reading(context.engine) as db:
        predict = finished_run(db, dataset, "predict", number)
        images, by_image = datasets.fingerprint(db, dataset.id), attributes.of_dataset(db, dataset.id)
    if predict is None:
        again = job("predict", dataset.name)
        raise JobError(f"dataset '{dataset.name}' has no predictions to audit; make some with: {again}")
    trained = None if predict.imported else trained_of(context, dataset, predict)
    splits = by_split(unseen(context, predict))
    split = evaluated_split(splits)
    known = attribute_columns([by_image.get(image.image_id, {}) for image in splits[split]])
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
    """The predict run's heatmaps; None for predictions imported without heatmaps. Raises JobError if they are missing
    or damaged."""
    with session.reading(context.engine) as db:
        stored = runs.artifact(db, predict.id, "heatmaps")
    if stored is None and predict.imported:
        return None
    if stored is None or not is_whole(context.artifacts / stored.path, stored.sha256):
        again = "import them again" if predict.imported else f"predict again with: {job('predict', dataset.name)}"
        raise JobError(f"the heatmaps of predict run {predict.id} are missing or damaged; {again}")
    return context.artifacts / stored.path


def trained_of(context: Context, dataset: Dataset, predict: Run) -> Trained:
    """The classifier that made the predictions. Raises JobError if it or its images are missing."""
    again = job("predict", dataset.name)
    with session.reading(context.engine) as db:
        train = db.get(Run, predict.train_run_id) if predict.train_run_id else None
        learned_from = db.get(Dataset, train.dataset_id) if train else None
        training = predictions.of_run(db, train.id, labelled=True) if train else []
    if train is None or learned_from is None or not training:
        raise JobError(f"the train run behind predict run {predict.id} is unknown; predict again with: {again}")
    checkpoint = checkpoint_of(context, train, predict.config.get("checkpoint", "checkpoint"))
    weights = model_json.revision(checkpoint)
    if weights is not None and weights != predict.checkpoint_sha256:
        by_now = job("predict", dataset.name, "--train-run", str(train.id))
        raise JobError(
            f"predict run {predict.id} used weights that train run {train.id} no longer has; predict again with: "
            f"{by_now}"
        )
    return Trained(train, checkpoint, learned_from, training)


def values_of(metrics: Sequence[Metric], split: str) -> "dict[tuple[str, str], Interval]":
    """The split's metrics as intervals, by name and slice."""
    return {(row.name, row.slice): measured(row).interval for row in metrics if row.split == split}


def column(images: Sequence[KnownImage], name: str) -> NDArray[Any]:
    """One attribute of every image: (n,)."""
    return np.array([getattr(image, name) for image in images])


@dataclass
class Audit:
    """An audit in progress: its run, its subject, and what several of its questions need."""

    run: ActiveRun
    subject: Subject
    seed: int
    replicates: int
    folds: int
    sample: int
    """Images of each group that are measured by deletion and insertion."""
    probed: dict[str, tuple[NDArray[np.float64], NDArray[np.intp]]] = field(default_factory=dict)
    """Probe -> its scores of the audited images, (n,), and the stratum within which each is ranked, (n,)."""

    @cached_property
    def classifier(self) -> "AnyClassifier":
        """The classifier that made the predictions. Raises InputError if it is unavailable or damaged."""
        from engine.classification.classifiers.checkpoints import load_classifier

        return load_classifier(self.subject.classifier.checkpoint, device=devices.available())

    @cached_property
    def heat(self) -> NDArray[np.float32]:
        """The audited images' heatmaps: float32 (n, h, w) in [0, 1]. Raises InputError if there are none."""
        if self.subject.heatmaps is None:
            raise InputError(f"the predictions of {self.subject.predict.recipe} were imported without heatmaps")
        stored = np.load(self.subject.heatmaps, mmap_mode="r", allow_pickle=False)
        return np.asarray(stored[column(self.subject.judged, "heatmap_row")], dtype=np.float32)

    @cached_property
    def appearance(self) -> NDArray[np.void]:
        """The appearance of the audited images, one record each; see `look`."""
        return self._appearance("audited", self.subject.judged, Path(self.subject.dataset.root))

    @cached_property
    def other_appearance(self) -> NDArray[np.void]:
        """The appearance of the images that probes are fitted on, one record each."""
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
            stage=f"describing {which} images",
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
        """compute(rows) shard by shard, (n, ...); shards that an earlier attempt finished are read from disk."""

        def computed(part: Sequence[KnownImage], advance: Advance) -> NDArray[Any]:
            made = compute(list(part))
            advance(len(part))
            return made

        return sharded(self.run, rows, computed, name=f"parts/{name}", stage=stage, size=size)

    def drawn(self, places: NDArray[np.intp], count: int, *, stratum: NDArray[Any]) -> NDArray[np.intp]:
        """A seeded sample of these positions of audited images, balanced over `stratum` (n,)."""
        from engine.datasets.sampling import stratified

        judged, pairs = self.subject.judged, list(zip(places.tolist(), stratum.tolist(), strict=True))
        chosen = stratified(
            pairs, count, stratum=lambda pair: pair[1], key=lambda pair: judged[pair[0]].sha256, seed=self.seed
        )
        return np.array([place for place, _ in chosen])

    def store(self, ids: Sequence[int], measures: Mapping[str, NDArray[Any]]) -> None:
        """Store one value per image, (n,), for each named measure; NaN is left out."""
        columns = {name: np.asarray(values, dtype=np.float64).tolist() for name, values in measures.items()}
        with session.transaction(self.run.context.engine) as db:
            writes.measures(
                db, self.run.id, {name: dict(zip(ids, values, strict=True)) for name, values in columns.items()}
            )

    def interval(self, statistic: "Statistic", rows: Sequence[KnownImage]) -> "Interval":
        """The statistic of `rows` with its 95 % interval over patients."""
        from engine.metrics.bootstrap import cluster_bootstrap

        return cluster_bootstrap(statistic, column(rows, "patient_key"), seed=self.seed, replicates=self.replicates)

    def tested(self, values: NDArray[np.floating], rows: Sequence[KnownImage]) -> "PatientMean":
        """The mean of `values` with its 95 % interval and p-value, suited to few patients; NaN is ignored."""
        from engine.metrics.means import mean_over_patients

        return mean_over_patients(values, column(rows, "patient_key"), seed=self.seed, replicates=self.replicates)

    def mean(self, values: NDArray[np.floating], rows: Sequence[KnownImage]) -> "Interval":
        """The mean of `values` with its 95 % interval over patients; NaN is ignored and not counted."""
        from engine.metrics.proportions import share

        return share(values, column(rows, "patient_key"), seed=self.seed, replicates=self.replicates)


def files(root: Path, rows: Sequence[KnownImage]) -> "list[Ingested]":
    """The rows' files in the dataset's folder."""
    from engine.imaging.images import Ingested

    return [Ingested(root / row.path, row.sha256) for row in rows]


def look(files: "Sequence[Ingested]", embedder: "Embedder") -> NDArray[np.void]:
    """Image features that audits need, one record per file: (n,).

    statistics: of grey levels, see engine.audit.shortcuts. frame: the frame's pixels. frame_features, features: of the
    frame alone and of the whole image, from a frozen ImageNet network. hash: perceptual hash. bytes: file size.
    Raises InputError naming a file that cannot be read.
    """
    from engine.audit import shortcuts
    from engine.imaging.images import read_fitted
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
    return records(columns)
