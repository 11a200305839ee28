"""How a radiograph may vary without changing its reading: position, size, exposure, contrast, sharpness."""

import threading
from collections.abc import Callable

import numpy as np
import torch
from torchvision.transforms import v2


def view_transform(size: int) -> v2.Transform:
    """uint8 (1, size, size) -> uint8 (1, size, size), drawn anew at each call from torch's global generator.

    Crops change the aspect ratio on purpose: radiographs squashed to a square carry their original ratio as distortion,
    and a classifier that leans on it fails on films of another shape. Corners are painted over, because side markers
    and time stamps burned into the film tell where it was taken, not what it shows.
    """
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomAffine(
                degrees=10, translate=(0.06, 0.06), scale=(0.8, 1.1), interpolation=v2.InterpolationMode.BILINEAR
            ),
            v2.RandomApply([v2.RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(0.75, 1.33), antialias=True)], p=0.7),
            v2.RandomApply([v2.Lambda(_paint_corners)], p=0.7),
            v2.ColorJitter(brightness=0.25, contrast=0.35),
            v2.RandomApply([v2.Lambda(_gamma)], p=0.7),
            v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.2))], p=0.3),
        ]
    )


def _paint_corners(image: torch.Tensor) -> torch.Tensor:
    """Each corner, with even chance, under a dark grey rectangle of up to 30 % of the side each way."""
    painted = image.clone()
    rows, columns = image.shape[-2:]
    for upper in (True, False):
        for left in (True, False):
            hidden, tall, wide, grey = torch.rand(4).tolist()
            if hidden < 0.5:
                high, across = int(0.3 * tall * rows), int(0.3 * wide * columns)
                down = slice(0, high) if upper else slice(rows - high, rows)
                side = slice(0, across) if left else slice(columns - across, columns)
                painted[..., down, side] = int(80 * grey)
    return painted


def _gamma(image: torch.Tensor) -> torch.Tensor:
    """Exposure: a power law with an exponent between 0.6 and 1.67, drawn evenly on the log scale."""
    exponent = float(torch.empty(1).uniform_(-0.51, 0.51).exp())
    adjusted: torch.Tensor = v2.functional.adjust_gamma(image, exponent)
    return adjusted


def seed_transform(size: int) -> v2.Transform:
    """uint8 (1, s, s), s > size -> uint8 (1, size, size): what the model that Pneumoscope started from trained on.

    Its ranges were not told beyond the rotation's; the others are torchvision's usual ones for such a list.
    """
    return v2.Compose(
        [
            v2.RandomCrop(size),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomRotation(10),
            v2.ColorJitter(brightness=0.2, contrast=0.2),
            v2.RandomAffine(degrees=0, translate=(0.1, 0.1)),
        ]
    )


_drawing = threading.Lock()
"""Held while views are drawn: torch has one global generator for all threads."""


def augmented_view(
    pixels: np.ndarray,
    *,
    seeds: np.ndarray,
    size: int | None = None,
    transform_of: Callable[[int], v2.Transform] = view_transform,
) -> np.ndarray:
    """One varied copy of each image, fixed by its seed alone.

    pixels: uint8 (n, s, s). seeds: int (n,). size: of the copies, s by default. Returns uint8 (n, size, size).
    """
    size = size or pixels.shape[-1]
    transform = transform_of(size)
    varied = np.empty((len(pixels), size, size), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on pictures this small several threads mostly wait for each other
    try:
        with _drawing, torch.random.fork_rng(devices=[]):
            for row, seed in enumerate(seeds):
                torch.manual_seed(int(seed))
                varied[row] = transform(torch.tensor(pixels[row])[None])[0].numpy()
    finally:
        torch.set_num_threads(threads)
    return varied
