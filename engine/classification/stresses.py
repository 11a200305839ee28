"""Stress tests: alterations expected in images from another hospital, each deterministic and of fixed strength."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

Alteration = Callable[[Tensor], Tensor]
"""uint8 (n, 1, s, s) -> uint8 (n, 1, s, s)."""


@dataclass(frozen=True)
class Stress:
    """An alteration, and in words what it does."""

    what: str
    alter: Alteration


def _moved(*, angle: float = 0.0, scale: float = 1.0, shift: float = 0.0) -> Alteration:
    def move(films: Tensor) -> Tensor:
        by = [round(shift * films.shape[-1]), round(shift * films.shape[-1])]
        moved: Tensor = V.affine(films, angle, by, scale, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
        return moved

    return move


def _squeezed(films: Tensor) -> Tensor:
    """The image at 0.8 of its width between black bars, as when another shape is resized to a square."""
    side = films.shape[-1]
    narrow = V.resize(films, [side, round(0.8 * side)], antialias=True)
    free = side - narrow.shape[-1]
    return F.pad(narrow, (free // 2, free - free // 2))


def _coarse(films: Tensor) -> Tensor:
    """Downsampled to half the size and back."""
    side = films.shape[-1]
    coarse: Tensor = V.resize(V.resize(films, [side // 2] * 2, antialias=True), [side] * 2, antialias=True)
    return coarse


def _noisy(films: Tensor) -> Tensor:
    grain = torch.randn(films.shape[1:], generator=torch.Generator().manual_seed(0)) * 0.03 * 255
    return (films.float() + grain).clamp(0, 255).byte()


def _framed(films: Tensor) -> Tensor:
    """A border 5 % wide on each side, 19 % of the area, painted black."""
    wide = max(1, films.shape[-1] // 20)
    framed = torch.zeros_like(films)
    framed[..., wide:-wide, wide:-wide] = films[..., wide:-wide, wide:-wide]
    return framed


STRESSES = {
    "blurred": Stress("Gaussian blur, 1.5 pixels", lambda films: V.gaussian_blur(films, [9, 9], [1.5, 1.5])),
    "sharpened": Stress("edges enhanced threefold", lambda films: V.adjust_sharpness(films, 3.0)),
    "coarse": Stress("half the resolution", _coarse),
    "noisy": Stress("Gaussian noise, 3 % of the grey scale", _noisy),
    "low-contrast": Stress("contrast times 0.65", lambda films: V.adjust_contrast(films, 0.65)),
    "high-contrast": Stress("contrast times 1.4", lambda films: V.adjust_contrast(films, 1.4)),
    "darker": Stress("gamma 1.5", lambda films: V.adjust_gamma(films, 1.5)),
    "lighter": Stress("gamma 0.67", lambda films: V.adjust_gamma(films, 0.67)),
    "turned": Stress("rotated by 10 degrees", _moved(angle=10.0)),
    "smaller": Stress("scaled to 85 %, black around it", _moved(scale=0.85)),
    "larger": Stress("scaled to 120 %, cut off at the edges", _moved(scale=1.2)),
    "shifted": Stress("moved down and right by 8 %", _moved(shift=0.08)),
    "squeezed": Stress("80 % of the width, black at both sides", _squeezed),
    "framed": Stress("a border 5 % wide on each side (19 % of the area) painted black", _framed),
}
"""Stress by name. To add one: one line here."""


def stressed(pixels: np.ndarray, name: str) -> np.ndarray:
    """The images under the named stress: uint8 (n, s, s) -> uint8 (n, s, s)."""
    made: np.ndarray = STRESSES[name].alter(torch.from_numpy(pixels).unsqueeze(1)).squeeze(1).numpy()
    return made
