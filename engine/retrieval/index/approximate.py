"""Approximate FAISS indexes for many vectors: inverted lists (IVF) and HNSW graphs, tuned to a target recall."""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.retrieval.arrays import Vectors

Kind = Literal["exact", "ivf", "hnsw"]
EXACT_UP_TO = 20_000
"""Number of vectors up to which `auto` means exact search, which takes 4 ms per query at 1,280 dimensions on two
cores."""
RECALL = 0.95
"""Target for the mean recall of the exact 10 nearest neighbours; search effort is increased until it is reached."""
ASKED, NEAREST = 200, 10
TRAINED_ON = 40
"""Number of training vectors for each inverted list."""
LINKS, EFFORT = 32, 80
"""M and efConstruction of an HNSW graph (Malkov and Yashunin 2018)."""
SEED = 0


def chosen(kind: str, count: int) -> Kind:
    """The kind of index for a name; `auto` depends on the number of vectors. Raises KeyError for an unknown name."""
    if kind == "auto":
        return "exact" if count <= EXACT_UP_TO else "ivf"
    named: dict[str, Kind] = {"exact": "exact", "ivf": "ivf", "hnsw": "hnsw"}
    return named[kind]


def build(vectors: Vectors, kind: Kind) -> tuple[Any, float]:
    """An index of float32 (n, d) unit vectors, and its recall at 10 relative to exact search.

    Search effort (nprobe or efSearch) is doubled until the recall reaches RECALL or the effort its maximum, and is kept
    in the index. The queries are 200 of the vectors, each excluded from its own hits.
    """
    import faiss

    count, width = vectors.shape
    if kind == "exact":
        flat = faiss.IndexFlatIP(width)
        flat.add(vectors)
        return flat, 1.0
    draw = np.random.default_rng(SEED)
    index: Any
    if kind == "ivf":
        lists = max(1, min(int(4 * math.sqrt(count)), count // TRAINED_ON))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[np.sort(draw.permutation(count)[: lists * TRAINED_ON])])
        index.add(vectors)
        most = lists
    else:
        index = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EFFORT
        index.add(vectors)
        most = 4096
    asked = np.sort(draw.permutation(count)[:ASKED])
    expected = _others(_exact(vectors, asked), asked)
    effort = 1 if kind == "ivf" else 32
    while True:
        _look(index, effort)
        found = _others(index.search(vectors[asked], NEAREST + 1)[1], asked)
        recall = float(
            np.mean([len(one & other) / max(len(one), 1) for one, other in zip(expected, found, strict=True)])
        )
        if recall >= RECALL or effort >= most:
            return index, recall
        effort = min(2 * effort, most)


def candidates(
    index: Any, queries: Vectors, count: int, allowed: NDArray[np.bool_] | None, *, effort: int = 1
) -> list[NDArray[np.int64]]:
    """For each query the rows that the index proposes: at most `count` of the allowed rows, in no particular order.

    queries: float32 (q, d). allowed: bool (n,), None for all rows. effort: factor on the effort kept in the index, used
    with `allowed` only. Returns q arrays, int64 (m,), m <= count.
    """
    import faiss

    library: Any = faiss  # its stubs describe C++, not Python
    options, bits = None, None if allowed is None else np.packbits(allowed, bitorder="little")
    if bits is not None:
        selector = library.IDSelectorBitmap(bits)
        if hasattr(index, "nprobe"):
            options = library.SearchParametersIVF(sel=selector, nprobe=min(effort * index.nprobe, index.nlist))
        else:
            options = library.SearchParametersHNSW(sel=selector, efSearch=effort * index.hnsw.efSearch)
    rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=options)[1]
    return [found[found >= 0] for found in rows]


def _look(index: Any, effort: int) -> None:
    if hasattr(index, "nprobe"):
        index.nprobe = effort
    else:
        index.hnsw.efSearch = effort


def _exact(vectors: Vectors, asked: NDArray[np.intp]) -> NDArray[np.int64]:
    """Rows of the nearest neighbours of each query row, itself included: (q, NEAREST + 1)."""
    import faiss

    return np.asarray(faiss.knn(vectors[asked], vectors, NEAREST + 1, metric=faiss.METRIC_INNER_PRODUCT)[1])


def _others(rows: NDArray[np.int64], asked: NDArray[np.intp]) -> list[set[int]]:
    """The NEAREST first rows of each query, without itself and without empty places (-1)."""
    pairs = zip(rows.tolist(), asked.tolist(), strict=True)
    return [set([row for row in found if row >= 0 and row != own][:NEAREST]) for found, own in pairs]
