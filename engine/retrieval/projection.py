"""Where each image stands on a map: high-dimensional vectors laid out in two dimensions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

Points = NDArray[np.float32]
LEAST = 4
PRINCIPAL = 50
LLOYD = 20_000
"""Vectors up to which each step of k-means looks at all."""


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


def umap(vectors: NDArray[np.float32], *, seed: int, neighbours: int = 15) -> Points:
    """UMAP (McInnes et al. 2018) by umap-learn, cosine: float32 (n, d) unit vectors -> float32 (n, 2).

    Equal input and seed give equal maps, at the price of one thread. Raises InputError below 4 images.
    """
    import warnings

    if len(vectors) < LEAST:
        raise InputError(f"a map needs at least {LEAST} images; got {len(vectors)}")
    from umap import UMAP  # type: ignore[import-untyped]  # imports in 15 s

    near = min(neighbours, len(vectors) - 1)
    start = "spectral" if len(vectors) > 4 * near else "random"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a seed takes one thread, as it should
        layout = UMAP(n_neighbors=near, metric="cosine", init=start, random_state=seed, n_jobs=1).fit_transform(vectors)
    return np.asarray(layout, dtype=np.float32)


METHODS: dict[str, Callable[..., Points]] = {"umap": umap, "tsne": tsne}
"""Maps by name; a new one is a function and a line here."""


def clusters(vectors: NDArray[np.float32], count: int, *, seed: int) -> NDArray[np.int16]:
    """k-means (Lloyd 1982; in mini-batches, Sculley 2010, above 20,000) of float32 (n, d) unit vectors: the cluster of
    each, int16 (n,), from 1, the largest first.

    Equal input and seed give equal clusters. Where there are fewer vectors than `count`, so many clusters.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    means = (KMeans if len(vectors) <= LLOYD else MiniBatchKMeans)(
        n_clusters=min(count, len(vectors)), random_state=seed, n_init=3
    )
    with threadpool_limits(1):  # sums in one order, as for the maps
        found = means.fit_predict(vectors)
    sizes = np.bincount(found, minlength=means.n_clusters)
    place = np.empty(len(sizes), dtype=np.int16)
    place[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return np.asarray(place[found], dtype=np.int16)


def trust(vectors: NDArray[np.float32], points: Points, *, seed: int, neighbours: int = 12, most: int = 5000) -> float:
    """Trustworthiness (Venna & Kaski 2001) of a map, in [0, 1]: how far its neighbours are neighbours of the vectors.

    vectors: (n, d), compared by cosine. points: (n, 2). neighbours: how many of each image are compared. Of `most`
    images drawn at random where there are more, since it compares all with all.
    """
    from sklearn.manifold import trustworthiness

    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:most])
    near = max(1, min(neighbours, (len(rows) - 1) // 2))
    return float(trustworthiness(vectors[rows], points[rows], n_neighbors=near, metric="cosine"))


def _reduced(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The principal components that a neighbourhood map needs; fewer dimensions cost less and carry less noise."""
    if len(vectors) < LEAST:
        raise InputError(f"a map needs at least {LEAST} images; got {len(vectors)}")
    from sklearn.decomposition import PCA

    components = min(PRINCIPAL, *vectors.shape)
    return np.asarray(PCA(components, random_state=seed).fit_transform(vectors), dtype=np.float32)
