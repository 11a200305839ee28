"""Augmentations that do not change a radiograph's reading: position, size, exposure, contrast, sharpness."""

import threading
from collections.abc import Callable

import numpy as np
import torch
from torchvision.transforms import v2


def view_transform(size: int) -> v2.Transform:
    """uint8 (1, size, size) -> uint8 (1, size, size), random at each call, from torch's global generator.

    Crops change the aspect ratio on purpose: resizing to a square distorts a radiograph by its original aspect ratio,
    and a classifier that relies on that fails on images of another shape. Corners are painted over, because burned-in
    side markers and time stamps reveal where an image was acquired, not what it shows.
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
    """Cover each corner, with probability .5, by a dark grey rectangle of up to 30 % of the side in each direction."""
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
    """Vary the exposure: a power law with an exponent between 0.6 and 1.67, log-uniform."""
    exponent = float(torch.empty(1).uniform_(-0.51, 0.51).exp())
    adjusted: torch.Tensor = v2.functional.adjust_gamma(image, exponent)
    return adjusted


def seed_transform(size: int) -> v2.Transform:
    """uint8 (1, s, s), s > size -> uint8 (1, size, size): the augmentations of the original tool's classifier.

    Of their ranges only the rotation's was published; the others are customary torchvision values.
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
"""Held while views are drawn, because torch has one global generator for all threads."""


def augmented_view(
    pixels: np.ndarray,
    *,
    seeds: np.ndarray,
    size: int | None = None,
    transform_of: Callable[[int], v2.Transform] = view_transform,
) -> np.ndarray:
    """One augmented copy of each image, determined by the image and its seed.

    pixels: uint8 (n, s, s). seeds: int (n,). size: side of the copies, by default s. Returns uint8 (n, size, size).
    """
    size = size or pixels.shape[-1]
    transform = transform_of(size)
    varied = np.empty((len(pixels), size, size), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on images this small several threads mostly wait for each other
    try:
        with _drawing, torch.random.fork_rng(devices=[]):
            for row, seed in enumerate(seeds):
                torch.manual_seed(int(seed))
                varied[row] = transform(torch.tensor(pixels[row])[None])[0].numpy()
    finally:
        torch.set_num_threads(threads)
    return varied
