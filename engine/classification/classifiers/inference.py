"""What a trained classifier answers for images, whatever its kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.classification.calibration import probabilities
from engine.classification.classifiers.explain import normalised
from engine.errors import InputError


@dataclass(frozen=True)
class Inference:
    """A classifier's output for n images."""

    logits: np.ndarray
    """float64 (n,), of pneumonia against normal, before temperature scaling."""
    probabilities: np.ndarray
    """float64 (n,) in [0, 1], calibrated."""
    features: np.ndarray
    """float32 (n, feature_dim): pooled last maps, averaged over each backbone's members; backbones concatenated."""
    heatmaps: np.ndarray | None
    """float32 (n, h, w) in [0, 1], Grad-CAM scaled to each image's peak."""


class Scorer(Protocol):
    """What `scored` needs to know of a classifier."""

    input_size: int
    temperature: float

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""


def scored(
    classifier: Scorer,
    pixels: np.ndarray,
    score: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    batch_size: int,
) -> Inference:
    """Score radiographs in batches and calibrate. pixels: uint8 (n, s, s), s = input_size.

    score: a batch's logits float64 (n,), features float32 (n, feature_dim) and unscaled heat float (n, h, w), with h =
    w = 0 unless heatmaps are wanted. Raises InputError if the pixels have another shape or type.
    """
    size = classifier.input_size
    if pixels.ndim != 3 or pixels.shape[1:] != (size, size) or pixels.dtype != np.uint8:
        raise InputError(f"the classifier takes uint8 (n, {size}, {size}); got {pixels.dtype} {pixels.shape}")
    parts = [score(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
    if not parts:
        return Inference(np.empty(0), np.empty(0), np.empty((0, classifier.feature_dim), np.float32), None)
    logits, features, heat = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Inference(
        logits=logits,
        probabilities=probabilities(logits, temperature=classifier.temperature),
        features=features,
        heatmaps=normalised(heat) if heat.size else None,
    )
