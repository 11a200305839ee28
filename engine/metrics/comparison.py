"""Comparing two classifiers on the same images: AUCs, other metrics, predictions, and which predictions differ."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, chi2, norm, rankdata

from engine.errors import InputError
from engine.metrics.bootstrap import Interval, resampled
from engine.metrics.classification import METRICS, Floats, Sample
from engine.metrics.multiplicity import holm
from engine.metrics.names import DECIDES
from engine.metrics.selective import aurc

COMPARED = {**METRICS, "aurc": aurc}
"""The metrics in which two classifiers are compared."""


@dataclass(frozen=True)
class AucTest:
    """Two AUCs on the same images and their difference, first minus second."""

    first: float
    second: float
    difference: float
    error: float
    """Standard error of the difference; 0 if both scores rank the images alike."""
    low: float
    high: float
    p: float
    """Two-sided p-value for no difference; NaN if the error is 0 and the areas differ."""


@dataclass(frozen=True)
class VerdictTest:
    """McNemar's test of paired predictions."""

    first_only: int
    """Number of images that only the first classifier gets right."""
    second_only: int
    p_exact: float
    """Two-sided binomial p-value; 1 if neither count is above 0."""
    statistic: float
    """Chi-square with continuity correction, one degree of freedom; NaN if neither count is above 0."""
    p_corrected: float


def delong(labels: ArrayLike, first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> AucTest:
    """DeLong's test of two correlated AUCs (DeLong, DeLong & Clarke-Pearson 1988), by midranks (Sun & Xu 2014).

    labels: (n,), 0 or 1. first, second: (n,), any finite scale, higher is more likely pneumonia. The test assumes
    independent images; if patients have several, prefer the interval of `paired_differences`.
    Raises InputError if lengths differ or a class has fewer than two images.
    """
    samples = [Sample.of(labels, scores, threshold=0.0) for scores in (first, second)]
    positive = samples[0].labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise InputError(f"DeLong's test needs two images of each class; there are {m} pneumonia and {n} normal")
    scores = np.stack([sample.probabilities for sample in samples])
    of_positives, of_negatives = scores[:, positive], scores[:, ~positive]
    together = rankdata(np.hstack([of_positives, of_negatives]), axis=1)
    v10 = (together[:, :m] - rankdata(of_positives, axis=1)) / n
    v01 = 1 - (together[:, m:] - rankdata(of_negatives, axis=1)) / m
    areas = v10.mean(axis=1)
    covariance = np.cov(v10) / m + np.cov(v01) / n
    contrast = np.array([1.0, -1.0])
    difference, error = float(contrast @ areas), float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    reach = float(norm.ppf((1 + level) / 2)) * error
    alike = 1.0 if difference == 0 else float("nan")
    p = float(2 * norm.sf(abs(difference) / error)) if error > 0 else alike
    return AucTest(float(areas[0]), float(areas[1]), difference, error, difference - reach, difference + reach, p)


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> VerdictTest:
    """McNemar's test (1947), exact and with Edwards' continuity correction (1948).

    first_right, second_right: bool (n,), whether each classifier's prediction for the image is correct. Raises
    InputError if their lengths differ.
    """
    one, other = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"predictions must be two lists of one length, not {one.shape} and {other.shape}")
    b, c = int((one & ~other).sum()), int((~one & other).sum())
    if b + c == 0:
        return VerdictTest(0, 0, 1.0, float("nan"), float("nan"))
    statistic = max(abs(b - c) - 1, 0) ** 2 / (b + c)
    return VerdictTest(b, c, float(binomtest(b, b + c).pvalue), statistic, float(chi2.sf(statistic, df=1)))


@dataclass(frozen=True)
class Difference(Interval):
    """A difference with its interval. p: two-sided p-value for no difference, from the same replicates, Holm-adjusted
    for the number of metrics, except for the primary metric DECIDES. NaN if the interval is unknown."""

    p: float = float("nan")

    @property
    def told_apart(self) -> bool:
        """Whether the difference is significant: p below .05 (unadjusted, this means a 95 % interval without 0)."""
        return self.p < 0.05


def paired_differences(
    first: Sample, second: Sample, patients: ArrayLike, *, seed: int, replicates: int = 1000
) -> dict[str, Difference]:
    """Each metric's difference, first minus second, with a 95 % bootstrap interval over patients.

    Both samples hold the same n images in the same order, each with its own probabilities and threshold.
    patients: (n,), each image's patient key. Raises InputError if the samples' labels differ.
    """
    if not np.array_equal(first.labels, second.labels):
        raise InputError("the two samples are not of the same images in the same order")
    found, raw = {}, {}
    for name, metric in COMPARED.items():

        def difference(weights: Floats, metric: object = metric) -> Floats:
            assert callable(metric)
            apart: Floats = metric(first, weights) - metric(second, weights)
            return apart

        drawn = resampled(difference, patients, seed=seed, replicates=replicates)
        found[name], raw[name] = drawn.interval(), drawn.p_value()
    others = [name for name in found if name != DECIDES]
    p = raw | dict(zip(others, holm([raw[name] for name in others]).tolist(), strict=True))
    return {name: Difference(**asdict(interval), p=p[name]) for name, interval in found.items()}


@dataclass(frozen=True)
class Comparison:
    """A comparison of two classifiers on the same images."""

    images: int
    auc: AucTest
    verdicts: VerdictTest
    values: dict[str, tuple[float, float]]
    """Each metric's value for the first and the second."""
    differences: dict[str, Difference]
    changed: NDArray[np.intp]
    """Rows with different predictions; see `changed_sides`."""


def compare(first: Sample, second: Sample, patients: ArrayLike, *, seed: int, replicates: int = 1000) -> Comparison:
    """The full comparison of two classifiers. Raises InputError if the samples are not of the same images, or a class
    has fewer than two images."""
    differences = paired_differences(first, second, patients, seed=seed, replicates=replicates)
    right = [(sample.probabilities >= sample.threshold) == (sample.labels == 1) for sample in (first, second)]
    ones = np.ones((1, len(first.labels)))
    values = {
        name: (float(metric(first, ones)[0]), float(metric(second, ones)[0])) for name, metric in COMPARED.items()
    }
    return Comparison(
        images=len(first.labels),
        auc=delong(first.labels, first.probabilities, second.probabilities),
        verdicts=mcnemar(*right),
        values=values,
        differences=differences,
        changed=changed_sides(first, second),
    )


def changed_sides(first: Sample, second: Sample) -> NDArray[np.intp]:
    """Rows with different predictions, each at its own threshold: int (m,), largest difference of the probabilities
    first, ties in row order.

    first, second: of the same n rows.
    """
    one, other = first.probabilities >= first.threshold, second.probabilities >= second.threshold
    rows = np.flatnonzero(one != other)
    apart = np.abs(first.probabilities - second.probabilities)[rows]
    return rows[np.argsort(-apart, kind="stable")]
