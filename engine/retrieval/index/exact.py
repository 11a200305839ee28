"""Exact search among vectors: every hit's cosine in float64, the same in any batch; ties by id."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.retrieval.arrays import Ids, Vectors

ROUNDING = 1e-5
"""An upper bound of the error of FAISS's float32 sums of unit vectors; hits this close are re-scored in float64."""
BLOCK = 20_000
"""Number of rows that `compared` copies to float64 at once."""


@dataclass(frozen=True)
class SearchHits:
    """The nearest vectors of q queries, best first, ties by id.

    ids: int64 (q, k), -1 if fewer than k exist. similarities: float64 (q, k), cosine in [-1, 1], NaN for id -1.
    """

    ids: Ids
    similarities: NDArray[np.float64]


def exact_search(
    flat: Any, vectors: Vectors, ids: Ids, queries: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
) -> SearchHits:
    """The k nearest rows by cosine, sorted by similarity in float64 and then by id.

    FAISS sums in float32, in an order that depends on the batch, so it only proposes candidates: all rows within
    rounding error of the k-th are scored again. flat: faiss.IndexFlatIP over `vectors`. allowed: bool (n,), rows that
    may be returned.
    """
    import faiss

    options, available = None, len(vectors)
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]  # its stubs describe C++, not Python
        options = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # as above
        available = int(allowed.sum())
    hits = np.full((len(queries), k), -1, dtype=np.int64)
    similarities = np.full((len(queries), k), np.nan)
    wanted = min(k, available)
    pending = np.arange(len(queries)) if wanted else np.empty(0, dtype=np.intp)
    asked = min(available, wanted + 8)
    while len(pending):
        scores, rows = flat.search(np.ascontiguousarray(queries[pending], dtype=np.float32), asked, params=options)
        enough = (scores[:, -1] < scores[:, wanted - 1] - ROUNDING) | (asked == available)
        for query, found in zip(pending[enough], rows[enough], strict=True):
            exact = (vectors[found].astype(np.float64) * queries[query].astype(np.float64)).sum(axis=1)
            best = np.lexsort((ids[found], -exact))[:wanted]
            hits[query, :wanted], similarities[query, :wanted] = ids[found[best]], exact[best]
        pending, asked = pending[~enough], min(available, 2 * asked)
    return SearchHits(hits, similarities)


def compared(vectors: Vectors, ids: Ids, queries: Vectors, k: int, rows: NDArray[Any] | None) -> SearchHits:
    """The k nearest of the given rows (row numbers or a mask; None for all), all compared in float64."""
    chosen = np.arange(len(ids)) if rows is None else np.flatnonzero(rows) if rows.dtype == bool else rows
    near = np.concatenate(
        [
            queries.astype(np.float64) @ vectors[chosen[start : start + BLOCK]].astype(np.float64).T
            for start in range(0, max(1, len(chosen)), BLOCK)
        ],
        axis=1,
    ).round(12)  # the last digits of a matrix product depend on a row's position: equal vectors must score equally
    hits, similarities = np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), np.nan)
    for query, scores in enumerate(near):
        best = np.lexsort((ids[chosen], -scores))[:k]
        hits[query, : len(best)], similarities[query, : len(best)] = ids[chosen[best]], scores[best]
    return SearchHits(hits, similarities)
