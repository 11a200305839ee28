"""Statistics of a frozen backbone's feature maps at several depths, mean and standard deviation of every channel, and
a linear score on them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engine.classification.networks.backbones import Backbone
from engine.classification.networks.fusing import few_at_a_time, quick


class Statistics:
    """A frozen backbone that describes radiographs by the maps at its taps; stages after the last tap are not run.

    Shallow maps capture texture, deep ones shape; a linear classifier on both is more robust to other equipment and
    framing than one on the last maps alone (docs/decisions/0009).
    """

    def __init__(self, backbone: Backbone) -> None:
        self.spec = backbone.spec
        self.normalise = backbone.normalise
        stages = [*backbone.trunk, *backbone.tail]
        starts = [0, *(tap + 1 for tap in self.spec.taps[:-1])]
        self.parts = nn.ModuleList(
            quick(nn.Sequential(*stages[start : tap + 1])) for start, tap in zip(starts, self.spec.taps, strict=True)
        )

    def maps(self, pixels: np.ndarray, *, device: str = "cpu") -> list[Tensor]:
        """uint8 (n, s, s) -> the maps at each tap, float32 (n, c, h, w)."""
        return self._taps(self._images(pixels, device))

    def describe(self, pixels: np.ndarray, *, device: str = "cpu") -> np.ndarray:
        """uint8 (n, s, s) -> float16 (n, d): mean and standard deviation of each channel at each tap."""
        described = few_at_a_time(lambda images: describe(self._taps(images)), self._images(pixels, device))
        kept: np.ndarray = described.to("cpu", torch.float16).numpy()
        return kept

    def _images(self, pixels: np.ndarray, device: str) -> Tensor:
        return self.normalise(torch.from_numpy(np.ascontiguousarray(pixels)).to(device)).bfloat16()

    @torch.inference_mode()
    def _taps(self, flowing: Tensor) -> list[Tensor]:
        kept = []
        for part in self.parts:
            flowing = part(flowing)
            kept.append(flowing.float())  # a copy: the next part's activations work in place
        return kept


def describe(maps: list[Tensor]) -> Tensor:
    """Maps at each tap, (n, c, h, w) -> (n, d): for each tap the means, then the population standard deviations."""
    flat = [tap.flatten(2) for tap in maps]
    return torch.cat([part for tap in flat for part in (tap.mean(2), tap.std(2, correction=0))], dim=1)


def contributions(maps: list[Tensor], weights: Tensor, centre: Tensor) -> Tensor:
    """Each cell's contribution to a linear score: float (n, h, w), summing to (description - centre) @ weights.

    maps: one (n, c, h, w) per tap, finest first; the side of each later one divides that of the first. weights,
    centre: (d,). The class activation map (Zhou et al. 2016, equation 2) for means, extended to standard deviations: a
    cell contributes value / cells to a mean and squared deviation / (cells x standard deviation) to a standard
    deviation. The centre's part is spread evenly. Exact, whereas Grad-CAM is a first-order approximation.
    """
    side = maps[0].shape[-1]
    total = torch.zeros(len(maps[0]), side, side, dtype=maps[0].dtype, device=maps[0].device)
    start = 0
    for tap in maps:
        channels, cells = tap.shape[1], tap.shape[2] * tap.shape[3]
        of_mean, of_spread = weights[start : start + channels], weights[start + channels : start + 2 * channels]
        start += 2 * channels
        deviation = tap - tap.mean((2, 3), keepdim=True)
        spread = tap.flatten(2).std(2, correction=0).clamp_min(1e-6)[:, :, None, None]
        shares = torch.einsum("nchw,c->nhw", tap, of_mean) + torch.einsum(
            "nchw,c->nhw", deviation.square() / spread, of_spread
        )
        times = side // tap.shape[-1]
        total += (shares / cells).repeat_interleave(times, 1).repeat_interleave(times, 2) / times**2
    return total - (weights @ centre) / side**2


@dataclass(frozen=True)
class Linear:
    """A linear score: statistics @ weights + bias, a logit of pneumonia against normal."""

    weights: np.ndarray
    """float32 (d,)."""
    bias: float

    def __call__(self, described: np.ndarray) -> np.ndarray:
        """Statistics float (n, d) -> logits float32 (n,)."""
        scored: np.ndarray = described.astype(np.float32) @ self.weights + np.float32(self.bias)
        return scored
