"""How sure a value is: percentile intervals from resampling whole patients."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError

Floats = NDArray[np.float64]

Statistic = Callable[[Floats], Floats]
"""Weights of the n rows, (r, n), how often each was drawn -> values (r,); NaN where a replicate has no value."""

BLOCK_VALUES = 500_000
"""Weights held at once: small enough for the processor's cache, whatever n is."""
KEPT_DRAWS = 4_000_000
"""Draws of one seed up to which they are kept for the next statistic of as many clusters: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval: low and high are NaN where resampling cannot tell. n: rows measured.

    undefined: replicates without a value (one class only, say), which the interval leaves out.
    """

    value: float
    low: float
    high: float
    n: int
    undefined: int = 0


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
    clusters give equal replicates, so values of two statistics are comparable replicate by replicate.

    Replicates without a value are left out and counted. Where more than a share 1 - level of them are, or there is
    but one cluster, low and high are NaN: the tails are then not known.
    Raises InputError where there are no rows.
    """
    keys, member = np.unique(np.asarray(clusters), return_inverse=True)
    if not len(member):
        raise InputError("an interval needs at least one row; got none")
    value = float(statistic(np.ones((1, len(member))))[0])
    if len(keys) < 2:
        return Interval(value, np.nan, np.nan, len(member))
    draws = replicate(statistic, member, len(keys), seed=seed, replicates=replicates)
    known = draws[np.isfinite(draws)]
    undefined = replicates - len(known)
    low, high = np.nan, np.nan
    if undefined <= (1 - level) * replicates and np.isfinite(value):
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(member), undefined)


def replicate(statistic: Statistic, member: NDArray[np.intp], clusters: int, *, seed: int, replicates: int) -> Floats:
    """The statistic of each replicate, (replicates,). member: (n,) the row's cluster, 0 to clusters - 1."""
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
    """How often each cluster is drawn in each replicate, (replicates, clusters): most of the time that an interval
    takes, and the same for every statistic."""
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
