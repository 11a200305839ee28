"""Outliers of a collection: images unlike all its others, such as a photograph among radiographs."""

import numpy as np

from engine.retrieval.index.vector_index import FEWEST_TO_KNOW, NEAREST, VectorIndex

REACH = 1.5
"""Interquartile ranges below the lower quartile at which Tukey's inner fence lies (Tukey 1977)."""
BATCH = 1024
VERSION = 1
"""Increased when other images become outliers."""


def outliers(index: VectorIndex) -> dict[int, float]:
    """Image id -> mean cosine to its NEAREST other images, for those of which it is unusually low.

    Unusual is what lies below Tukey's lower fence after Fisher's z-transformation, which makes the spread comparable
    between embedders (docs/decisions/0030). None are known below FEWEST_TO_KNOW images. Many images of one strange kind
    are like each other, and so are none.
    """
    if len(index) < FEWEST_TO_KNOW:
        return {}
    starts = range(0, len(index), BATCH)
    found = [index.search(np.asarray(index.vectors[start : start + BATCH]), 1 + NEAREST) for start in starts]
    nearest = np.concatenate([hits.similarities for hits in found])[:, 1:].mean(axis=1)  # the first is the image itself
    z = np.arctanh(np.clip(nearest, -0.999999, 0.999999))
    low, high = np.quantile(z, [0.25, 0.75])
    odd = np.flatnonzero(z < low - REACH * (high - low))
    return {int(index.ids[row]): float(nearest[row]) for row in odd[np.argsort(nearest[odd], kind="stable")]}
