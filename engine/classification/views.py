"""Which views of a film training looks at: kinds of variation by name, each view fixed by its seed, and a restyled one
by the films of its batch as well, one of which gives it its style."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.classification import augment, variations

SIZE = 224
"""Side that a classifier is given films at."""


@dataclass(frozen=True)
class ViewKind:
    """read: side that films are read at before they are varied. vary: uint8 (n, read, read), int seeds (n,) and the
    view's number -> uint8 (n, s, s), s no smaller than the side that a recipe's network works at."""

    read: int
    vary: Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _varied(pixels: np.ndarray, seeds: np.ndarray, view: int) -> np.ndarray:
    """Mildly where the view's number is even, strongly where it is odd."""
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
"""To add a kind: one line here."""


def seeds(image_sha256: Sequence[str], *, view: int, seed: int) -> np.ndarray:
    """A seed for each image that depends on the image, the view and the run's seed, and on nothing else: int64 (n,)."""
    marks = [hashlib.sha256(f"{sha}:{view}:{seed}".encode()).digest()[:7] for sha in image_sha256]
    return np.array([int.from_bytes(mark) for mark in marks], dtype=np.int64)


def mirrored(pixels: np.ndarray) -> np.ndarray:
    """Left and right exchanged: uint8 (n, s, s)."""
    return np.ascontiguousarray(pixels[:, :, ::-1])
