"""Whether two scores rise together among rows of one kind."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Floats, Statistic


def spearman_within(first: ArrayLike, second: ArrayLike, strata: ArrayLike) -> Statistic:
    """Spearman's rank correlation of two scores within each stratum, averaged over strata by their weight.

    first, second: (n,), finite. strata: (n,), rows are ranked among those of their own stratum. In [-1, 1]; ties get
    mid-ranks; a stratum in which a score does not vary is left out, and NaN stands where none is left. Within the
    classes this measures how a prediction and a nuisance are associated given the label (equalised odds asks for
    independence; Hardt et al. 2016). It does not show use: severity can move both.
    """
    a, b, kind = np.asarray(first, np.float64), np.asarray(second, np.float64), np.asarray(strata)
    parts = [np.flatnonzero(kind == value) for value in np.unique(kind)]

    def correlation(weights: Floats) -> Floats:
        total, weight = np.zeros(len(weights)), np.zeros(len(weights))
        for part in parts:
            own = weights[:, part]
            found = _pearson(_mid_ranks(a[part], own), _mid_ranks(b[part], own), own)
            known = np.isfinite(found)
            total[known] += (own.sum(axis=1) * found)[known]
            weight[known] += own.sum(axis=1)[known]
        return np.asarray(np.divide(total, weight, out=np.full(len(weights), np.nan), where=weight > 0))

    return correlation


def _mid_ranks(values: NDArray[np.float64], weights: Floats) -> Floats:
    """The rank of each value where row i stands weights[., i] times: (r, n); equal values share their mean rank."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Floats = (np.cumsum(counts, axis=1) - counts / 2)[:, group]
    return ranks


def _pearson(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Weighted correlation of each row of a and b, all (r, n): (r,), NaN where one of them does not vary."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    a, b = (x - (weights * x).sum(axis=1, keepdims=True) / total for x in (a, b))
    varies = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    together = (weights * a * b).sum(axis=1)
    return np.asarray(np.divide(together, varies, out=np.full(len(a), np.nan), where=varies > 1e-9))
