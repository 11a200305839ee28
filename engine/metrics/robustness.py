"""How a classifier does on altered copies of images, and how its calls differ from those on the images themselves."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Floats, Interval, Statistic, cluster_bootstrap, weighted_mean
from engine.metrics.classification import METRICS, Sample
from engine.metrics.evaluation import Measured
from engine.metrics.names import DIFFERENCE
from engine.metrics.proportions import share

NAN = float("nan")
UNALTERED = "unaltered"
"""Slice of the images themselves."""


def robustness(
    unaltered: Sample,
    altered: dict[str, NDArray[np.float64]],
    patients: ArrayLike,
    *,
    seed: int,
    replicates: int = 1000,
) -> Iterator[Measured]:
    """AUC, recall and specificity of the images and of each altered copy, with their 95 % intervals over patients.

    altered: name -> probabilities of the copies, (n,). patients: (n,) keys. Each name is a slice and UNALTERED is that
    of the images. For each alteration there are also the differences from UNALTERED, image by image in the same
    replicates (`*_difference`), and `stress_changed`, the share of images whose call differs. Intervals are not
    adjusted for the number of alterations. Raises InputError if lengths differ or a probability is not finite.
    """
    keys, before = np.asarray(patients), _right(unaltered)
    for where, probabilities in {UNALTERED: unaltered.probabilities, **altered}.items():
        sample = Sample.of(unaltered.labels, probabilities, threshold=unaltered.threshold)
        area = cluster_bootstrap(_auc(sample), keys, seed=seed, replicates=replicates)
        yield Measured("stress_auc", where, area)
        if where != UNALTERED:
            lost = cluster_bootstrap(_auc(sample, unaltered), keys, seed=seed, replicates=replicates)
            yield Measured(f"stress_auc{DIFFERENCE}", where, _or_none(lost))
        right = _right(sample)
        for name, label in (("recall", 1), ("specificity", 0)):
            rows = np.flatnonzero(sample.labels == label)
            if not len(rows):
                continue
            yield Measured(f"stress_{name}", where, share(right[rows], keys[rows], seed=seed, replicates=replicates))
            if where != UNALTERED:
                gained = weighted_mean(right[rows].astype(float) - before[rows])
                apart = cluster_bootstrap(gained, keys[rows], seed=seed, replicates=replicates)
                yield Measured(f"stress_{name}{DIFFERENCE}", where, _or_none(apart))
        if where != UNALTERED:
            changed = right != before  # the label is the same
            yield Measured("stress_changed", where, share(changed, keys, seed=seed, replicates=replicates))


def _right(sample: Sample) -> NDArray[np.bool_]:
    """Which rows are called what their label says: bool (n,)."""
    return np.asarray((sample.probabilities >= sample.threshold) == (sample.labels == 1))


def _auc(sample: Sample, less: Sample | None = None) -> Statistic:
    """The AUC of `sample`, minus that of `less` if given."""

    def area(weights: Floats) -> Floats:
        found = METRICS["auc"](sample, weights)
        return found if less is None else found - METRICS["auc"](less, weights)

    return area


def _or_none(found: Interval) -> Interval:
    """Without an interval where no replicate differs from another: then resampling says nothing."""
    return Interval(found.value, NAN, NAN, found.n) if found.low == found.high else found
