"""Slices that a classifier fails on: images clustered by appearance, each cluster with its error rate.

Clustering does not use the classifier's errors, so the error rates are not biased by selection; methods that search for
errors (Domino, Eyuboglu et al. 2022) find more, but need a second test set to estimate error rates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import fisher_exact
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from engine.labels import CLASSES
from engine.metrics.multiplicity import holm
from engine.metrics.proportions import wilson

Floats = NDArray[np.float64]

IMAGES, MOST = 30, 6
"""Number of images per slice, and maximum number of slices per label."""
DIMENSIONS = 32
"""Maximum number of principal components used for clustering."""
NOTABLE = 0.5
"""Minimum difference of means, in standard deviations of the label's images, for a description to mention it; a medium
effect by Cohen 1988."""
MOST_DIFFERENCES = 3
"""Maximum number of differences in a description."""


@dataclass(frozen=True)
class Slice:
    """A cluster of images of one label. rows: of its images. patients, failures: numbers of patients, and of images the
    classifier gets wrong. rate: error rate."""

    name: str
    label: int
    rows: NDArray[np.intp]
    patients: int
    failures: int
    rate: float
    low: float
    high: float
    """low, high: 95 % Wilson interval of the error rate, with patients as trials."""
    p_value: float
    """One-sided Fisher's exact test that the error rate is higher than in the rest of the label, on counts divided by
    their design effect, see `_effective`; Holm-adjusted."""
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
    """All slices, highest error rate first; every image is in exactly one.

    features: (n, d), of the images' appearance. labels: (n,), 0 or 1. failed: bool (n,). patients: (n,) keys. numbers:
    numeric facts for descriptions, (n,) each, NaN if unknown. names: categorical facts for descriptions, (n,) each, ""
    if unknown.
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
            description = described(rows, rest, numbers, names)
            found.append(Slice("", int(label), rows, people, errors, rate, low, high, p_value, description))
    return _named(found)


def clusters(features: NDArray[np.floating], *, seed: int) -> list[NDArray[np.intp]]:
    """Clusters of the rows of features (n, d), by k-means on their principal components: one per 30 rows, at most 6."""
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
    """A description of a slice: its most frequent names, and its largest differences from the rest of its label."""
    parts = []
    for what, values in names.items():
        known = [name for name in np.asarray(values)[rows].tolist() if name]
        if known:
            top = max(sorted(set(known)), key=known.count)
            parts.append(f"{what} {top.replace('_', ' ')} in {known.count(top) / len(rows):.0%} of the images")
    apart = {what: _difference(np.asarray(values, dtype=np.float64), rows, rest) for what, values in numbers.items()}
    notable = sorted((-abs(by), what, by) for what, by in apart.items() if abs(by) >= NOTABLE)
    parts += [f"{'higher' if by > 0 else 'lower'} {what} ({by:+.1f} SD)" for _, what, by in notable[:MOST_DIFFERENCES]]
    return "; ".join(parts) or "like the rest of its label"


def _difference(values: Floats, rows: NDArray[np.intp], rest: NDArray[np.intp]) -> float:
    """The mean over `rows` minus that over `rest`, in standard deviations of both together; 0 if unknown."""
    ours, theirs = values[rows][np.isfinite(values[rows])], values[rest][np.isfinite(values[rest])]
    if not len(ours) or not len(theirs):
        return 0.0
    spread = np.concatenate([ours, theirs]).std()
    return float((ours.mean() - theirs.mean()) / spread) if spread > 0 else 0.0


def _effective(patients: NDArray[np.str_], wrong: NDArray[np.bool_]) -> tuple[int, int]:
    """(failures, successes), each divided by the design effect and rounded (Rao & Scott 1992, Biometrics 48:577).

    The design effect is the variance of the failure rate relative to that of independent images, at least 1. If all
    images fail or none does it cannot be estimated, and patients are counted instead of images.
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
    """The slices by descending error rate, named by label and letter, with Holm-adjusted p-values."""
    corrected = holm([one.p_value for one in found])
    ranked = sorted(zip(found, corrected, strict=True), key=lambda pair: (-pair[0].rate, int(pair[0].rows[0])))
    letters = {label: iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for label in CLASSES}
    return [
        replace(one, name=f"{CLASSES[one.label]} {next(letters[one.label])}", p_value=float(p_value))
        for one, p_value in ranked
    ]
