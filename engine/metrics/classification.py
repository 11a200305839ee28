"""Classification metrics of labels, probabilities and a threshold; and rules for choosing the threshold.

Each metric takes a weight for every row, so that one call covers all bootstrap replicates: a row drawn twice has weight
2. An undefined metric (precision if nothing is predicted positive) is NaN, never 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError

Floats = NDArray[np.float64]
ECE_BINS = 15
HALF = 0.5
"""The threshold of a two-class argmax, which ignores costs; used for comparisons if no threshold was chosen."""


@dataclass(frozen=True)
class Sample:
    """The data to be measured. labels: float (n,), 0 or 1. probabilities: float (n,). threshold: a row with at least
    this probability is predicted positive."""

    labels: Floats
    probabilities: Floats
    threshold: float

    @classmethod
    def of(cls, labels: ArrayLike, probabilities: ArrayLike, *, threshold: float) -> "Sample":
        """Check and convert. labels, probabilities: (n,) each. threshold: on the scale of the probabilities.

        Raises InputError if lengths differ, a label is not 0 or 1, or a probability is not finite.
        """
        return cls(*_checked(labels, probabilities), threshold=float(threshold))


@dataclass(frozen=True)
class Roc:
    """ROC curve from (0, 0) to (1, 1): rates float (m,) in [0, 1]; thresholds float (m,), descending, first +inf."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Reliability:
    """Non-empty bins: mean probability, proportion of positives, number of rows; each (m,) with m <= bins."""

    predicted: Floats
    observed: Floats
    count: NDArray[np.int64]


WeightedMetric = Callable[[Sample, Floats], Floats]
"""Sample of n rows, non-negative weights (r, n) -> values (r,)."""


def _accuracy(sample: Sample, weights: Floats) -> Floats:
    tp, fp, tn, fn = _confusion(sample, weights)
    return _ratio(tp + tn, tp + fp + tn + fn)


def _precision(sample: Sample, weights: Floats) -> Floats:
    tp, fp, _, _ = _confusion(sample, weights)
    return _ratio(tp, tp + fp)


def _recall(sample: Sample, weights: Floats) -> Floats:
    tp, _, _, fn = _confusion(sample, weights)
    return _ratio(tp, tp + fn)


def _specificity(sample: Sample, weights: Floats) -> Floats:
    _, fp, tn, _ = _confusion(sample, weights)
    return _ratio(tn, tn + fp)


def _f1(sample: Sample, weights: Floats) -> Floats:
    tp, fp, _, fn = _confusion(sample, weights)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _auc(sample: Sample, weights: Floats) -> Floats:
    """Area under the ROC curve by the trapezoidal rule: ties between a positive and a negative count one half."""
    tp, fp, _ = _cumulative(sample, weights)
    area = ((fp[:, 1:] - fp[:, :-1]) * (tp[:, 1:] + tp[:, :-1]) / 2).sum(axis=1)
    return _ratio(area, tp[:, -1] * fp[:, -1])


def _recall_at(specificity: float) -> WeightedMetric:
    """The best recall (sensitivity) of any threshold whose specificity is at least `specificity`."""

    def recall(sample: Sample, weights: Floats) -> Floats:
        tp, fp, _ = _cumulative(sample, weights)
        allowed = fp <= (1 - specificity + 1e-9) * fp[:, -1:]
        return np.where(fp[:, -1] > 0, _ratio(np.where(allowed, tp, 0.0).max(axis=1), tp[:, -1]), np.nan)

    return recall


def _average_precision(sample: Sample, weights: Floats) -> Floats:
    """Sum over the distinct scores of precision times increase in recall, without interpolation."""
    tp, fp, _ = _cumulative(sample, weights)
    called = np.maximum(tp + fp, np.finfo(float).tiny)[:, 1:]
    return _ratio(((tp[:, 1:] - tp[:, :-1]) * tp[:, 1:] / called).sum(axis=1), tp[:, -1])


def _brier(sample: Sample, weights: Floats) -> Floats:
    """Mean squared difference of probability and label (Brier 1950, the form with one term for binary labels)."""
    return _ratio(weights @ (sample.probabilities - sample.labels) ** 2, weights.sum(axis=1))


def _ece(sample: Sample, weights: Floats) -> Floats:
    """Expected calibration error of the probability of pneumonia (Guo et al. 2017, eq. 3, binary form).

    15 bins of equal width, closed on the left (the last on both sides): the mean over rows of
    |proportion of positives - mean probability| in the row's bin. In [0, 1]; 0 is perfect calibration.
    """
    gaps = np.zeros((len(sample.labels), ECE_BINS))
    gaps[np.arange(len(gaps)), _bins(sample.probabilities, ECE_BINS)] = sample.labels - sample.probabilities
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


METRICS: dict[str, WeightedMetric] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "specificity": _specificity,
    "f1": _f1,
    "auc": _auc,
    "recall_at_specificity_90": _recall_at(0.90),
    "recall_at_specificity_95": _recall_at(0.95),
    "average_precision": _average_precision,
    "brier": _brier,
    "ece": _ece,
}
"""Every classification metric by the name it is stored under; to add one: a function and a line here."""

CONFUSION: dict[str, WeightedMetric] = {
    "confusion_tp": lambda sample, weights: _confusion(sample, weights)[0],
    "confusion_fp": lambda sample, weights: _confusion(sample, weights)[1],
    "confusion_tn": lambda sample, weights: _confusion(sample, weights)[2],
    "confusion_fn": lambda sample, weights: _confusion(sample, weights)[3],
}
"""Counts of true and false positives and negatives."""


def measure(sample: Sample) -> dict[str, float]:
    """Every metric and count of the sample, unweighted."""
    ones = np.ones((1, len(sample.labels)))
    return {name: float(metric(sample, ones)[0]) for name, metric in (METRICS | CONFUSION).items()}


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve in [0, 1]; NaN if only one class is present.

    labels: (n,), 0 or 1. scores: (n,), any finite scale, higher is more likely pneumonia. Raises InputError as
    `Sample.of` does.
    """
    sample = Sample.of(labels, scores, threshold=0.0)
    return float(_auc(sample, np.ones((1, len(sample.labels))))[0])


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> Roc:
    """The ROC curve, with the point (0, 0) and one for each distinct score.

    labels: (n,), 0 or 1. scores: (n,), any finite scale, higher is more likely pneumonia. Raises InputError if only one
    class is present.
    """
    sample = _two_classes(labels, scores)
    tp, fp, ends = _cumulative(sample, np.ones((1, len(sample.labels))))
    return Roc(fp[0] / fp[0, -1], tp[0] / tp[0, -1], np.concatenate([[np.inf], ends]))


def youden_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Threshold that maximises sensitivity + specificity - 1 (Youden 1950); in [0, 1] if the scores are.

    labels: (n,), 0 or 1. scores: (n,), higher is more likely pneumonia. The threshold is half-way between two
    neighbouring scores; of equally good ones it is the lowest, since a missed pneumonia costs more than a false alarm.
    Raises InputError if only one class is present.
    """
    curve = roc_curve(labels, scores)
    gain = (curve.true_positive_rate - curve.false_positive_rate)[1:]
    best = np.flatnonzero(gain >= gain.max() - 1e-12)[-1]  # rounding must not choose between equals
    return _between(curve, int(best) + 1)


def recall_threshold(labels: ArrayLike, scores: ArrayLike, *, recall: float) -> float:
    """The highest threshold whose recall (sensitivity) is at least `recall`, half-way between neighbouring scores.

    labels: (n,), 0 or 1. scores: (n,), higher is more likely pneumonia. recall: in (0, 1].
    Raises InputError if only one class is present or recall is out of range.
    """
    if not 0 < recall <= 1:
        raise InputError(f"target recall must be above 0 and at most 1, not {recall}")
    curve = roc_curve(labels, scores)
    reached = np.flatnonzero(curve.true_positive_rate >= recall - 1e-12)
    return _between(curve, int(reached[0]))


def reliability(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = ECE_BINS) -> Reliability:
    """Observed proportion of positives against mean probability in bins of equal width; empty bins are left out.

    labels: (n,), 0 or 1. probabilities: (n,) in [0, 1]. Raises InputError as `Sample.of` does.
    """
    truth, predicted = _checked(labels, probabilities)
    index = _bins(predicted, bins)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    sums = [np.bincount(index, weights=values, minlength=bins)[held] / count[held] for values in (predicted, truth)]
    return Reliability(sums[0], sums[1], count[held].astype(np.int64))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise InputError(f"labels and scores must be two lists of one length, not {truth.shape} and {values.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels must be 0 or 1; leave images without a label out")
    if not np.isfinite(values).all():
        raise InputError(f"scores must be finite; {int((~np.isfinite(values)).sum())} of {len(values)} are not")
    return truth, values


def _two_classes(labels: ArrayLike, scores: ArrayLike) -> Sample:
    sample = Sample.of(labels, scores, threshold=0.0)
    positives = int(sample.labels.sum())
    if positives in (0, len(sample.labels)):
        negatives = len(sample.labels) - positives
        raise InputError(f"both classes are needed; there are {positives} pneumonia and {negatives} normal images")
    return sample


def _confusion(sample: Sample, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted counts tp, fp, tn, fn, each (r,)."""
    called, truth = sample.probabilities >= sample.threshold, sample.labels == 1
    cells = np.stack([called & truth, called & ~truth, ~called & ~truth, ~called & truth], axis=1)
    tp, fp, tn, fn = (weights @ cells.astype(np.float64)).T
    return tp, fp, tn, fn


def _cumulative(sample: Sample, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted true and false positives, each (r, m + 1), with each of the m distinct scores as the threshold, and
    these scores (m,), descending. The first column is 0.
    """
    order = np.argsort(-sample.probabilities, kind="stable")
    scores = sample.probabilities[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.empty(0, dtype=np.int64)
    ordered = weights[:, order]
    zero = np.zeros((len(weights), 1))
    tp = np.cumsum(ordered * sample.labels[order], axis=1)[:, ends]
    both = np.cumsum(ordered, axis=1)[:, ends]
    return np.hstack([zero, tp]), np.hstack([zero, both - tp]), scores[ends]


def _between(curve: Roc, index: int) -> float:
    """Half-way between the score at `index` and the next lower one, so that rounding cannot change a prediction."""
    upper = curve.thresholds[index]
    lower = curve.thresholds[index + 1] if index + 1 < len(curve.thresholds) else upper
    middle = lower + (upper - lower) / 2
    return float(middle if lower < middle else upper)


def _bins(probabilities: Floats, bins: int) -> NDArray[np.int64]:
    return np.clip((probabilities * bins).astype(np.int64), 0, bins - 1)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where bottom is 0."""
    quotient: Floats = np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
    return quotient
