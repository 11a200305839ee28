"""What a trunk cache stores of a view: the frozen trunk's maps, or statistics of the backbone's maps."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from engine.classification.networks.backbones import Backbone
from engine.classification.networks.fusing import few_at_a_time
from engine.classification.networks.statistics import Statistics
from engine.classification.views.kinds import SIZE


class Description(Protocol):
    """Turns the pixels of a view into the arrays that are stored."""

    def key(self) -> Mapping[str, object]:
        """Its part of the cache's key: everything but the pixels that determines the arrays."""

    def __call__(self, pixels: np.ndarray, *, exact: bool) -> np.ndarray:
        """uint8 (n, s, s) -> float16 (n, ...). exact: for a view that is also scored, not only trained on."""


@dataclass(frozen=True)
class TrunkMaps:
    """The trunk's maps: uint8 (n, s, s) -> float16 (n, c, h, w), computed in float32 if exact, otherwise in bfloat16.

    size: side of the network's input. device: where the backbone is.
    """

    backbone: Backbone
    size: int = SIZE
    hide_corners: bool = False
    device: str = "cpu"

    def key(self) -> Mapping[str, object]:
        """See Description."""
        return _key(self.backbone, self.backbone.trunk, "maps", size=self.size, hide_corners=self.hide_corners)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray, *, exact: bool) -> np.ndarray:
        """See Description."""
        given = torch.from_numpy(pixels).to(self.device)
        images = self.backbone.normalise(given, size=self.size, hide_corners=self.hide_corners)
        if exact:
            maps = few_at_a_time(self.backbone.exact_trunk, images)
        else:
            maps = few_at_a_time(self.backbone.quick_trunk, images.bfloat16())
        kept: np.ndarray = maps.to("cpu", torch.float16).numpy()
        return kept


class MapStatistics:
    """Statistics of the maps at the backbone's taps: uint8 (n, s, s) -> float16 (n, d), always in bfloat16.

    device: where they are computed.
    """

    def __init__(self, backbone: Backbone, *, device: str = "cpu") -> None:
        self.backbone, self.device = backbone, device
        self.statistics = Statistics(backbone)
        self.statistics.parts.to(device)

    def key(self) -> Mapping[str, object]:
        """See Description."""
        return _key(self.backbone, self.backbone, f"statistics of {self.backbone.spec.taps}")

    def __call__(self, pixels: np.ndarray, *, exact: bool) -> np.ndarray:
        """See Description."""
        return self.statistics.describe(pixels, device=self.device)


def _key(
    backbone: Backbone, network: nn.Module, kept: str, *, size: int = SIZE, hide_corners: bool = False
) -> dict[str, object]:
    return {
        "weights": weights_sha256(network),
        "backbone": backbone.spec.name,
        "cut": backbone.cut,
        "size": size,
        "hide_corners": hide_corners,
        "kept": kept,
    }


def weights_sha256(network: nn.Module) -> str:
    """sha256 of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
