"""Grad-CAM: where in the image the evidence for pneumonia lies."""

import numpy as np
import torch
from torch import Tensor, nn


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
    """float (n, h, w), at least 0, scaled so that each image's maximum is 1; an image without heat stays 0."""
    peak = heat.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(heat, peak, out=np.zeros_like(heat), where=peak > 0))
