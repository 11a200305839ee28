"""Maps of a collection: vectors projected to two dimensions, clusters, and a measure of a map's trustworthiness."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

Points = NDArray[np.float32]
LEAST = 4
PRINCIPAL = 50
LLOYD = 20_000
"""Maximum number of vectors for full k-means; above it, mini-batches are used."""


def tsne(vectors: NDArray[np.float32], *, seed: int, perplexity: float = 30.0) -> Points:
    """t-SNE (van der Maaten & Hinton 2008) by scikit-learn: float32 (n, d) unit vectors -> float32 (n, 2).

    From the first 50 principal components, initialised with the first two (Kobak & Berens 2019), so that equal input
    and seed give equal maps. Distances between distant groups are not meaningful. Raises InputError below 4 images.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    reduced = _reduced(vectors, seed)
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    # One thread: sums are in the same order on any machine, and on busy cores several threads only wait for each other.
    with threadpool_limits(1):
        layout = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return np.asarray(layout, dtype=np.float32)


def umap(vectors: NDArray[np.float32], *, seed: int, neighbours: int = 15) -> Points:
    """UMAP (McInnes et al. 2018) by umap-learn, cosine: float32 (n, d) unit vectors -> float32 (n, 2).

    Equal input and seed give equal maps, which limits it to one thread. Raises InputError below 4 images.
    """
    import warnings

    if len(vectors) < LEAST:
        raise InputError(f"a map needs at least {LEAST} images; got {len(vectors)}")
    from umap import UMAP  # type: ignore[import-untyped]  # imports in 15 s

    near = min(neighbours, len(vectors) - 1)
    start = "spectral" if len(vectors) > 4 * near else "random"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # umap warns that a seed implies one thread
        layout = UMAP(n_neighbors=near, metric="cosine", init=start, random_state=seed, n_jobs=1).fit_transform(vectors)
    return np.asarray(layout, dtype=np.float32)


METHODS: dict[str, Callable[..., Points]] = {"umap": umap, "tsne": tsne}
"""Maps by name; a new one is a function and a line here."""


def clusters(vectors: NDArray[np.float32], count: int, *, seed: int) -> NDArray[np.int16]:
    """The k-means cluster of each vector (Lloyd 1982; in mini-batches above 20,000 vectors, Sculley 2010): int16 (n,),
    numbered from 1, the largest cluster first.

    vectors: float32 (n, d), of length 1. count: number of clusters, at most n are made. Equal input and seed give equal
    clusters.
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
    """Trustworthiness (Venna & Kaski 2001) of a map, in [0, 1]: how well neighbours on the map are neighbours among the
    vectors.

    vectors: (n, d), compared by cosine. points: (n, 2). neighbours: number of neighbours of each image. Computed on a
    random sample of `most` images if there are more, since it compares all pairs.
    """
    from sklearn.manifold import trustworthiness

    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:most])
    near = max(1, min(neighbours, (len(rows) - 1) // 2))
    return float(trustworthiness(vectors[rows], points[rows], n_neighbors=near, metric="cosine"))


def _reduced(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The first principal components: fewer dimensions are faster and less noisy. Raises InputError below 4 images."""
    if len(vectors) < LEAST:
        raise InputError(f"a map needs at least {LEAST} images; got {len(vectors)}")
    from sklearn.decomposition import PCA

    components = min(PRINCIPAL, *vectors.shape)
    return np.asarray(PCA(components, random_state=seed).fit_transform(vectors), dtype=np.float32)
