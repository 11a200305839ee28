"""How well shortcuts separate the classes: probes on one kind of input, and the classifier on occluded images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from db.queries.predictions import KnownImage, PredictedImage, SizedImage
from db.writes import MetricValue
from engine.metrics.names import FRAME_HIDDEN, FRAME_ONLY, FRAME_PROBES, WHOLE
from jobs.audits.subject import Audit, column, files
from jobs.results.values import metric_value

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval


def probes(audit: Audit) -> Iterator[MetricValue]:
    """AUC of each probe, and its score's rank correlation with the classifier's output among images of one label.

    Probes are fitted on images other than the audited ones (out-of-fold AUC: split "oof"), which tune nothing. If the
    predictions were imported and there are too few other labelled images, each audited image is scored by a probe that
    saw none of its fold.
    Raises InputError if a class has fewer patients than there are folds.
    """
    from engine.audit.shortcuts import boosted, linear, probe
    from engine.metrics.association import spearman_within

    subject, judged = audit.subject, audit.appearance
    apart = subject.trained is not None or enough(subject.others, audit.folds)
    rows, looks = (subject.others, audit.other_appearance) if apart else (subject.judged, judged)
    inputs = {
        "frame pixels": (linear, looks["frame"], judged["frame"]),
        "frame features": (linear, looks["frame_features"], judged["frame_features"]),
        "image size": (boosted, sizes(rows), sizes(subject.judged)),
        "file size": (boosted, bytes_of(rows, looks), bytes_of(subject.judged, judged)),
        "image statistics": (boosted, looks["statistics"], judged["statistics"]),
    }
    labels, patients = column(rows, "label"), column(rows, "patient_key")
    outputs, classes = column(subject.judged, "logit"), column(subject.judged, "label")
    for name in audit.run.track(list(inputs), stage="probing for shortcuts"):
        model, fitted_on, applied_to = inputs[name]
        found = probe(model, fitted_on, labels, patients, applied_to, folds=audit.folds, seed=audit.seed)
        held_out = auc(audit, rows, found.out_of_fold, found.fold)
        if apart:
            yield metric_value("probe_auc", "oof", name, held_out)
            yield metric_value("probe_auc", subject.split, name, auc(audit, subject.judged, found.test))
            scores, strata = found.test, classes
        else:
            yield metric_value("probe_auc", subject.split, name, held_out)
            scores, strata = found.out_of_fold, classes + 2 * found.fold
        audit.probed[name] = scores, strata
        related = spearman_within(scores, outputs, strata)
        yield metric_value("probe_correlation", subject.split, name, audit.interval(related, subject.judged))


def enough(rows: Sequence[SizedImage], folds: int) -> bool:
    """Whether each class has at least one patient per fold."""
    patients: dict[int | None, set[str]] = {0: set(), 1: set()}
    for row in rows:
        patients[row.label].add(row.patient_key)
    return min(map(len, patients.values())) >= folds


def occlusions(audit: Audit) -> Iterator[MetricValue]:
    """AUC of the classifier itself on the audited images: whole, frame only, and with the frame hidden; and the rank
    correlation of its output without the frame with the score of each frame probe, as reference for `probes`."""
    from engine.audit.shortcuts import only_frame, without_frame
    from engine.imaging.images import read_batch
    from engine.metrics.association import spearman_within

    subject, classifier = audit.subject, audit.classifier

    def scores(rows: list[PredictedImage]) -> NDArray[Any]:
        pixels = read_batch(files(Path(subject.dataset.root), rows), size=classifier.input_size)
        return np.stack([classifier.run(hide(pixels)).logits for hide in (only_frame, without_frame)], axis=1)

    found = audit.sharded("occluded", subject.judged, scores, stage="scoring occluded images")
    whole = column(subject.judged, "probability")
    for name, values in {FRAME_ONLY: found[:, 0], FRAME_HIDDEN: found[:, 1], WHOLE: whole}.items():
        yield metric_value("probe_auc", subject.split, name, auc(audit, subject.judged, values))
    yield metric_value("probe_auc", "oof", WHOLE, auc(audit, subject.training, column(subject.training, "probability")))
    for name in FRAME_PROBES:
        if name in audit.probed:
            of_probe, strata = audit.probed[name]
            related = audit.interval(spearman_within(of_probe, found[:, 1], strata), subject.judged)
            yield metric_value("probe_correlation_hidden", subject.split, name, related)


def sizes(rows: Sequence[SizedImage]) -> NDArray[np.float64]:
    """Width, height and their ratio: (n, 3)."""
    width, height = column(rows, "width").astype(np.float64), column(rows, "height").astype(np.float64)
    return np.column_stack([width, height, width / height])


def bytes_of(rows: Sequence[SizedImage], appearance: NDArray[np.void]) -> NDArray[np.float64]:
    """The file's size in bytes and bytes per pixel: (n, 2)."""
    return np.column_stack([appearance["bytes"], appearance["bytes"] / column(rows, "width") / column(rows, "height")])


def auc(
    audit: Audit, rows: Sequence[KnownImage], scores: NDArray[np.floating], folds: NDArray[np.intp] | None = None
) -> "Interval":
    """Area under the ROC curve, with its interval over patients; with folds (n,) the mean over the folds."""
    from engine.metrics.classification import METRICS, Sample

    labels = column(rows, "label")
    parts = [np.arange(len(rows))] if folds is None else [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    samples = [(part, Sample.of(labels[part], scores[part], threshold=0.0)) for part in parts]

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        areas = np.stack([METRICS["auc"](sample, weights[:, part]) for part, sample in samples])
        known = np.isfinite(areas).sum(axis=0)  # a resampled fold may contain only one class
        none = np.full(known.shape, np.nan)
        return np.asarray(np.divide(np.nansum(areas, axis=0), known, out=none, where=known > 0))

    return audit.interval(mean, rows)
