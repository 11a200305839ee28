"""What is measured of a classifier: every metric on all rows, at each threshold, and by cause, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Interval, cluster_bootstrap
from engine.metrics.classification import CONFUSION, METRICS, Sample

AT_THRESHOLD = ("accuracy", "precision", "recall", "specificity", "f1")
"""The metrics that change with the threshold."""
CALIBRATION = ("brier", "ece")
BY_CAUSE = ("recall", "auc")


@dataclass(frozen=True)
class Measured:
    """One metric on one slice: "all", a named threshold, or a cause of pneumonia against all normals."""

    name: str
    slice: str
    interval: Interval


def classification(
    labels: ArrayLike,
    probabilities: ArrayLike,
    patients: ArrayLike,
    causes: ArrayLike,
    *,
    thresholds: Mapping[str, float],
    seed: int,
    replicates: int = 1000,
    uncalibrated: ArrayLike | None = None,
) -> list[Measured]:
    """Everything that is stored of a classifier on one split, with 95 % intervals over patients.

    labels: (n,), 0 or 1. probabilities: (n,) in [0, 1]. patients, causes: (n,), causes "" where unknown.
    thresholds: by slice name; "all" must be there. uncalibrated: (n,), probabilities before temperature scaling, whose
    Brier score and ECE are stored as slice "before_scaling". An interval's n counts the rows its value rests on:
    recall's are the pneumonia images, specificity's the normal ones, precision's those called positive. Counts and
    thresholds have no interval. Raises InputError on rows that cannot be measured.
    """
    groups = np.asarray(patients)
    kinds = np.asarray(causes)
    found = []
    for name, threshold in thresholds.items():
        sample = Sample.of(labels, probabilities, threshold=threshold)
        wanted = tuple(METRICS) if name == "all" else AT_THRESHOLD
        found += _measured(sample, groups, wanted, name, seed=seed, replicates=replicates)
        found += _plain(sample, name)
    if uncalibrated is not None:
        before = Sample.of(labels, uncalibrated, threshold=thresholds["all"])
        found += _measured(before, groups, CALIBRATION, "before_scaling", seed=seed, replicates=replicates)
    sample = Sample.of(labels, probabilities, threshold=thresholds["all"])
    for cause in sorted(set(kinds[sample.labels == 1]) - {""}):
        rows = (sample.labels == 0) | (kinds == cause)
        part = Sample.of(sample.labels[rows], sample.probabilities[rows], threshold=sample.threshold)
        found += _measured(part, groups[rows], BY_CAUSE, str(cause), seed=seed, replicates=replicates)
    return found


def _measured(
    sample: Sample, patients: NDArray[np.str_], names: tuple[str, ...], where: str, *, seed: int, replicates: int
) -> list[Measured]:
    found = []
    for name in names:
        statistic = partial(METRICS[name], sample)
        interval = cluster_bootstrap(statistic, patients, seed=seed, replicates=replicates)
        based_on = {
            "recall": sample.labels == 1,
            "recall_at_specificity_90": sample.labels == 1,
            "recall_at_specificity_95": sample.labels == 1,
            "specificity": sample.labels == 0,
            "precision": sample.probabilities >= sample.threshold,
        }.get(name, np.ones(len(sample.labels), dtype=bool))
        n = int(based_on.sum())
        found.append(
            Measured(name, where, Interval(interval.value, interval.low, interval.high, n, interval.undefined))
        )
    return found


def _plain(sample: Sample, where: str) -> list[Measured]:
    ones, n = np.ones((1, len(sample.labels))), len(sample.labels)
    values = {name: float(count(sample, ones)[0]) for name, count in CONFUSION.items()} | {
        "threshold": sample.threshold
    }
    return [Measured(name, where, Interval(value, np.nan, np.nan, n)) for name, value in values.items()]
