"""Proportions with intervals that do not collapse at 0 or 1: over patients, and from a confusion matrix."""

from dataclasses import replace
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from engine.metrics.bootstrap import Interval, cluster_bootstrap, weighted_mean

NAN = float("nan")


def wilson(rate: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of a proportion among n independent trials by the score interval (Wilson 1927), within [0, 1]."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(values: ArrayLike, clusters: ArrayLike, *, seed: int, replicates: int = 1000) -> Interval:
    """The mean of `values` (n,), ignoring NaN, with its 95 % bootstrap interval over clusters (n,), that is, patients.

    If all values are 0 or all are 1, all replicates are equal and the bootstrap interval would have no width; it is
    then Wilson's, with clusters as trials. Raises InputError if there are no rows.
    """
    given = np.asarray(values, dtype=np.float64)
    found = cluster_bootstrap(weighted_mean(given), clusters, seed=seed, replicates=replicates)
    known = np.isfinite(given)
    found = replace(found, n=int(known.sum()))
    alike = known.any() and given[known].min() == given[known].max() and found.value in (0.0, 1.0)
    return at_bound(found, np.asarray(clusters)[known]) if alike else found


def at_bound(found: Interval, clusters: ArrayLike) -> Interval:
    """A proportion of 0 or 1 with Wilson's interval, taking the distinct clusters (n,) as trials."""
    low, high = wilson(found.value, len(np.unique(np.asarray(clusters))))
    return replace(found, low=low, high=high)


def of_confusion(*, tp: int, fn: int, fp: int, tn: int) -> dict[str, Interval]:
    """Recall, specificity, precision, accuracy and F1 of a confusion matrix with 95 % Wilson intervals.

    The intervals assume independent images, although images of one patient are correlated. F1 = 2 J / (1 + J), where J
    (Jaccard) is the proportion of true positives among all images positive by label or prediction, so J's interval
    gives F1's. NaN if the denominator is 0, and for precision and F1 if only one label occurs, since they would then be
    determined by it. n: the denominator of each proportion.
    """
    both = bool(tp + fn and fp + tn)
    overlap = _share(tp, tp + fp + fn) if both else _share(0, 0)
    value, low, high = (2 * j / (1 + j) for j in (overlap.value, overlap.low, overlap.high))
    return {
        "recall": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "precision": _share(tp, tp + fp) if both else _share(0, 0),
        "accuracy": _share(tp + tn, tp + fn + fp + tn),
        "f1": Interval(value, low, high, overlap.n),
    }


def _share(part: int, whole: int) -> Interval:
    return Interval(part / whole, *wilson(part / whole, whole), whole) if whole else Interval(NAN, NAN, NAN, 0)
