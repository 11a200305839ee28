"""Windowing pixel values of any bit depth to 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)

Values = NDArray[Any]


def percentile_window(values: Values, *, known: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """(low, high): the 0.5th and 99.5th percentile of the finite values; (0, 1) if there are none.

    known: bool, the same shape; values where it is False are left out.
    """
    usable = np.isfinite(values) if known is None else known & np.isfinite(values)
    if not usable.any():
        return 0.0, 1.0
    low, high = np.percentile(values[usable], PERCENTILES)
    return float(low), float(high)


def to_eight_bits(values: Values, low: float, high: float) -> NDArray[np.uint8]:
    """Values as uint8 of the same shape: `low` and below become 0, `high` and above 255, NaN becomes 0."""
    unit: NDArray[np.float32] = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-6))
    eight: NDArray[np.uint8] = np.rint(np.nan_to_num(unit, nan=0.0).clip(0, 1) * 255).astype(np.uint8)
    return eight


def voi_window(values: Values, *, center: float, width: float, function: str = "LINEAR") -> NDArray[np.float32]:
    """Values after a DICOM display window, float32 in [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    width: at least 1 for LINEAR, above 0 for LINEAR_EXACT and SIGMOID. Raises ValueError otherwise.
    """
    if width < 1 and (function == "LINEAR" or width <= 0):
        raise ValueError(f"window width {width} is too small for {function}")
    shifted: NDArray[np.float32] = values.astype(np.float32) - np.float32(center)
    if function == "SIGMOID":
        unit = 1 / (1 + np.exp(np.clip(-4 * shifted / width, -60, 60)))
    elif function == "LINEAR_EXACT":
        unit = shifted / width + 0.5
    else:
        unit = (shifted + 0.5) / max(width - 1, 1e-6) + 0.5
    clipped: NDArray[np.float32] = unit.clip(0, 1).astype(np.float32)
    return clipped
