"""Calibration of probabilities: logistic recalibration, and the calibration error expected by chance."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm

from engine.metrics.bootstrap import Interval
from engine.metrics.classification import METRICS, Floats, Sample

STEPS, NEAR, FAR = 100, 1e-10, 2.0
"""Newton's method: maximum number of steps, size of the last step, and largest step, above which it may swing
around the estimate."""


def recalibration(sample: Sample, patients: ArrayLike, *, level: float = 0.95) -> dict[str, Interval]:
    """Logistic recalibration of the probabilities, with intervals clustered by patient.

    calibration_intercept: calibration in the large, a in log odds = a + logit (Van Calster et al. 2019); ideally 0, and
    above 0 if probabilities are too low on the whole. calibration_slope: b in log odds = a + b logit (Cox 1958);
    ideally 1, and below 1 if they are too extreme. Both are maximum likelihood estimates with normal intervals from the
    covariance clustered by patient (Liang & Zeger 1986). NaN if a class is missing; the slope also if the probability
    separates the classes perfectly, because the estimate is then infinite. Both are NaN if a probability is exactly 0
    or 1, as imported ones may be after rounding: its log odds are infinite, and any value that replaced them would
    decide the slope. patients: (n,) keys.
    """
    if (sample.probabilities <= 0).any() or (sample.probabilities >= 1).any():
        unknown = Interval(np.nan, np.nan, np.nan, len(sample.labels))
        return {"calibration_intercept": unknown, "calibration_slope": unknown}
    odds = logit(sample.probabilities)
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
    """The ECE that these probabilities would have if they were perfectly calibrated: mean and percentile interval over
    labels drawn from them. A sample's ECE is never negative, so this is the baseline to compare it with."""
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

    columns: (n, p). offset: (n,), added to the linear predictor. member: int (n,), each row's cluster. Both are NaN
    without convergence.
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
