"""Near-duplicate radiographs: a perceptual hash and the Hamming distance between two hashes."""

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
"""Maximum distance of near-duplicates, in bits. All frontal chests look alike: among 13.6 million pairs of different
patients in the chest-xray-pneumonia training images the nearest are 38 bits apart, while JPEG at quality 40, gamma 1.3,
half the resolution and a crop of 1 % change at most 28 bits in 99 % of images, a rotation by 1 degree at most 36."""


POSSIBLE = 48
"""Maximum distance, in bits, of a pair that may be one image rotated or cropped, if its features agree too: a rotation
by 2 degrees changes at most 48 bits in 87 % of images, a crop of 2 % in 99 %."""
EMBEDDER, ALIKE = "imagenet-lite0", 0.65
"""The embedder, and the minimum cosine of two images' centred features for them to agree. Of the 17 million pairs of
chest-xray-pneumonia images 27 are within 48 bits, none of them with a cosine above .61; 95 % of images rotated by 2
degrees or cropped by 2 % stay above .64 and .76."""
BLOCK = 1024


def perceptual_hash(pixels: NDArray[np.uint8]) -> Hashes:
    """The 256-bit pHash (Zauner 2010, section 3.2.1) of each image: uint8 (n, h, w), greyscale -> uint8 (n, 32).

    Each bit says whether one of the 16 x 16 lowest DCT coefficients of the image, resized to 64 x 64, is above their
    median; so brightness, contrast and size hardly affect it.
    """
    hashes = np.empty((len(pixels), BITS // 8), dtype=np.uint8)
    for row, picture in enumerate(pixels):
        small = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        low = dctn(np.asarray(small, dtype=np.float64))[:KEPT, :KEPT]
        hashes[row] = np.packbits(low > np.median(low))
    return hashes


def distances(queries: Hashes, others: Hashes) -> NDArray[np.int64]:
    """Hamming distances between queries (q, 32) and other hashes (n, 32): int (q, n), 0 to 256."""
    ours, theirs = (np.unpackbits(hashes, axis=1).astype(np.float32) for hashes in (queries, others))
    differing = ours @ (1 - theirs).T + (1 - ours) @ theirs.T
    return np.rint(differing).astype(np.int64)


@dataclass(frozen=True)
class Pairs:
    """p pairs of rows, int64 (p,) each, with one < other, and the Hamming distances of their hashes."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    distance: NDArray[np.int64]


def near_pairs(hashes: Hashes, *, within: int, advance: Callable[[int], object] = lambda _: None) -> Pairs:
    """All pairs of hashes, uint8 (n, 32), that differ in at most `within` bits, sorted by row.

    Exhaustive, by FAISS (IndexBinaryFlat), BLOCK rows at a time. advance: called with the number of rows just done.
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
    """near-duplicate, possible, or different. distance: in bits. similarity: cosine of the pair by EMBEDDER, if
    known."""
    if distance <= NEAR:
        return "near-duplicate"
    return "possible" if distance <= POSSIBLE and similarity is not None and similarity >= ALIKE else "different"
