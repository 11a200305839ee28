"""Means over patients with intervals and p-values that suit few patients."""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from engine.metrics.bootstrap import Interval, resampled, weighted_mean
from engine.metrics.proportions import share

FEW = 50
"""Clusters below which percentile intervals of a mean are too narrow, so that Student's t replaces them."""


@dataclass(frozen=True)
class PatientMean:
    """A mean with its 95 % interval, and the two-sided p-value for it being 0, NaN if unknown."""

    interval: Interval
    p_value: float


def mean_over_patients(values: ArrayLike, clusters: ArrayLike, *, seed: int, replicates: int = 1000) -> PatientMean:
    """The mean of `values` (n,), ignoring NaN, over clusters (n,), that is, patients.

    With fewer than FEW clusters, interval and p-value are Student's with clusters - 1 degrees of freedom and the
    standard error clustered by patient (Liang & Zeger 1986); else those of the bootstrap. If the values of few clusters
    do not vary, the interval is that of `share` and p is NaN. Raises InputError if there are no rows.
    """
    given, keys = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    known = np.isfinite(given)
    n = int(known.sum())
    people, member = np.unique(keys[known], return_inverse=True)
    if len(people) >= FEW:
        found = resampled(weighted_mean(given), keys, seed=seed, replicates=replicates)
        return PatientMean(replace(found.interval(), n=n), found.p_value())
    if len(people) < 2 or np.ptp(given[known]) < 1e-12:
        return PatientMean(share(given, keys, seed=seed, replicates=replicates), float("nan"))
    mean, freedom = float(given[known].mean()), len(people) - 1
    summed = np.bincount(member, weights=given[known] - mean)
    error = sqrt(float((summed**2).sum()) * len(people) / freedom) / n
    if not error > 0:
        return PatientMean(Interval(mean, float("nan"), float("nan"), n), float("nan"))
    reach = float(student.ppf(0.975, freedom)) * error
    return PatientMean(Interval(mean, mean - reach, mean + reach, n), 2 * float(student.sf(abs(mean) / error, freedom)))
