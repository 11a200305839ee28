"""Where each image stands on a map: high-dimensional vectors laid out in two dimensions."""

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

Points = NDArray[np.float32]
LEAST = 4
PRINCIPAL = 50


def tsne(vectors: NDArray[np.float32], *, seed: int, perplexity: float = 30.0) -> Points:
    """t-SNE (van der Maaten & Hinton 2008) by scikit-learn: float32 (n, d) unit vectors -> float32 (n, 2).

    From the first 50 principal components, started from the first two (Kobak & Berens 2019), so equal input and seed
    give equal maps. Distances between far groups mean nothing. Raises InputError below 4 images.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    reduced = _reduced(vectors, seed)
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    # One thread: sums in one order whatever the machine, and on busy cores several only wait for each other.
    with threadpool_limits(1):
        layout = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return np.asarray(layout, dtype=np.float32)


def _reduced(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The principal components that a neighbourhood map needs; fewer dimensions cost less and carry less noise."""
    if len(vectors) < LEAST:
        raise InputError(f"a map needs at least {LEAST} images; got {len(vectors)}")
    from sklearn.decomposition import PCA

    components = min(PRINCIPAL, *vectors.shape)
    return np.asarray(PCA(components, random_state=seed).fit_transform(vectors), dtype=np.float32)
