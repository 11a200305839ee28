"""How a classifier does on altered copies of images, and how its calls differ from those on the images themselves."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Interval, Resampled, resampled, weighted_mean
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
    keys, before, plain = np.asarray(patients), _right(unaltered), None
    for where, probabilities in {UNALTERED: unaltered.probabilities, **altered}.items():
        sample = Sample.of(unaltered.labels, probabilities, threshold=unaltered.threshold)
        area = resampled(partial(METRICS["auc"], sample), keys, seed=seed, replicates=replicates)
        plain = plain or area  # the first is that of the unaltered images
        yield Measured("stress_auc", where, _varying(area.interval(), unless=area.value in (0.0, 1.0)))
        right = _right(sample)
        for name, label in (("recall", 1), ("specificity", 0)):
            rows = np.flatnonzero(sample.labels == label)
            if not len(rows):
                continue
            yield Measured(f"stress_{name}", where, share(right[rows], keys[rows], seed=seed, replicates=replicates))
            if where != UNALTERED:
                gained = weighted_mean(right[rows].astype(float) - before[rows])
                yield _apart(name, where, resampled(gained, keys[rows], seed=seed, replicates=replicates))
        if where != UNALTERED:
            # equal seeds draw the same patients
            yield _apart("auc", where, Resampled(area.value - plain.value, area.draws - plain.draws, area.n))
            changed = right != before  # a call, since the label is the same
            yield Measured("stress_changed", where, share(changed, keys, seed=seed, replicates=replicates))


def _apart(name: str, where: str, difference: Resampled) -> Measured:
    found = _varying(difference.interval(), unless=difference.value == 0)
    return Measured(f"stress_{name}{DIFFERENCE}", where, found)


def _varying(found: Interval, *, unless: bool) -> Interval:
    """The interval; unless: without it if all replicates are equal, since at this value that is no certainty."""
    return Interval(found.value, NAN, NAN, found.n) if unless and found.low == found.high else found


def _right(sample: Sample) -> NDArray[np.bool_]:
    """Which rows are called what their label says: bool (n,)."""
    return np.asarray((sample.probabilities >= sample.threshold) == (sample.labels == 1))
