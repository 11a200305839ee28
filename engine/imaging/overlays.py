"""Rendering heatmaps: heat as colours, blended over the greyscale radiograph or as a transparent layer."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import InputError

STOPS = ("000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4")
"""Ten equidistant colours of the Inferno map (van der Walt and Smith 2015, CC0), whose lightness rises evenly."""


def _table() -> NDArray[np.uint8]:
    stops = np.array([list(bytes.fromhex(stop)) for stop in STOPS], dtype=float)
    at = np.linspace(0, len(stops) - 1, 256)
    columns = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)


COLOURS = _table()
"""uint8 (256, 3): the RGB colour of each heat level, coldest first."""


def colourise(heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """RGB colours, uint8 (..., 3), of heat values in [0, 1]; values outside are clipped."""
    colours: NDArray[np.uint8] = COLOURS[np.rint(np.clip(heat, 0.0, 1.0) * 255).astype(np.uint8)]
    return colours


def enlarge(heatmap: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """`heatmap` (a, b) in [0, 1] resampled (bicubic) to float32 (height, width), clipped to [0, 1].

    Raises InputError if the heatmap is not two-dimensional, is empty or contains values that are not finite.
    """
    if heatmap.ndim != 2 or heatmap.size == 0 or not np.isfinite(heatmap).all():
        raise InputError(
            f"heatmap of shape {heatmap.shape} cannot be drawn: expected finite values (a, b); run predict again"
        )
    grey = Image.fromarray(np.clip(heatmap, 0.0, 1.0).astype(np.float32))
    resized = np.asarray(grey.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.clip(resized, 0.0, 1.0)  # bicubic overshoots beside steep edges


def overlay(pixels: NDArray[np.uint8], heatmap: NDArray[np.floating], *, opacity: float = 0.4) -> NDArray[np.uint8]:
    """The radiograph with its heatmap blended over it: RGB, uint8 (h, w, 3).

    pixels: uint8 (h, w), greyscale. heatmap: float (a, b) in [0, 1], of any resolution. opacity: in [0, 1], the weight
    of the colour where the heat is 1; the weight is proportional to the heat, so cold regions show the radiograph
    unchanged. The heat is not rescaled: a faint heatmap looks faint. Raises InputError for other shapes, types or
    ranges.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise InputError(
            f"radiograph of shape {pixels.shape} and type {pixels.dtype} cannot be overlaid: "
            "expected grey uint8 (h, w); decode it with engine.imaging.images"
        )
    if not 0.0 <= opacity <= 1.0:
        raise InputError(f"opacity {opacity} is out of range: expected a value from 0 to 1")
    heat = enlarge(heatmap, *pixels.shape)
    weight = (opacity * heat)[..., None]
    mixed = (1.0 - weight) * pixels[..., None].astype(np.float32) + weight * colourise(heat)
    return mixed.round().astype(np.uint8)


def layer(heatmap: NDArray[np.floating], height: int, width: int) -> NDArray[np.uint8]:
    """The heatmap as a separate image: RGBA, uint8 (height, width, 4), with alpha proportional to the heat.

    heatmap: float (a, b) in [0, 1]. Composited over a radiograph at some opacity ("over", Porter and Duff 1984), it
    gives what `overlay` draws at that opacity, up to rounding. Raises InputError as `enlarge` does.
    """
    heat = enlarge(heatmap, height, width)
    return np.dstack([colourise(heat), np.rint(heat * 255).astype(np.uint8)])
