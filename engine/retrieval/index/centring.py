"""Vectors relative to the mean of a collection, and back."""

from collections.abc import Iterator

import numpy as np

from engine.retrieval.arrays import Vectors

FEWEST_TO_CENTRE = 20
"""Minimum number of vectors for estimating a centre."""
BLOCK = 20_000
"""Number of rows that are copied to float64 at once."""


def centre_of(vectors: Vectors) -> Vectors:
    """The mean of float32 (n, d) unit vectors, (d,), to subtract before comparison; zeros below FEWEST_TO_CENTRE.

    Features after a ReLU all point in similar directions; subtracting their mean makes cosine similarity more
    discriminative (the centring of SimpleShot, Wang et al. 2019, section 3).
    """
    if len(vectors) < FEWEST_TO_CENTRE:
        return np.zeros(vectors.shape[1], dtype=np.float32)
    return np.asarray(vectors.mean(axis=0, dtype=np.float64), dtype=np.float32)


def centred(vectors: Vectors, centre: Vectors) -> Vectors:
    """Unit vectors (n, d) minus the centre (d,), scaled back to length 1; a vector equal to the centre stays as it
    is."""
    made = np.empty(vectors.shape, dtype=np.float32)
    for rows in _blocks(len(vectors)):
        moved = vectors[rows].astype(np.float64) - centre
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        made[rows] = np.where(lengths > 1e-6, moved / np.maximum(lengths, 1e-6), vectors[rows])
    return made


def uncentred(vectors: Vectors, centre: Vectors) -> Vectors:
    """The inverse of `centred`: from its result (n, d), the original unit vectors, by solving |l v + centre| = 1 for
    l."""
    made, middle = np.empty(vectors.shape, dtype=np.float32), centre.astype(np.float64)
    for rows in _blocks(len(vectors)):
        wide = vectors[rows].astype(np.float64)
        along = wide @ middle
        lengths = -along + np.sqrt(np.maximum(along**2 - middle @ middle + 1, 0))
        made[rows] = lengths[:, None] * wide + middle
    return made


def _blocks(count: int) -> Iterator[slice]:
    """The rows of an array in parts, because float64 copies of a large one would need six times its memory."""
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))
