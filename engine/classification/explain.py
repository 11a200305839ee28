"""Where in the image the evidence lies: Grad-CAM and the lung zones it lights."""

import numpy as np
import torch
from torch import Tensor, nn

ZONES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")
"""Patient's sides: the left half of a frontal radiograph shows the patient's right."""


def grad_cam(maps: Tensor, head: nn.Module) -> Tensor:
    """Grad-CAM for pneumonia (Selvaraju et al. 2017, equations 1 and 2).

    maps: float (n, c, h, w), the last convolution's activations. head: pooled features (n, c) -> logits (n, 2).
    Returns float (n, h, w), rectified and not normalised: evidence for pneumonia, in logits per cell.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = maps.detach().clone().requires_grad_()
        scores = head(leaf.mean((2, 3)))
        (gradients,) = torch.autograd.grad((scores[:, 1] - scores[:, 0]).sum(), leaf)
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * maps).sum(1).clamp_min(0.0).detach()


def normalised(heat: np.ndarray) -> np.ndarray:
    """float (n, h, w) scaled so that each image's hottest cell is 1; an image without heat stays 0."""
    peak = heat.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(heat, peak, out=np.zeros_like(heat), where=peak > 0))


def lung_zones(heatmap: np.ndarray) -> dict[str, float]:
    """The share of a heatmap's heat in each of six lung zones, summing to 1; {} where there is no heat.

    heatmap: float (h, w), at least 0. The zones cut the image into halves and thirds: a frontal radiograph fills the
    frame, and a map of 7 x 7 cells resolves no anatomy finer than that.
    """
    total = float(heatmap.sum())
    if not total > 0:
        return {}
    height, width = heatmap.shape
    rows, columns = _shares(height, 3), _shares(width, 2)  # (thirds, h), (halves, w)
    mass = rows @ heatmap.astype(np.float64) @ columns.T / total  # (3, 2): upper to lower, patient's right then left
    return dict(zip(ZONES, (float(share) for share in mass.T.reshape(-1)), strict=True))


def frame_share(heatmap: np.ndarray, *, width: float = 0.1) -> float:
    """The share of a heatmap's heat that lies in the picture's outer frame, in [0, 1]; NaN where there is no heat.

    heatmap: float (h, w), at least 0. width: of the frame, as a share of the picture's side; an even map has
    1 - (1 - 2 width)^2 there, .36 for a width of .1. No lung reaches it, but markers, time stamps and film edges do.
    """
    total = float(heatmap.sum())
    if not total > 0:
        return float("nan")
    height, wide = heatmap.shape
    inside = _stretch(height, width, 1 - width) @ heatmap.astype(np.float64) @ _stretch(wide, width, 1 - width)
    return float(np.clip(1 - inside / total, 0.0, 1.0))


def _shares(cells: int, parts: int) -> np.ndarray:
    """float (parts, cells): how much of each cell lies in each of `parts` equal stretches."""
    return np.stack([_stretch(cells, part / parts, (part + 1) / parts) for part in range(parts)])


def _stretch(cells: int, low: float, high: float) -> np.ndarray:
    """float (cells,): how much of each cell lies between `low` and `high`, shares of the whole length."""
    starts = np.arange(cells)
    return np.asarray(np.clip(np.minimum(high * cells, starts + 1) - np.maximum(low * cells, starts), 0, 1))
