"""Percentile bootstrap intervals that resample whole patients (clusters)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError

Floats = NDArray[np.float64]

Statistic = Callable[[Floats], Floats]
"""Weights of the n rows in r replicates, (r, n): how often each was drawn -> values (r,), NaN if undefined."""

BLOCK_VALUES = 500_000
"""Number of weights in memory at a time, chosen to fit into the CPU cache for any n."""
KEPT_DRAWS = 4_000_000
"""Maximum number of draws cached for the next statistic with the same seed and number of clusters: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval. low, high: NaN if resampling cannot determine them. n: number of rows.

    undefined: number of replicates without a value (with one class only, for example), which the interval leaves out.
    """

    value: float
    low: float
    high: float
    n: int
    undefined: int = 0


@dataclass(frozen=True)
class Resampled:
    """A statistic of all n rows, and of r replicates: draws (r,), NaN if undefined; r is 0 if there is only one
    cluster."""

    value: float
    draws: Floats
    n: int

    def interval(self, *, level: float = 0.95) -> Interval:
        """The value with its percentile interval; see `cluster_bootstrap`."""
        known = self._known(level)
        low, high = (np.nan, np.nan) if known is None else np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        undefined = int((~np.isfinite(self.draws)).sum())
        return Interval(self.value, float(low), float(high), self.n, undefined)

    @property
    def error(self) -> float:
        """Standard error: the standard deviation of the replicates; NaN if the interval is unknown."""
        known = self._known(0.95)
        return float("nan") if known is None else float(known.std())

    def p_value(self, *, level: float = 0.95) -> float:
        """Two-sided p-value for the statistic being 0, by inverting the percentile interval (Davison & Hinkley 1997,
        sec. 5.4): twice the proportion of replicates on the rarer side of 0, with the observed value counted as one of
        them. NaN if the interval is unknown."""
        known = self._known(level)
        if known is None:
            return float("nan")
        rarer = min(int((known <= 0).sum()), int((known >= 0).sum()))
        return min(1.0, 2 * (rarer + 1) / (len(known) + 1))

    def _known(self, level: float) -> Floats | None:
        """The replicates with a value; None if so many are undefined that the tails are unknown."""
        known = self.draws[np.isfinite(self.draws)]
        undefined = len(self.draws) - len(known)
        enough = len(known) and undefined <= (1 - level) * len(self.draws) and np.isfinite(self.value)
        return known if enough else None


def cluster_bootstrap(
    statistic: Statistic,
    clusters: ArrayLike,
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The statistic with its percentile interval (Efron & Tibshirani 1993, ch. 13), resampling clusters.

    clusters: (n,) patient keys; a patient's rows are drawn together, since they are not independent (Davison &
    Hinkley 1997, sec. 3.8). Each replicate draws as many patients as there are, with replacement. Equal seeds and
    clusters give equal replicates, so that two statistics can be compared replicate by replicate.

    Undefined replicates are left out and counted. If their proportion exceeds 1 - level, or if there is only one
    cluster, low and high are NaN, because the tails are unknown.
    Raises InputError if there are no rows.
    """
    return resampled(statistic, clusters, seed=seed, replicates=replicates).interval(level=level)


def resampled(statistic: Statistic, clusters: ArrayLike, *, seed: int, replicates: int = 1000) -> Resampled:
    """The statistic and its replicates, as `cluster_bootstrap` draws them.

    statistic: weights (r, n) -> values (r,). clusters: (n,), each row's patient. Raises InputError if there are no
    rows.
    """
    keys, member = np.unique(np.asarray(clusters), return_inverse=True)
    if not len(member):
        raise InputError("an interval needs at least one row; got none")
    value = float(statistic(np.ones((1, len(member))))[0])
    if len(keys) < 2:
        return Resampled(value, np.empty(0), len(member))
    return Resampled(value, replicate(statistic, member, len(keys), seed=seed, replicates=replicates), len(member))


def replicate(statistic: Statistic, member: NDArray[np.intp], clusters: int, *, seed: int, replicates: int) -> Floats:
    """The statistic of each replicate, (replicates,). member: (n,), each row's cluster, 0 to clusters - 1."""
    values = []
    block = max(1, BLOCK_VALUES // len(member))
    kept = _draws(clusters, seed, replicates) if clusters * replicates <= KEPT_DRAWS else None
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = _drawn(rng, clusters, size) if kept is None else kept[start : start + size]
        values.append(np.asarray(statistic(drawn.astype(np.float64)[:, member]), dtype=np.float64))
    return np.concatenate(values)


@lru_cache(maxsize=4)
def _draws(clusters: int, seed: int, replicates: int) -> NDArray[np.int32]:
    """How often each cluster is drawn in each replicate, (replicates, clusters); cached because drawing takes most of
    an interval's time and is the same for every statistic."""
    made = _drawn(np.random.default_rng(seed), clusters, replicates).astype(np.int32)
    made.flags.writeable = False
    return made


def _drawn(rng: np.random.Generator, clusters: int, replicates: int) -> NDArray[np.int64]:
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)


def weighted_mean(values: ArrayLike) -> Statistic:
    """The mean of `values` (n,) as a statistic; rows that are NaN (unknown) are left out."""
    given = np.asarray(values, dtype=np.float64)
    known = np.isfinite(given)
    filled = np.where(known, given, 0.0)

    def mean(weights: Floats) -> Floats:
        count = weights @ known.astype(np.float64)
        means: Floats = np.divide(weights @ filled, count, out=np.full(count.shape, np.nan), where=count > 0)
        return means

    return mean
