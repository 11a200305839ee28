"""Which kinds of image a classifier fails on: images clustered by their looks, each cluster with its error rate.

The clusters know nothing of the classifier's errors, so that their rates may be trusted; methods that look for errors
(Domino, Eyuboglu et al. 2022) find more, and need a second test set to say how often.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import fisher_exact
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from engine.metrics.multiplicity import holm
from engine.metrics.proportions import wilson

Floats = NDArray[np.float64]

LABELS = {0: "normal", 1: "pneumonia"}
IMAGES, MOST = 30, 6
"""A label is cut into one slice for about so many images, and into so many at most."""
DIMENSIONS = 32
"""Of the principal components that are clustered."""
NOTABLE = 0.5
"""Difference of means, in standard deviations of the label's images, from which on a description tells it; Cohen 1988
calls it medium."""
TOLD = 3
"""Differences that a description tells."""


@dataclass(frozen=True)
class Slice:
    """A slice: its images' rows, all of one label, and how many of them the classifier gets wrong."""

    name: str
    label: int
    rows: NDArray[np.intp]
    patients: int
    failures: int
    rate: float
    low: float
    high: float
    """95 % Wilson interval, with patients in the place of images."""
    p_value: float
    """Fisher's exact test, one-sided, that more of the slice's images fail than of the rest of its label's, of counts
    divided by their design effect, see `_effective`; Holm-corrected."""
    description: str


def find_slices(
    features: NDArray[np.floating],
    labels: ArrayLike,
    failed: ArrayLike,
    patients: ArrayLike,
    *,
    numbers: Mapping[str, ArrayLike],
    names: Mapping[str, ArrayLike],
    seed: int = 0,
) -> list[Slice]:
    """Every image in one slice, those with the highest error rates first.

    features: (n, d), of the images' looks. labels: (n,), 0 or 1. failed: bool (n,). patients: (n,) keys.
    numbers: facts that descriptions compare, (n,) each, NaN where unknown. names: facts that they count, (n,) each, ""
    where unknown.
    """
    truth, wrong, keys = np.asarray(labels), np.asarray(failed, dtype=bool), np.asarray(patients)
    found = []
    for label in np.unique(truth):
        of_label = np.flatnonzero(truth == label)
        for cluster in clusters(features[of_label], seed=seed):
            rows = of_label[cluster]
            people, errors = len(np.unique(keys[rows])), int(wrong[rows].sum())
            rate = errors / len(rows)
            low, high = wilson(rate, people)
            rest = np.setdiff1d(of_label, rows)
            p_value = _p_value(_effective(keys[rows], wrong[rows]), _effective(keys[rest], wrong[rest]))
            said = described(rows, rest, numbers, names)
            found.append(Slice("", int(label), rows, people, errors, rate, low, high, p_value, said))
    return _named(found)


def clusters(features: NDArray[np.floating], *, seed: int) -> list[NDArray[np.intp]]:
    """Rows (n, d) in groups by k-means on their principal components: one for 30 rows, 6 at most."""
    wanted = int(np.clip(len(features) // IMAGES, 1, MOST))
    if wanted == 1:
        return [np.arange(len(features))]
    parts = PCA(min(DIMENSIONS, *features.shape), random_state=seed).fit_transform(features)
    member = KMeans(wanted, n_init=10, random_state=seed).fit_predict(parts)
    return [np.flatnonzero(member == number) for number in np.unique(member)]


def described(
    rows: NDArray[np.intp],
    rest: NDArray[np.intp],
    numbers: Mapping[str, ArrayLike],
    names: Mapping[str, ArrayLike],
) -> str:
    """How the slice's facts differ from the rest of its label: the most frequent names, the largest differences."""
    said = []
    for what, values in names.items():
        known = [name for name in np.asarray(values)[rows].tolist() if name]
        if known:
            top = max(sorted(set(known)), key=known.count)
            said.append(f"{what} {top.replace('_', ' ')} in {known.count(top) / len(rows):.0%} of the films")
    apart = {what: _difference(np.asarray(values, dtype=np.float64), rows, rest) for what, values in numbers.items()}
    notable = sorted((-abs(by), what, by) for what, by in apart.items() if abs(by) >= NOTABLE)
    said += [f"{'higher' if by > 0 else 'lower'} {what} ({by:+.1f} SD)" for _, what, by in notable[:TOLD]]
    return "; ".join(said) or "like the rest of its label"


def _difference(values: Floats, rows: NDArray[np.intp], rest: NDArray[np.intp]) -> float:
    """Means of `rows` less those of `rest`, in standard deviations of both together; 0 where that is not known."""
    ours, theirs = values[rows][np.isfinite(values[rows])], values[rest][np.isfinite(values[rest])]
    if not len(ours) or not len(theirs):
        return 0.0
    spread = np.concatenate([ours, theirs]).std()
    return float((ours.mean() - theirs.mean()) / spread) if spread > 0 else 0.0


def _effective(patients: NDArray[np.str_], wrong: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images fail and how many do not, each divided by the design effect: how many times the variance of the
    failure rate is what it were if images of one patient were independent, 1 at least (Rao & Scott 1992, Biometrics
    48:577). Where all fail or none does that is not known, and patients count instead of images.

    patients: (n,) keys. wrong: bool (n,).
    """
    _, member, films = np.unique(patients, return_inverse=True, return_counts=True)
    images, people = len(wrong), len(films)
    if not images:
        return 0, 0
    rate = wrong.mean()
    effect = images / people
    if 0 < rate < 1 and people > 1:
        apart = np.bincount(member, weights=wrong) - films * rate
        effect = max(1.0, people / (people - 1) * np.square(apart).sum() / (images * rate * (1 - rate)))
    return round(wrong.sum() / effect), round((~wrong).sum() / effect)


def _p_value(ours: tuple[int, int], theirs: tuple[int, int]) -> float:
    return float(fisher_exact([ours, theirs], alternative="greater").pvalue) if any(theirs) else 1.0


def _named(found: list[Slice]) -> list[Slice]:
    """The slices by falling error rate, named by label and letter, their p-values corrected."""
    corrected = holm([one.p_value for one in found])
    ranked = sorted(zip(found, corrected, strict=True), key=lambda pair: (-pair[0].rate, int(pair[0].rows[0])))
    letters = {label: iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for label in LABELS}
    return [
        replace(one, name=f"{LABELS[one.label]} {next(letters[one.label])}", p_value=float(p_value))
        for one, p_value in ranked
    ]
