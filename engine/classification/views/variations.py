"""Augmentations in position, size, exposure, sharpness and noise, and style transfer between images."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BATCH = 64


@dataclass(frozen=True)
class Variation:
    """The ranges of an augmentation. Draws are uniform; zoom, aspect and gamma are uniform on the log scale."""

    degrees: float
    """Largest rotation, in degrees."""
    zoom: tuple[float, float]
    """Magnification of the content."""
    aspect: float
    """Largest absolute log of the aspect ratio: resizing to a square distorts an image by its original shape."""
    shift: float
    """Largest shift, as a fraction of half the side."""
    corner: float
    """Probability that a corner is painted over: side markers and time stamps reveal where an image was acquired."""
    sharpen: float
    """Strongest unsharp mask, applied to half of the images; 0 for none."""
    blur: tuple[float, float]
    """Standard deviation of the Gaussian blur, in pixels."""
    blurred: float
    """Fraction of images that are blurred."""
    gamma: float
    """Largest absolute log of the exponent."""
    contrast: tuple[float, float]
    """Contrast factor."""
    brightness: float
    """Largest change of brightness, as a fraction of the image's mean."""
    noise: float
    """Largest standard deviation of added noise, as a fraction of the full range."""


MILD = Variation(10, (0.78, 1.3), 0.2, 0.12, 0.35, 0.0, (0.0, 1.2), 0.4, 0.5, (0.65, 1.35), 0.3, 0.0)
STRONG = Variation(12, (0.75, 1.35), 0.22, 0.14, 0.35, 2.5, (0.3, 2.2), 0.6, 0.6, (0.6, 1.45), 0.36, 0.03)
"""Beyond the sharpness and noise of real images: if two kinds of equipment were used, sharpness alone can separate the
classes of a training set."""


def varied_view(pixels: np.ndarray, *, seeds: np.ndarray, variation: Variation) -> np.ndarray:
    """One augmented copy of each image, determined by the image and its seed.

    pixels: uint8 (n, s, s). seeds: int (n,). Returns uint8 (n, s, s).
    """
    parts = [
        _varied(pixels[start : start + BATCH], seeds[start : start + BATCH], variation)
        for start in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(parts) if parts else pixels.copy()


RESTYLED = 0.7
"""Probability that a view takes another image's grey levels, and probability that it takes part of its spectrum."""


def restyled_view(pixels: np.ndarray, *, seeds: np.ndarray, variation: Variation) -> np.ndarray:
    """One augmented copy of each image in the style of another image of the batch, which its seed selects.

    Style means how an image was acquired: the histogram of its grey levels, which the copy adopts (histogram matching),
    and the amplitudes of its spatial frequencies, which are mixed in with a weight drawn from [0, 1) (amplitude mix, Xu
    et al. 2021, section 3.2). The content is in the phases, which are kept. So a classifier cannot rely on style that
    correlates with the label in training. pixels: uint8 (n, s, s). seeds: int (n,). Returns uint8 (n, s, s).
    """
    count = len(pixels)
    drawn = np.stack([np.random.default_rng([int(seed), 1]).random(4) for seed in seeds]) if count else np.empty((0, 4))
    donors = (np.arange(count) + 1 + (drawn[:, 0] * max(count - 1, 1)).astype(int)) % max(count, 1)
    films = pixels.copy()
    for row in np.flatnonzero(drawn[:, 1] < RESTYLED):
        films[row] = _matched(pixels[row], pixels[donors[row]])
    share = torch.from_numpy(drawn[:, 3] * (drawn[:, 2] < RESTYLED)).float()
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        films[part] = _remixed(films[part], films[donors[part]], share[part])
    return varied_view(films, seeds=seeds, variation=variation)


def _matched(film: np.ndarray, donor: np.ndarray) -> np.ndarray:
    """The image with the donor's histogram: uint8 (s, s)."""
    ours, theirs = (np.cumsum(np.bincount(each.ravel(), minlength=256)) for each in (film, donor))
    levels: np.ndarray = np.searchsorted(theirs, ours).clip(max=255).astype(np.uint8)[film]
    return levels


def _remixed(films: np.ndarray, donors: np.ndarray, share: Tensor) -> np.ndarray:
    """The images with amplitudes interpolated towards the donors' by `share` (n,): uint8 (n, s, s)."""
    spectrum, theirs = (torch.fft.rfft2(torch.from_numpy(each).float()) for each in (films, donors))
    amplitude = spectrum.abs()
    gain = torch.lerp(amplitude, theirs.abs(), share.view(-1, 1, 1)) / amplitude.clamp_min(1e-6)
    mixed: np.ndarray = torch.fft.irfft2(spectrum * gain, s=films.shape[1:]).clamp_(0, 255).round_().byte().numpy()
    return mixed


@torch.inference_mode()
def _varied(pixels: np.ndarray, seeds: np.ndarray, by: Variation) -> np.ndarray:
    generators = [np.random.default_rng(int(seed)) for seed in seeds]
    drawn = torch.from_numpy(np.stack([generator.random(32, dtype=np.float32) for generator in generators])).T
    films = torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255.0).unsqueeze(1)
    films = _moved(films, drawn[:7], by)
    _paint_corners(films, drawn[7:23].reshape(4, 4, -1), by.corner)
    if by.sharpen:
        amount = _between(drawn[23], 0.2 * by.sharpen, by.sharpen) * (drawn[24] < 0.5)
        films = (films + _column(amount) * (films - _blurred(films, torch.full_like(amount, 1.2)))).clamp_(0, 1)
    films = _blurred(films, _between(drawn[25], *by.blur) * (drawn[26] < by.blurred))
    films = films.clamp_(1e-4, 1) ** _column(_between(drawn[27], -by.gamma, by.gamma).exp())
    mean = films.mean((2, 3), keepdim=True)
    brighter = 1 + _column(_between(drawn[29], -by.brightness, by.brightness))
    films = (films - mean) * _column(_between(drawn[28], *by.contrast)) + mean * brighter
    if by.noise:
        grain = np.stack([generator.standard_normal(pixels.shape[1:], dtype=np.float32) for generator in generators])
        films += torch.from_numpy(grain).unsqueeze(1) * _column(drawn[30] * by.noise)
    varied: np.ndarray = films.clamp_(0, 1).mul_(255).round_().byte().squeeze(1).numpy()
    return varied


def _moved(films: Tensor, drawn: Tensor, by: Variation) -> Tensor:
    """Rotate, zoom, stretch, shift and mirror in one resampling; pixels from outside the image are black."""
    angle = _between(drawn[0], -by.degrees, by.degrees) * math.pi / 180
    zoom = _between(drawn[1], math.log(by.zoom[0]), math.log(by.zoom[1]))
    stretch = _between(drawn[2], -by.aspect, by.aspect) / 2
    wide, tall = (zoom + stretch).exp(), (zoom - stretch).exp()
    mirror = torch.where(drawn[3] < 0.5, -1.0, 1.0)
    across, down = (_between(row, -by.shift, by.shift) for row in drawn[4:6])
    first = torch.stack([angle.cos() / wide * mirror, -angle.sin() / wide, across], dim=1)
    second = torch.stack([angle.sin() / tall, angle.cos() / tall, down], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(films.shape), align_corners=False)
    return F.grid_sample(films, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _paint_corners(films: Tensor, drawn: Tensor, chance: float) -> None:
    """Cover corners, in place, by dark grey rectangles of up to 30 % of the side in each direction.

    drawn: (4 corners, 4 draws, n) in [0, 1). chance: the probability for each corner.
    """
    side = films.shape[-1]
    corners = [(upper, left) for upper in (True, False) for left in (True, False)]
    for (upper, left), (hidden, tall, wide, grey) in zip(corners, drawn, strict=True):
        for row in torch.nonzero(hidden < chance).flatten().tolist():
            high, across = int(0.3 * tall[row] * side), int(0.3 * wide[row] * side)
            down = slice(0, high) if upper else slice(side - high, side)
            sideways = slice(0, across) if left else slice(side - across, side)
            films[row, :, down, sideways] = 0.3 * grey[row]


def _blurred(films: Tensor, sigma: Tensor) -> Tensor:
    """Each image with its own Gaussian blur, sigma (n,) in pixels; sigma 0 leaves an image unchanged."""
    rows = torch.nonzero(sigma > 0).flatten()
    if not len(rows):
        return films
    reach = 4
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernels = torch.exp(-(steps**2) / (2 * sigma[rows, None] ** 2).clamp_min(1e-3))
    kernels /= kernels.sum(1, keepdim=True)
    padded = F.pad(films[rows].transpose(0, 1), (reach,) * 4, mode="reflect")  # (1, rows, s + 2r, s + 2r)
    across = F.conv2d(padded, kernels[:, None, None, :], groups=len(rows))
    soft = films.clone()
    soft[rows] = F.conv2d(across, kernels[:, None, :, None], groups=len(rows)).transpose(0, 1)
    return soft


def _between(drawn: Tensor, low: float, high: float) -> Tensor:
    """Draws from [0, 1), scaled to [low, high)."""
    return low + drawn * (high - low)


def _column(values: Tensor) -> Tensor:
    """(n,) -> (n, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
