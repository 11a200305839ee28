"""Where on a radiograph a heatmap's evidence lies: its share in each lung zone and in the outer frame."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SIDES, LEVELS = ("right", "left"), ("upper", "middle", "lower")
ZONES = tuple(f"{side}_{level}" for side in SIDES for level in LEVELS)
"""Sides are the patient's: the left half of a frontal radiograph shows the patient's right."""
LEADING_SHARE = 0.2
"""A zone leads if it holds at least this share of the heat; evenly spread heat gives each zone 1/6."""
MOST_ZONES = 2
PROMINENT, FEWEST = 0.8, 5
FRAME = 0.1
"""Width of the outer frame, as a fraction of the image's side."""
EVEN_IN_FRAME = 1 - (1 - 2 * FRAME) ** 2
"""The share of a uniform heatmap's heat that lies in the outer frame."""


def lung_zones(heatmap: np.ndarray) -> dict[str, float]:
    """The share of a heatmap's heat in each of six lung zones, summing to 1; {} if there is no heat.

    heatmap: float (h, w), non-negative. The zones divide the image into halves and thirds: a frontal radiograph fills
    the frame, and a map of 7 x 7 cells cannot resolve finer anatomy.
    """
    total = float(heatmap.sum())
    if not total > 0:
        return {}
    height, width = heatmap.shape
    rows, columns = _shares(height, 3), _shares(width, 2)  # (thirds, h), (halves, w)
    mass = rows @ heatmap.astype(np.float64) @ columns.T / total  # (3, 2): upper to lower, patient's right then left
    return dict(zip(ZONES, (float(share) for share in mass.T.reshape(-1)), strict=True))


def evidence(shares: NDArray[np.floating], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far each zone's share deviates from 1/6, weighted by the probability of pneumonia.

    shares: float (n, 6). probabilities: float (n,). Returns (n, 6), near 0 where the classifier sees no pneumonia and
    NaN where a share or probability is NaN.
    """
    return np.asarray(probabilities[:, None] * (shares - 1 / len(ZONES)), dtype=np.float64)


def prominent(found: NDArray[np.floating], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """In which zones each image's `evidence` reaches the 80th percentile of the reference images.

    found: evidence (n, 6), NaN where unknown. among: bool (n,), the reference images; other images get no zone, nor do
    those whose evidence has less than half the median norm, and with fewer than FEWEST references no image gets any.
    Returns bool (n, 6). Heat falls on the middle zones of almost every radiograph, so a zone is compared with the same
    zone of other images, not with other zones of the same image.
    """
    strength = np.linalg.norm(found, axis=1)
    known = among & np.isfinite(strength)
    if known.any():
        known &= strength >= np.median(strength[known]) / 2
    if known.sum() < FEWEST:
        return np.zeros(found.shape, dtype=bool)
    return np.asarray((found >= np.quantile(found[known], PROMINENT, axis=0)) & known[:, None])


def leading_zones(shares: Mapping[str, float]) -> list[str]:
    """The zones with at least LEADING_SHARE of the heat, largest share first, at most MOST_ZONES."""
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, share in ranked if share >= LEADING_SHARE][:MOST_ZONES]


def frame_share(heatmap: np.ndarray) -> float:
    """The share of a heatmap's heat that lies in the image's outer frame, in [0, 1]; NaN if there is no heat.

    heatmap: float (h, w), non-negative. The frame is a border 10 % wide on each side (36 % of the area); it holds
    markers, time stamps and film edges, but also parts of the lungs.
    """
    total = float(heatmap.sum())
    if not total > 0:
        return float("nan")
    rows, columns = (_stretch(cells, FRAME, 1 - FRAME) for cells in heatmap.shape)
    inside = rows @ heatmap.astype(np.float64) @ columns
    return float(np.clip(1 - inside / total, 0.0, 1.0))


def _shares(cells: int, parts: int) -> np.ndarray:
    """float (parts, cells): the fraction of each cell that lies in each of `parts` equal segments."""
    return np.stack([_stretch(cells, part / parts, (part + 1) / parts) for part in range(parts)])


def _stretch(cells: int, low: float, high: float) -> np.ndarray:
    """float (cells,): the fraction of each cell between `low` and `high`, which are fractions of the whole length."""
    starts = np.arange(cells)
    return np.asarray(np.clip(np.minimum(high * cells, starts + 1) - np.maximum(low * cells, starts), 0, 1))
