"""Fitting a linear score on feature-map statistics."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from engine.classification.networks.statistics import Linear
from engine.errors import InputError

DAMAGED = "look for damaged views and delete the folder cache in the artifact folder"


def fit(described: Sequence[np.ndarray], labels: np.ndarray, *, penalty: float) -> Linear:
    """L2-penalised logistic regression on the standardised statistics of all views, with balanced class weights.

    described: float (n, d) for each view. labels: int (n,), 0 or 1. penalty: the inverse of scikit-learn's C for one
    view; with more views C is divided by their number. Raises InputError if a class is missing, or if the statistics or
    the weights are not finite.
    """
    if len(np.unique(labels)) < 2:
        raise InputError("the training images of a fold are all of one class; both normal and pneumonia are needed")
    rows = np.concatenate([np.asarray(view, dtype=np.float32) for view in described])
    if not np.isfinite(rows).all():
        raise InputError(f"the statistics of the training images are not finite; {DAMAGED}")
    scaler = StandardScaler(copy=False).fit(rows)
    model = LogisticRegression(C=1 / (penalty * len(described)), class_weight="balanced", max_iter=200)
    model.fit(scaler.transform(rows, copy=False), np.tile(labels, len(described)))
    weights = (model.coef_[0] / scaler.scale_).astype(np.float32)
    bias = float(model.intercept_[0] - weights @ scaler.mean_)
    if not np.isfinite(weights).all() or not np.isfinite(bias):
        raise InputError(f"the fit gave weights that are not finite; {DAMAGED}")
    return Linear(weights, bias)


def average(models: Sequence[Linear]) -> Linear:
    """The mean of linear scores, which is itself a linear score."""
    return Linear(np.mean([m.weights for m in models], axis=0), float(np.mean([m.bias for m in models])))
