"""Which images of a collection are each other's nearest, and what the nearest say of a query's label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.retrieval.approximate import Vectors
from engine.retrieval.vector_index import exact_search


@dataclass(frozen=True)
class Neighbours:
    """For each of n images its nearest others, best first, equal ones by row.

    rows: int64 (n, k), -1 where fewer than k exist. similarities: float64 (n, k), cosine in [-1, 1], NaN there.
    """

    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]


def leave_one_out(vectors: Vectors, k: int, *, groups: ArrayLike | None = None) -> Neighbours:
    """Each image's k nearest among the others, or among those of other groups where `groups` is given.

    vectors: float32 (n, d), each of length 1. groups: (n,), such as patient keys: the other pictures of a patient are
    no evidence that similar cases were found. Raises InputError where there is nothing to compare.
    """
    import faiss

    count = len(vectors)
    if count < 2 or k < 1:
        raise InputError(f"neighbours need at least two images and k from 1; got {count} and {k}")
    own = np.arange(count) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(np.ascontiguousarray(vectors, dtype=np.float32))
    # The k nearest of other groups stand among the k + g nearest of all, g being the largest group.
    asked = min(count, k + int(np.bincount(own).max()))
    hits = exact_search(flat, vectors, np.arange(count), vectors, asked)
    foreign = own[hits.ids] != own[:, None]
    order = np.argsort(~foreign, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(foreign, order, axis=1)
    rows = np.where(kept, np.take_along_axis(hits.ids, order, axis=1), -1)
    similarities = np.where(kept, np.take_along_axis(hits.similarities, order, axis=1), np.nan)
    missing = ((0, 0), (0, k - rows.shape[1]))
    return Neighbours(np.pad(rows, missing, constant_values=-1), np.pad(similarities, missing, constant_values=np.nan))


@dataclass(frozen=True)
class Vote:
    """How the hits whose label is known are labelled."""

    pneumonia: int
    known: int

    @property
    def share(self) -> float:
        """Share of pneumonia in [0, 1]; NaN where no hit's label is known."""
        return self.pneumonia / self.known if self.known else np.nan


def vote(labels: Sequence[int | None]) -> Vote:
    """Count the hits' labels: 1 pneumonia, 0 normal, None unknown."""
    known = [label for label in labels if label is not None]
    return Vote(pneumonia=sum(known), known=len(known))
