"""Calibrated probabilities from logits: temperature scaling."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from engine.errors import InputError
from engine.metrics.classification import HALF


def probabilities(logits: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """float (n,) in [0, 1]: the logistic function of logits / temperature."""
    return np.asarray(expit(np.asarray(logits, dtype=np.float64) / temperature))


def threshold_at(operating_point: str, calibration: Mapping[str, Any]) -> float:
    """The threshold of a `recipes.OperatingPoint`: one half, or the one that the calibration stores under its name."""
    return HALF if operating_point == "half" else float(calibration[f"threshold_{operating_point}"])


def even_odds(labels: np.ndarray, logits: np.ndarray) -> float:
    """The logit at which a logistic regression of the labels on the logits (Platt 1999) gives both classes even odds.

    labels: int (n,), 0 or 1, as many of either. logits: float (n,). Close to the logit with the highest mean of recall
    and specificity, but less dependent on single images. Raises InputError if higher logits do not mean label 1.
    """
    from sklearn.linear_model import LogisticRegression  # late: pages need the other functions only

    fitted = LogisticRegression(C=1e6).fit(np.asarray(logits, dtype=np.float64)[:, None], labels)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise InputError("the classifier ranks these images no better than chance, so no threshold separates them")
    return -intercept / slope


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature, in [0.05, 20], with the lowest negative log-likelihood (Guo et al. 2017, section 4.2).

    labels: int (n,), 0 or 1. logits: float (n,), out of fold or of other images that were not used in training.
    """
    signs = 2.0 * np.asarray(labels) - 1.0
    margins = signs * np.asarray(logits, dtype=np.float64)

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -margins / np.exp(log_temperature)).mean())

    found = minimize_scalar(negative_log_likelihood, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))
