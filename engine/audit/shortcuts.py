"""Shortcuts: properties other than findings that predict pneumonia, such as the outer frame, file size or statistics.

The frame is a border 10 % wide on each side, 36 % of the area, and includes parts of the lungs: what separates the
classes there is a possible shortcut, and may be disease.

A probe is a small model that sees only one such property. If it does better than chance, a classifier could learn from
that property instead of disease (Zech et al. 2018; Geirhos et al. 2020).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.datasets.splits import grouped_folds
from engine.imaging.heat import FRAME
from engine.imaging.images import Pixels

Floats = NDArray[np.float64]

COARSE = 40
"""Side in pixels that images are resized to for `frame_pixels`; the frame is then 4 pixels wide."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
STATISTICS = ("mean", "deviation", *(f"percentile {share}" for share in PERCENTILES))


@dataclass(frozen=True)
class ProbeScores:
    """A probe's scores, higher is more likely pneumonia: out of fold for training images (n,), and for test images
    (m,)."""

    out_of_fold: Floats
    fold: NDArray[np.intp]
    """(n,), the fold in which the image was held out: scores of different folds come from different models and must not
    be pooled, which would put weak probes below chance (Airola et al. 2011)."""
    test: Floats


def frame_mask(side: int) -> NDArray[np.bool_]:
    """Which pixels of a square image lie in its outer frame: bool (side, side)."""
    mask = np.ones((side, side), dtype=bool)
    wide = round(FRAME * side)
    mask[wide : side - wide, wide : side - wide] = False
    return mask


def only_frame(pixels: Pixels) -> Pixels:
    """The images, uint8 (n, s, s), with everything but the frame replaced by the frame's mean grey."""
    return _kept(pixels, frame_mask(pixels.shape[1]))


def without_frame(pixels: Pixels) -> Pixels:
    """The images, uint8 (n, s, s), with the frame replaced by the mean grey of the rest."""
    return _kept(pixels, ~frame_mask(pixels.shape[1]))


def frame_pixels(pixels: Pixels) -> NDArray[np.float32]:
    """The frame's pixels of each image resized to 40 x 40: uint8 (n, s, s) -> float32 (n, 576) in [0, 1]."""
    mask = frame_mask(COARSE)
    size = (COARSE, COARSE)
    made = np.empty((len(pixels), int(mask.sum())), dtype=np.float32)
    for row, picture in enumerate(pixels):
        made[row] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))[mask] / 255
    return made


def statistics(pixels: Pixels) -> NDArray[np.float32]:
    """Mean, standard deviation and percentiles of each image's grey levels: uint8 (n, s, s) -> float32 (n, 9)."""
    flat = pixels.reshape(len(pixels), -1)
    spread = np.percentile(flat, PERCENTILES, axis=1).T if len(flat) else np.empty((0, len(PERCENTILES)))
    return np.column_stack([flat.mean(1), flat.std(1), spread]).astype(np.float32)


def linear(seed: int) -> Any:
    """A probe for many features of one kind: strongly regularised logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000, random_state=seed))


def boosted(seed: int) -> Any:
    """A probe for few features of different kinds: gradient-boosted trees."""
    return HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=8, learning_rate=0.1, random_state=seed)


def probe(
    model: Callable[[int], Any],
    train: NDArray[np.floating],
    labels: ArrayLike,
    patients: ArrayLike,
    test: NDArray[np.floating],
    *,
    folds: int = 5,
    seed: int = 0,
) -> ProbeScores:
    """Scores of training images (n, d) out of fold by patient, and of test images (m, d) by a probe fitted on all
    training images.

    labels: (n,), 0 or 1. Nothing is tuned, so the test split has no influence on the probe.
    Raises InputError if a class has fewer patients than there are folds.
    """
    truth = np.asarray(labels)
    fold_of = grouped_folds(truth, np.asarray(patients), folds=folds, seed=seed)
    scores = np.empty(len(truth))
    for fold in range(folds):
        held_out = fold_of == fold
        scores[held_out] = _scores(model(seed).fit(train[~held_out], truth[~held_out]), train[held_out])
    return ProbeScores(scores, fold_of, _scores(model(seed).fit(train, truth), test))


def _scores(fitted: Any, rows: NDArray[np.floating]) -> Floats:
    return np.asarray(fitted.predict_proba(rows)[:, 1], dtype=np.float64) if len(rows) else np.empty(0)


def _kept(pixels: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The images where `mask` is true, and elsewhere each image's mean grey over the mask."""
    greys = np.rint(pixels[:, mask].mean(1)).astype(np.uint8)
    return np.where(mask, pixels, greys[:, None, None])
