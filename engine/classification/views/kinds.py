"""Named kinds of augmentation for training views. A view is determined by its image and seed; a restyled view also
depends on the other images of its batch, one of which provides its style."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.classification.views import augment, variations

SIZE = 224
"""Side in pixels at which images are given to a classifier."""
FILMS = 2
"""Views 0 and 1 are the image and its mirror image; the others are augmented."""

PixelReader = Callable[[Sequence[int], int], np.ndarray]
"""Rows of the image list, side in pixels -> uint8 (n, side, side)."""


@dataclass(frozen=True)
class ViewKind:
    """read: side at which images are read before augmentation. vary: uint8 (n, read, read), int seeds (n,) and the
    view's number -> uint8 (n, s, s), with s at least the side of the recipe's network input."""

    read: int
    vary: Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _varied(pixels: np.ndarray, seeds: np.ndarray, view: int) -> np.ndarray:
    """Mild augmentation for views with an even number, strong for odd ones."""
    by = variations.STRONG if view % 2 else variations.MILD
    return variations.varied_view(pixels, seeds=seeds, variation=by)


VARIATIONS = {
    "augmented": ViewKind(SIZE, lambda pixels, seeds, _view: augment.augmented_view(pixels, seeds=seeds)),
    "varied": ViewKind(SIZE, _varied),
    "restyled": ViewKind(
        160, lambda pixels, seeds, _view: variations.restyled_view(pixels, seeds=seeds, variation=variations.STRONG)
    ),
    "seed": ViewKind(
        256,
        lambda pixels, seeds, _view: augment.augmented_view(
            pixels, seeds=seeds, size=SIZE, transform_of=augment.seed_transform
        ),
    ),
}
"""Kind by name. To add one: one line here."""


def seeds(image_sha256: Sequence[str], *, view: int, seed: int) -> np.ndarray:
    """A seed for each image, int64 (n,), that depends only on the image, the view's number and the run's seed."""
    marks = [hashlib.sha256(f"{sha}:{view}:{seed}".encode()).digest()[:7] for sha in image_sha256]
    return np.array([int.from_bytes(mark) for mark in marks], dtype=np.int64)


def mirrored(pixels: np.ndarray) -> np.ndarray:
    """The images mirrored left to right: uint8 (n, s, s)."""
    return np.ascontiguousarray(pixels[:, :, ::-1])


@dataclass(frozen=True)
class Source:
    """A list of images, and how views of them are made. seed: of the augmented views."""

    image_sha256: Sequence[str]
    read_pixels: PixelReader
    variation: str
    seed: int

    def pixels(self, view: int, rows: Sequence[int]) -> np.ndarray:
        """The images of `rows` in a view: uint8 (n, s, s)."""
        kind = VARIATIONS[self.variation]
        if view >= FILMS:
            drawn = seeds([self.image_sha256[row] for row in rows], view=view, seed=self.seed)
            return kind.vary(self.read_pixels(rows, kind.read), drawn, view)
        read = self.read_pixels(rows, SIZE)
        return mirrored(read) if view else read
