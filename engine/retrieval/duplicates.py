"""Whether two radiographs are nearly the same picture: a perceptual hash, and how far two of them lie apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

Hashes = NDArray[np.uint8]

SIDE, KEPT = 64, 16
BITS = KEPT * KEPT
NEAR = 32
"""Bits in which near-duplicates differ at most. All frontal chests look alike: among 13.6 million pairs of different
patients of the chest-xray-pneumonia training images the nearest lie 38 bits apart, while JPEG at quality 40, gamma 1.3,
half the resolution and a crop of 1 % move 99 % of images by 28 bits or less, a turn by 1 degree by 36."""


POSSIBLE = 48
"""Bits up to which a pair may be one film turned or cropped, if its features agree too: a turn by 2 degrees moves 87 %
of films by 48 bits or less, a crop of 2 % 99 %."""
EMBEDDER, ALIKE = "imagenet-lite0", 0.65
"""In these features, less their mean, from which cosine on they agree. Of the 17 million pairs of the
chest-xray-pneumonia images 27 lie within 48 bits, none above .61; 95 % of films turned by 2 degrees or cropped by 2 %
stay above .64 and .76."""
BLOCK = 1024


def perceptual_hash(pixels: NDArray[np.uint8]) -> Hashes:
    """The 256-bit pHash (Zauner 2010, section 3.2.1) of each picture: uint8 (n, h, w), grey -> uint8 (n, 32).

    A bit tells whether one of the 16 x 16 lowest frequencies of the picture, made 64 x 64, is above their median; so
    brightness, contrast and size hardly change it.
    """
    hashes = np.empty((len(pixels), BITS // 8), dtype=np.uint8)
    for row, picture in enumerate(pixels):
        small = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        low = dctn(np.asarray(small, dtype=np.float64))[:KEPT, :KEPT]
        hashes[row] = np.packbits(low > np.median(low))
    return hashes


def distances(queries: Hashes, others: Hashes) -> NDArray[np.int64]:
    """In how many bits each query (q, 32) differs from each other hash (n, 32): int (q, n), 0 to 256."""
    ours, theirs = (np.unpackbits(hashes, axis=1).astype(np.float32) for hashes in (queries, others))
    differing = ours @ (1 - theirs).T + (1 - ours) @ theirs.T
    return np.rint(differing).astype(np.int64)


@dataclass(frozen=True)
class Pairs:
    """Rows that lie close together, int (p,) each, `one` below `other`, and in how many bits their hashes differ."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    distance: NDArray[np.int64]


def near_pairs(hashes: Hashes, *, within: int, advance: Callable[[int], object] = lambda _: None) -> Pairs:
    """Every pair of hashes, uint8 (n, 32), that differ in `within` bits or fewer, in order of its rows.

    All are compared by FAISS (IndexBinaryFlat), BLOCK rows at a time; advance is told how many are done.
    """
    import faiss

    index = faiss.IndexBinaryFlat(BITS)
    index.add(hashes)
    found = [np.empty((0, 3), dtype=np.int64)]
    for start in range(0, len(hashes), BLOCK):
        part = hashes[start : start + BLOCK]
        limits, distances, rows = index.range_search(part, within + 1)
        queries = start + np.repeat(np.arange(len(part)), (limits[1:] - limits[:-1]).astype(np.int64))
        ordered = queries < rows
        found.append(np.stack([queries, rows, distances], axis=1)[ordered].astype(np.int64))
        advance(len(part))
    pairs = np.concatenate(found)
    return Pairs(*pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T)


def verdict(distance: int, similarity: float | None = None) -> str:
    """near-duplicate, possible, or different. similarity: cosine of the two by EMBEDDER, where that is known."""
    if distance <= NEAR:
        return "near-duplicate"
    return "possible" if distance <= POSSIBLE and similarity is not None and similarity >= ALIKE else "different"
