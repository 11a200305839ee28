"""What all trainings share: the training images, calibration, predictions and summary."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session, writes
from db.models import Dataset, Image
from db.queries import datasets
from db.writes import MetricValue
from engine.files import kept_array, save_array
from engine.imaging.images import Ingested
from jobs.command import Context, JobError
from jobs.processes import Processes
from jobs.run import ActiveRun, code_version

if TYPE_CHECKING:
    from engine.classification.views.kinds import Source

BATCH = 256


@dataclass(frozen=True)
class TrainingSet:
    """The training images, in id order."""

    images: Sequence[Image]
    files: list[Ingested]
    labels: np.ndarray
    causes: np.ndarray
    """The cause of each pneumonia, "" if unknown."""
    patients: np.ndarray

    @classmethod
    def of(cls, context: Context, dataset: Dataset) -> "TrainingSet":
        """All labelled images outside the test split. Raises JobError if there are not both classes."""
        with session.reading(context.engine) as db:
            labelled = datasets.images(db, dataset.id, labelled=True)
        images = [image for image in labelled if image.split != "test"]
        classes = {image.label for image in images}
        if classes != {0, 1}:
            held = "no labelled images" if not classes else f"only {'pneumonia' if classes == {1} else 'normal'} images"
            raise JobError(
                f"dataset '{dataset.name}' has {held} outside its test split; training needs normal and pneumonia "
                "images: add the missing ones to the folder and run: python -m jobs ingest FOLDER"
            )
        return cls(
            images=images,
            files=[Ingested(Path(dataset.root) / image.path, image.sha256) for image in images],
            labels=np.array([image.label for image in images]),
            causes=np.array([image.cause or "" for image in images]),
            patients=np.array([image.patient_key for image in images]),
        )

    def fold_of(self, folds: int, *, seed: int) -> np.ndarray:
        """The fold in which each image is held out, see `engine.datasets.splits.grouped_folds`."""
        from engine.datasets.splits import grouped_folds

        return grouped_folds(self.labels, self.patients, causes=self.causes, folds=folds, seed=seed)

    def source(self, variation: str, *, seed: int) -> "Source":
        """The images as a source of views."""
        from engine.classification.views.kinds import Source
        from engine.imaging.images import read_batch

        def read(rows: Sequence[int], size: int) -> np.ndarray:
            return read_batch([self.files[row] for row in rows], size=size)

        return Source([image.sha256 for image in self.images], read, variation, seed)

    @property
    def fingerprint(self) -> str:
        """Hash of contents, labels and patients."""
        lines = (f"{i.sha256} {i.label} {i.cause} {i.patient_key}" for i in self.images)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def looks_of(run: ActiveRun, training_set: TrainingSet, processes: Processes) -> np.ndarray:
    """Acquisition statistics of each image, see `acquisition.statistics`: (n, d); computed once, by the leading
    process."""
    from engine.classification import acquisition
    from engine.imaging.images import read_batch

    path = run.folder / "looks.npy"
    if processes.is_leader and kept_array(path, len(training_set.files)) is None:
        batches = list(writes.batches(training_set.files, BATCH))
        made = [
            acquisition.statistics(read_batch(batch)) for batch in run.track(batches, stage="measuring acquisition")
        ]
        save_array(path, np.concatenate(made))
    processes.barrier()
    looks: np.ndarray = np.load(path, allow_pickle=False)
    return looks


def calibrate(
    labels: np.ndarray, logits: np.ndarray, under_stress: np.ndarray, *, operating_point: str, chosen_on: str
) -> dict[str, Any]:
    """Temperature and thresholds from out-of-fold logits.

    labels, logits: (n,). under_stress: (n,) or (views, n), including perturbed versions of the images: the threshold
    for a recall of .97 must hold on images unlike the training images. operating_point: the one to use, see recipes.
    """
    from engine.classification.calibration import fit_temperature, probabilities, threshold_at
    from engine.metrics.classification import recall_threshold, youden_threshold

    temperature = fit_temperature(labels, logits)
    every = np.atleast_2d(under_stress)
    thresholds = {
        "threshold_youden": youden_threshold(labels, probabilities(logits, temperature=temperature)),
        "threshold_recall97": recall_threshold(
            np.tile(labels, len(every)), probabilities(every.ravel(), temperature=temperature), recall=0.97
        ),
    }
    return {
        "temperature": temperature,
        "threshold": threshold_at(operating_point, thresholds),
        **thresholds,
        "operating_point": operating_point,
        "chosen_on": chosen_on,
    }


def provenance_of(run: ActiveRun, training_set: TrainingSet, *, seed: int) -> dict[str, Any]:
    """The provenance stored in a checkpoint."""
    return {"run": run.id, "seed": seed, "code_version": code_version(), "images": training_set.fingerprint}


def store_fold(run: ActiveRun, repeat: int, fold: int, labels: np.ndarray, logits: np.ndarray) -> None:
    """Store one point of the repeat's curve: the AUC on its held-out fold."""
    from engine.metrics.classification import auc

    value = auc(labels, logits)
    run.metrics([MetricValue("valid_auc", f"repeat{repeat}", value, n=len(labels), step=fold)])


def store_predictions(
    run: ActiveRun, training_set: TrainingSet, fold_of: np.ndarray, logits: np.ndarray, summary: dict[str, Any]
) -> None:
    """Store each image's out-of-fold prediction, together with the run's summary, see `summary_of`."""
    from engine.classification.calibration import probabilities

    calibrated = probabilities(logits, temperature=summary["temperature"])
    rows = [
        {
            "run_id": run.id,
            "image_id": image.id,
            "fold": int(fold),
            "logit": float(logit),
            "probability": float(probability),
        }
        for image, fold, logit, probability in zip(training_set.images, fold_of, logits, calibrated, strict=True)
    ]
    run.predictions(rows, summary)


def store_out_of_fold_logits(run: ActiveRun, logits: np.ndarray) -> None:
    """Store the logits whose mean the run's predictions are, (repeats, n) or (repeats, views, n), as a float32 file."""
    run.array("out_of_fold_logits", logits.astype(np.float32))


def summary_of(
    training_set: TrainingSet,
    recipe: str,
    backbones: Sequence[str],
    logits: np.ndarray,
    calibration: dict[str, Any],
    revision: str,
) -> dict[str, Any]:
    """The run's summary: calibration, out-of-fold AUC, recipe and sizes."""
    from engine.metrics.classification import auc

    return {
        **calibration,
        "oof_auc": auc(training_set.labels, logits),
        "recipe": recipe,
        "backbone": ", ".join(backbones),
        "checkpoint_sha256": revision,
        "images": len(training_set.labels),
        "patients": len(np.unique(training_set.patients)),
    }
