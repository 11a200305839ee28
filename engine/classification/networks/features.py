"""Pooled features of a frozen pretrained backbone."""

import numpy as np
import torch

from engine.classification.networks.backbones import Backbone
from engine.classification.networks.fusing import cast, few_at_a_time


@torch.inference_mode()
def frozen_features(
    backbone: Backbone, pixels: np.ndarray, *, batch_size: int = 64, autocast: torch.dtype | None = None
) -> np.ndarray:
    """Pooled features of a pretrained backbone: uint8 (n, s, s) -> float32 (n, feature_dim).

    autocast: type of the convolutions, None for float32; bfloat16 changes the order of close neighbours.
    """
    made = []
    device = next(backbone.parameters()).device
    for start in range(0, len(pixels), batch_size):
        images = backbone.normalise(torch.from_numpy(pixels[start : start + batch_size]).to(device))
        with cast(images, autocast):
            maps = few_at_a_time(backbone.exact, images)
        made.append(maps.float().mean((2, 3)).cpu().numpy())
    return np.concatenate(made) if made else np.empty((0, backbone.spec.feature_dim), np.float32)
