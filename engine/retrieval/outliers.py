"""Outliers of a collection: images unlike most of its others, such as photographs among radiographs."""

import numpy as np
from numpy.typing import NDArray

from engine.retrieval.index.vector_index import FEWEST_TO_KNOW, VectorIndex

SAMPLE = 2000
"""Random images of the collection that every image is compared with."""
SHARE = 0.05
"""Share of these that an image should be like: far more than there are strangers, which are like each other."""
REACH = 2.0
"""Interquartile ranges below the lower quartile at which the fence lies (docs/decisions/0030)."""
BATCH = 1024
VERSION = 3
"""Increased when other images become outliers."""


def outliers(index: VectorIndex) -> dict[int, float]:
    """Image id -> mean cosine to the SHARE of the collection nearest to it, for those of which it is unusually low,
    lowest first. None are known below FEWEST_TO_KNOW images."""
    if len(index) < FEWEST_TO_KNOW:
        return {}
    likeness = _likeness(index.vectors)
    low, high = np.quantile(likeness, [0.25, 0.75])
    odd = np.flatnonzero(likeness < low - REACH * (high - low))
    return {int(index.ids[row]): float(likeness[row]) for row in odd[np.argsort(likeness[odd], kind="stable")]}


def _likeness(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean cosine of each vector, (n, d), to the SHARE nearest to it of a random sample without itself: (n,)."""
    sample = np.sort(np.random.default_rng(0).permutation(len(vectors))[:SAMPLE])
    others = np.asarray(vectors[sample])
    nearest = max(1, round(SHARE * len(sample)))
    parts = []
    for start in range(0, len(vectors), BATCH):
        cosines = np.asarray(vectors[start : start + BATCH]) @ others.T
        inside = (sample >= start) & (sample < start + BATCH)
        cosines[sample[inside] - start, np.flatnonzero(inside)] = -np.inf
        parts.append(np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1, dtype=np.float64))
    return np.concatenate(parts)
