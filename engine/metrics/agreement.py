"""Inter-reader agreement beyond chance: Cohen's kappa, Fleiss' kappa and Krippendorff's alpha.

Each is a statistic of weighted images, for `bootstrap.cluster_bootstrap`; weights of 1 give the value for the sample.
All are 1 for complete agreement, 0 for agreement as expected by chance, and NaN if only one category occurs.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.metrics.bootstrap import Floats, Statistic


def cohen(first: ArrayLike, second: ArrayLike) -> Statistic:
    """Cohen's kappa (1960, Educ Psychol Meas 20:37) of two readers, in [-1, 1].

    first, second: (n,) categories of any type, one for each image. Raises InputError if their lengths differ.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"two readers need a verdict on each image; got {one.shape} and {other.shape}")
    classes, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    marks = np.eye(len(classes))[codes]
    marked = np.column_stack([marks[: len(one)], marks[len(one) :], one == other])

    def kappa(weights: Floats) -> Floats:
        each = weights @ marked
        of_one, of_other, same = np.split(each, [len(classes), 2 * len(classes)], axis=1)
        total = of_one.sum(axis=1)
        return _beyond(same[:, 0] / total, (of_one * of_other).sum(axis=1) / np.square(total))

    return kappa


def fleiss(counts: ArrayLike) -> Statistic:
    """Fleiss' kappa (1971, Psychol Bull 76:378) of any number of readers, in [-1, 1].

    counts: (n, k), the number of readers who assigned image i to category j; every image must have the same number of
    readers, 2 or more. Raises InputError otherwise.
    """
    given = _counted(counts)
    readers = given.sum(axis=1)
    if len(np.unique(readers)) > 1:
        raise InputError(
            "Fleiss' kappa needs the same number of verdicts on each image; "
            f"got {readers.min():.0f} to {readers.max():.0f}"
        )
    number = readers[0]
    agreed = (np.square(given).sum(axis=1) - number) / (number * (number - 1))

    def kappa(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        shares = weights @ given / (number * total[:, None])
        return _beyond(weights @ agreed / total, np.square(shares).sum(axis=1))

    return kappa


def krippendorff(counts: ArrayLike) -> Statistic:
    """Krippendorff's alpha for nominal categories (2011, Computing Krippendorff's Alpha-Reliability, C), at most 1.

    counts: (n, k), the number of readers who assigned image i to category j; the number of readers may vary between
    images but must be 2 or more. Raises InputError otherwise.
    """
    given = _counted(counts)
    readers = given.sum(axis=1)
    apart = (np.square(readers) - np.square(given).sum(axis=1)) / (readers - 1)

    def alpha(weights: Floats) -> Floats:
        each = weights @ given
        total = each.sum(axis=1)
        expected = (np.square(total) - np.square(each).sum(axis=1)) / (total - 1)
        found: Floats = 1 - np.divide(
            weights @ apart, expected, out=np.full(expected.shape, np.nan), where=expected > 0
        )
        return found

    return alpha


def _counted(counts: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(counts, dtype=np.float64)
    if given.ndim != 2 or not len(given) or (given.sum(axis=1) < 2).any():
        raise InputError("agreement needs images with two or more verdicts")
    return given


def _beyond(agreed: Floats, chance: Floats) -> Floats:
    """Agreement beyond chance, as a proportion of the maximum possible beyond chance."""
    room = 1 - chance
    found: Floats = np.divide(agreed - chance, room, out=np.full(room.shape, np.nan), where=room > 1e-12)
    return found
