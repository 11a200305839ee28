"""How an image was acquired, apart from what it shows, and how well that alone predicts its label.

If exposure, contrast, sharpness or borders correlate with the label in training, a classifier may rely on them and fail
on images acquired elsewhere. Validation holds out the images whose appearance contradicts their label the most.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.datasets.splits import grouped_folds
from engine.imaging.images import Pixels

Floats = NDArray[np.float64]

BANDS = ((0.02, 0.04), (0.04, 0.08), (0.08, 0.12), (0.12, 0.17), (0.17, 0.23), (0.23, 0.3), (0.3, 0.4), (0.4, 0.5))
"""Spatial frequency bands, in cycles per pixel, whose power describes contrast and sharpness."""
PERCENTILES = (5, 25, 50, 75, 95)
BLACK, WHITE = 0.02, 0.98
BORDER = 0.1
"""Width of the borders whose mean brightness is measured, as a fraction of the side."""
BATCH = 256
CONTRADICTING = 0.2
"""Fraction of each class that `contradicting` selects."""


def statistics(pixels: Pixels) -> Floats:
    """Acquisition statistics of each image: uint8 (n, s, s) -> float (n, 21).

    Log power in eight frequency bands; mean, standard deviation, black and white fractions of the pixels; mean
    brightness of the four borders; five percentiles.
    """
    side = pixels.shape[-1]
    steps = np.fft.fftfreq(side)
    radius = np.hypot(steps[:, None], steps[None, :])
    bands = [(radius >= low) & (radius < high) for low, high in BANDS]
    window = np.hanning(side)[:, None] * np.hanning(side)
    wide = max(1, round(BORDER * side))
    made = []
    for start in range(0, len(pixels), BATCH):
        films = pixels[start : start + BATCH].astype(np.float32) / 255
        power = np.abs(np.fft.fft2((films - films.mean((1, 2), keepdims=True)) * window)) ** 2
        borders = (films[:, :wide], films[:, -wide:], films[:, :, :wide], films[:, :, -wide:])
        columns = [
            *(np.log(power[:, band].mean(1) + 1e-9) for band in bands),
            *(films.mean((1, 2)), films.std((1, 2)), (films < BLACK).mean((1, 2)), (films > WHITE).mean((1, 2))),
            *(border.mean((1, 2)) for border in borders),
            *np.percentile(films.reshape(len(films), -1), PERCENTILES, axis=1),
        ]
        made.append(np.stack(columns, axis=1))
    return np.concatenate(made) if made else np.empty((0, len(BANDS) + 8 + len(PERCENTILES)))


def propensity(described: Floats, labels: ArrayLike, patients: ArrayLike) -> Floats:
    """Probability of pneumonia from acquisition statistics alone, out of fold by patient: float (n,) in [0, 1].

    A logistic regression. described: (n, d), see `statistics`. labels: (n,), 0 or 1. Raises InputError if a class has
    too few patients; see `grouped_folds`.
    """
    truth = np.asarray(labels)
    fold_of = grouped_folds(truth, np.asarray(patients))
    found = np.empty(len(truth))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(described[~held_out], truth[~held_out])
        found[held_out] = model.predict_proba(described[held_out])[:, 1]
    return found


def contradicting(given_away: Floats, labels: ArrayLike) -> NDArray[np.bool_]:
    """The images whose acquisition statistics contradict their label the most: bool (n,), a fifth of each class.

    given_away: (n,), see `propensity`. labels: (n,), 0 or 1.
    """
    truth = np.asarray(labels)
    chosen = np.zeros(len(truth), dtype=bool)
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        wrong = given_away[rows] if label == 0 else 1 - given_away[rows]
        chosen[rows[np.argsort(-wrong, kind="stable")[: max(1, round(CONTRADICTING * len(rows)))]]] = True
    return chosen


def clusters(described: Floats, *, count: int) -> NDArray[np.intp]:
    """Each image's cluster of similar acquisition (k-means on standardised statistics): int (n,), 0 to count - 1."""
    scaled = StandardScaler().fit_transform(described)
    return np.asarray(KMeans(count, n_init=10, random_state=0).fit_predict(scaled))


def with_patients(chosen: NDArray[np.bool_], patients: ArrayLike) -> NDArray[np.bool_]:
    """The chosen images and all other images of the same patients, none of which may be used in training: bool (n,)."""
    keys = np.asarray(patients)
    return np.isin(keys, np.unique(keys[chosen]))
