"""The evaluation of a classifier: every metric on all rows, at each threshold, by patient and by cause, with
intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Interval, cluster_bootstrap
from engine.metrics.calibration import ece_by_chance, recalibration
from engine.metrics.classification import CONFUSION, METRICS, Sample
from engine.metrics.proportions import at_bound

AT_THRESHOLD = ("accuracy", "precision", "recall", "specificity", "f1")
"""The metrics that depend on the threshold."""
CALIBRATION = ("brier", "ece")
BY_CAUSE = ("recall", "auc")
UNSCALED, BY_PATIENT = "before_scaling", "by_patient"
"""Slices: probabilities before temperature scaling; patients, each with the mean probability of its rows."""
SHARES = ("accuracy", "precision", "recall", "specificity", "recall_at_specificity_90", "recall_at_specificity_95")
"""Metrics that are a proportion of the rows they are based on."""


@dataclass(frozen=True)
class Measured:
    """One metric on one slice: "all", a named threshold, BY_PATIENT, UNSCALED, or a cause against all normals. step:
    the coverage in percent that it is measured at; -1 where all images count."""

    name: str
    slice: str
    interval: Interval
    step: int = -1


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
    """All stored metrics of a classifier on one split, with 95 % bootstrap intervals over patients.

    labels: (n,), 0 or 1. probabilities: (n,) in [0, 1]. patients, causes: (n,), causes "" if unknown. thresholds: by
    slice name, which must include "all". uncalibrated: (n,), probabilities before temperature scaling, whose
    calibration becomes slice UNSCALED. In slice BY_PATIENT a patient has pneumonia if any of its rows has. An
    interval's n counts the rows its value is based on: for recall the pneumonia images, for specificity the normal
    ones, for precision those predicted positive. Counts, thresholds and ECE have no interval: resampling biases ECE,
    whose baseline is ece_by_chance. Raises InputError as `Sample.of` does, and if there are no rows.
    """
    groups = np.asarray(patients)
    kinds = np.asarray(causes)
    found = []
    for name, threshold in thresholds.items():
        sample = Sample.of(labels, probabilities, threshold=threshold)
        wanted = tuple(METRICS) if name == "all" else AT_THRESHOLD
        found += measured_on(sample, groups, wanted, name, seed=seed, replicates=replicates)
        found += _plain(sample, name)
    sample = Sample.of(labels, probabilities, threshold=thresholds["all"])
    found += _calibration(sample, groups, "all", seed=seed)
    if uncalibrated is not None:
        before = Sample.of(labels, uncalibrated, threshold=thresholds["all"])
        found += measured_on(before, groups, CALIBRATION, UNSCALED, seed=seed, replicates=replicates)
        found += _calibration(before, groups, UNSCALED, seed=seed)
    whole, people = by_patient(sample, groups)
    if len(people) < len(groups):
        found += measured_on(whole, people, (*AT_THRESHOLD, "auc"), BY_PATIENT, seed=seed, replicates=replicates)
        found += _plain(whole, BY_PATIENT)
    for cause in sorted(set(kinds[sample.labels == 1]) - {""}):
        rows = (sample.labels == 0) | (kinds == cause)
        part = Sample.of(sample.labels[rows], sample.probabilities[rows], threshold=sample.threshold)
        found += measured_on(part, groups[rows], BY_CAUSE, str(cause), seed=seed, replicates=replicates)
    return found


def measured_on(
    sample: Sample, patients: NDArray[np.str_], names: tuple[str, ...], where: str, *, seed: int, replicates: int
) -> list[Measured]:
    """The named metrics on all rows as slice `where`, with 95 % intervals over patients, (n,) keys.

    An interval's n counts the rows its value is based on. If all replicates are 0 or all are 1, the interval of a
    proportion is Wilson's, and that of another metric unknown.
    """
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
        interval = replace(interval, n=int(based_on.sum()))
        if name == "ece":
            interval = replace(interval, low=np.nan, high=np.nan)
        elif interval.value in (0.0, 1.0) and interval.low == interval.high:  # equal replicates are not certainty
            unknown = replace(interval, low=np.nan, high=np.nan)
            interval = at_bound(interval, patients[based_on]) if name in SHARES else unknown
        found.append(Measured(name, where, interval))
    return found


def _calibration(sample: Sample, patients: NDArray[np.str_], where: str, *, seed: int) -> list[Measured]:
    found = {"ece_by_chance": ece_by_chance(sample, seed=seed), **recalibration(sample, patients)}
    return [Measured(name, where, interval) for name, interval in found.items()]


def by_patient(sample: Sample, patients: NDArray[np.str_]) -> tuple[Sample, NDArray[np.str_]]:
    """One row for each patient, and the patients' keys (m,). Its probability is the mean over the patient's images, its
    label pneumonia if any image's is. patients: (n,), each row's patient key."""
    people, member, rows = np.unique(patients, return_inverse=True, return_counts=True)
    ill = np.bincount(member, weights=sample.labels) > 0
    means = np.bincount(member, weights=sample.probabilities) / rows
    return Sample(ill.astype(np.float64), means, sample.threshold), people


def _plain(sample: Sample, where: str) -> list[Measured]:
    ones, n = np.ones((1, len(sample.labels))), len(sample.labels)
    values = {name: float(count(sample, ones)[0]) for name, count in CONFUSION.items()} | {
        "threshold": sample.threshold
    }
    return [Measured(name, where, Interval(value, np.nan, np.nan, n)) for name, value in values.items()]
