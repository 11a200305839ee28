"""Faithfulness of heatmaps: deletion and insertion curves (Petsiuk et al. 2018, RISE)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from engine.imaging.images import Pixels
from engine.imaging.overlays import enlarge

Floats = NDArray[np.float64]
Score = Callable[[Pixels], Floats]
"""Images, uint8 (n, s, s) -> probability of pneumonia (n,)."""

STEPS = 20
ORDERS = ("heatmap", "random", "centre")
"""Orders in which pixels are deleted or inserted: by heat; by a random map of the heatmap's resolution (deleting single
random pixels would destroy any image at once, which would favour the heatmap); from the centre outwards."""
MODES = ("deletion", "insertion")
BLUR = 0.05
"""Standard deviation of the blur that insertion starts from, as a fraction of the image's side."""


def curves(score: Score, pixels: Pixels, heatmaps: NDArray[np.floating], *, rng: np.random.Generator) -> Floats:
    """The probability after each of 20 equal steps: float (n, 3 orders, 2 modes, 21), from no pixels to all.

    pixels: uint8 (n, s, s). heatmaps: float (n, a, b) in [0, 1], each with some heat. Deletion replaces the first
    pixels of an order by the image's mean grey: with a faithful heatmap the probability falls early. Insertion copies
    them into a blurred copy of the image: with a faithful heatmap the probability rises early.
    """
    made = np.empty((len(pixels), len(ORDERS), len(MODES), STEPS + 1))
    for row, (picture, heatmap) in enumerate(zip(pixels, heatmaps, strict=True)):
        for number, guide in enumerate((heatmap, rng.random(heatmap.shape), centre(*heatmap.shape))):
            place = places(enlarge(guide, *picture.shape), rng)
            made[row, number] = score(stages(picture, place)).reshape(len(MODES), STEPS + 1)
    return made


def area(curve: Floats) -> Floats:
    """Area under curves (..., 21) over the fraction of pixels deleted or inserted, by the trapezoidal rule; in [0,
    1]."""
    return np.asarray(np.trapezoid(curve, dx=1 / STEPS, axis=-1))


def centre(height: int, width: int) -> Floats:
    """A map (height, width) in [0, 1] that peaks at its centre: a baseline independent of the image."""
    down, across = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in (height, width))
    return np.asarray(1 - np.hypot(down[:, None], across[None]) / np.sqrt(2))


def places(heat: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """Each pixel's rank, hottest first, as a fraction: (h, w) in [0, 1); ties in random order."""
    flat = heat.ravel()
    order = np.lexsort((rng.random(flat.size), -flat))
    place = np.empty(flat.size)
    place[order] = np.arange(flat.size) / flat.size
    return place.reshape(heat.shape)


def stages(picture: Pixels, place: Floats) -> Pixels:
    """The image (s, s) with 0, 1/20, ... 1 of its pixels deleted, then inserted: uint8 (42, s, s)."""
    reached = place[None] < (np.arange(STEPS + 1) / STEPS)[:, None, None]
    grey = np.uint8(np.rint(picture.mean()))
    blurred = gaussian_filter(picture, BLUR * max(picture.shape))
    return np.concatenate([np.where(reached, grey, picture), np.where(reached, picture, blurred)])
