"""Trunk maps of freshly augmented views: nothing is cached, every epoch sees other views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.classification.networks.backbones import Backbone
from engine.classification.networks.fusing import few_at_a_time
from engine.classification.views.kinds import SIZE, VARIATIONS, PixelReader, mirrored
from engine.imaging.images import parallel


@dataclass(frozen=True)
class FreshViews:
    """An alternative to `TrunkCache` without files: the plain way to train, and the baseline that the cache is measured
    against."""

    backbone: Backbone
    read_pixels: PixelReader
    variation: str
    size: int
    hide_corners: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Build the trunks now: building them draws from torch's global generator, which would change a resumed run."""
        _ = self.backbone.quick_trunk, self.backbone.exact_trunk

    def drawn(self, batches: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[torch.Tensor]:
        """Maps of each batch of rows, int (n,), freshly augmented: float32 (n, c, h, w). The next batch is read while
        this one is trained on.

        Augmentation runs in the caller's thread: torch's global generator, which dropout uses too, must be drawn from
        in a fixed order for a resumed training to end in the same weights.
        """
        kind = VARIATIONS[self.variation]
        chosen = [rng.integers(2**56, size=len(rows)) for rows in batches]
        read = parallel(lambda rows: self.read_pixels(rows.tolist(), kind.read), batches, workers=1)
        varied = (kind.vary(pixels, seeds, 0) for pixels, seeds in zip(read, chosen, strict=True))
        return (self._maps(self.backbone.quick_trunk, pixels, torch.bfloat16) for pixels in varied)

    def films(self, rows: np.ndarray, *, mirror: bool = False) -> torch.Tensor:
        """Maps of `rows` (m,) without augmentation, or mirrored, computed in float32 as in inference: (m, c, h, w)."""
        pixels = self.read_pixels(rows.tolist(), SIZE)
        return self._maps(self.backbone.exact_trunk, mirrored(pixels) if mirror else pixels, torch.float32)

    @torch.no_grad()
    def _maps(self, trunk: torch.nn.Module, pixels: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        """The maps of a trunk that computes in `dtype`: uint8 (n, s, s) -> float32 (n, c, h, w)."""
        images = self.backbone.normalise(
            torch.from_numpy(pixels).to(self.device), size=self.size, hide_corners=self.hide_corners
        )
        return few_at_a_time(trunk, images.to(dtype)).float()
