"""Whether probabilities mean what they say: logistic recalibration, and the calibration error that chance gives."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm

from engine.metrics.bootstrap import Interval
from engine.metrics.classification import METRICS, Floats, Sample

STEPS, NEAR, FAR = 100, 1e-10, 5.0
"""Newton's steps at most, how small the last must be, and how far one may go."""
SURE = 1e-9
"""Probabilities nearer to 0 or 1 than this are taken for it, so that their logits are finite."""


def recalibration(sample: Sample, patients: ArrayLike, *, level: float = 0.95) -> dict[str, Interval]:
    """How the log odds of pneumonia follow the logit of the probability, with intervals that take patients together.

    calibration_intercept: calibration in the large, a in log odds = a + logit (Van Calster et al. 2019). 0 is best;
    above it the probabilities are too low on the whole. calibration_slope: b in log odds = a + b logit (Cox 1958). 1
    is best; below it they are too extreme. Both are maximum likelihood, their intervals normal with the covariance
    clustered by patient (Liang & Zeger 1986). NaN where one class is missing, and the slope also where a probability
    tells the classes apart without an error, as none is steep enough then. patients: (n,) keys.
    """
    odds = logit(np.clip(sample.probabilities, SURE, 1 - SURE))
    ones = np.ones_like(odds)
    _, member = np.unique(np.asarray(patients), return_inverse=True)
    reach = float(norm.ppf((1 + level) / 2))
    found = {}
    for name, columns, offset in (
        ("calibration_intercept", ones[:, None], odds),
        ("calibration_slope", np.column_stack([ones, odds]), np.zeros_like(odds)),
    ):
        value, error = _fitted(columns, sample.labels, offset, member)
        found[name] = Interval(value, value - reach * error, value + reach * error, len(odds))
    return found


def ece_by_chance(sample: Sample, *, seed: int, draws: int = 1000, level: float = 0.95) -> Interval:
    """The calibration error that these probabilities would have were each exactly right: its mean and range over labels
    drawn from them. The error of a sample is never below 0, so that it says little without this beside it."""
    rng = np.random.default_rng(seed)
    ones = np.ones((1, len(sample.labels)))

    def drawn() -> float:
        labels = (rng.random(len(sample.labels)) < sample.probabilities).astype(np.float64)
        return float(METRICS["ece"](Sample(labels, sample.probabilities, sample.threshold), ones)[0])

    found = np.array([drawn() for _ in range(draws)])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(found.mean()), float(low), float(high), len(sample.labels))


def _fitted(columns: Floats, labels: Floats, offset: Floats, member: np.ndarray) -> tuple[float, float]:
    """The last coefficient of a logistic regression, by Newton's method, and its clustered standard error.

    columns: (n, p). offset: (n,), added to their sum. member: int (n,), each row's cluster. NaN where none fits.
    """
    found = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        expected = expit(columns @ found + offset)
        apart = labels - expected
        curvature = columns.T @ (columns * (expected * (1 - expected))[:, None])
        if np.linalg.cond(curvature) > 1 / np.finfo(float).eps:
            break
        step = np.linalg.solve(curvature, columns.T @ apart)
        if np.abs(step).max() < NEAR:
            clusters = int(member.max()) + 1
            if clusters < 2:
                return float(found[-1]), float("nan")
            summed = np.stack([np.bincount(member, weights=column * apart) for column in columns.T])
            inverse = np.linalg.inv(curvature)
            covariance = inverse @ (summed @ summed.T) @ inverse * clusters / (clusters - 1)
            return float(found[-1]), float(np.sqrt(covariance[-1, -1]))
        found = found + step / max(1.0, np.abs(step).max() / FAR)
    return float("nan"), float("nan")
