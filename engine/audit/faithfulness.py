"""Whether a heatmap shows what the classifier looks at: deletion and insertion curves (Petsiuk et al. 2018, RISE)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from engine.overlays import enlarge

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Score = Callable[[Pixels], Floats]
"""Pictures, uint8 (n, s, s) -> probability of pneumonia (n,)."""

STEPS = 20
ORDERS = ("heatmap", "random", "centre")
"""Orders in which pixels go: by heat; by a random map of the heatmap's own resolution, so that the pieces are as large
(single random pixels would destroy any picture at once, and flatter the heatmap); from the centre outwards."""
MODES = ("deletion", "insertion")
BLUR = 0.05
"""Standard deviation of the blur that insertion starts from, as a share of the picture's side."""


def curves(score: Score, pixels: Pixels, heatmaps: NDArray[np.floating], *, rng: np.random.Generator) -> Floats:
    """The probability after each of 20 equal steps: float (n, 3 orders, 2 modes, 21), from 0 to all pixels.

    pixels: uint8 (n, s, s). heatmaps: float (n, a, b) in [0, 1], each with some heat. Deletion replaces the pixels that
    come first in an order with the picture's mean grey: a faithful heatmap makes the probability fall early. Insertion
    puts them into a blurred copy: a faithful heatmap makes it rise early.
    """
    made = np.empty((len(pixels), len(ORDERS), len(MODES), STEPS + 1))
    for row, (picture, heatmap) in enumerate(zip(pixels, heatmaps, strict=True)):
        for number, guide in enumerate((heatmap, rng.random(heatmap.shape), centre(*heatmap.shape))):
            place = places(enlarge(guide, *picture.shape), rng)
            made[row, number] = score(stages(picture, place)).reshape(len(MODES), STEPS + 1)
    return made


def area(curve: Floats) -> Floats:
    """Area under curves (..., 21) over the share of pixels gone or come, by trapezoids; in [0, 1]."""
    return np.asarray(np.trapezoid(curve, dx=1 / STEPS, axis=-1))


def centre(height: int, width: int) -> Floats:
    """A map (height, width) in [0, 1] that is hottest in its middle: what knowing nothing of the picture would say."""
    down, across = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in (height, width))
    return np.asarray(1 - np.hypot(down[:, None], across[None]) / np.sqrt(2))


def places(heat: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """Each pixel's place in the order, hottest first: (h, w), from 0 to below 1; equally hot ones in random order."""
    flat = heat.ravel()
    order = np.lexsort((rng.random(flat.size), -flat))
    place = np.empty(flat.size)
    place[order] = np.arange(flat.size) / flat.size
    return place.reshape(heat.shape)


def stages(picture: Pixels, place: Floats) -> Pixels:
    """The picture (s, s) at 0, 1/20, ... 1 of the pixels deleted, then inserted: uint8 (42, s, s)."""
    reached = place[None] < (np.arange(STEPS + 1) / STEPS)[:, None, None]
    grey = np.uint8(np.rint(picture.mean()))
    blurred = gaussian_filter(picture, BLUR * max(picture.shape))
    return np.concatenate([np.where(reached, grey, picture), np.where(reached, picture, blurred)])
