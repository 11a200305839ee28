"""Nearest neighbours in a collection that may have changed since indexing, how familiar they make a query, and their
vote on its label."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from engine.retrieval.arrays import Ids, Vectors
from engine.retrieval.index.vector_index import NEAREST, VectorIndex

OUT_OF_DISTRIBUTION = (
    f"the picture is less like its {NEAREST} nearest images than 99 % of the collection's images are like theirs: it "
    "may be no chest radiograph, so the hits may be meaningless"
)
"""The warning about a query for which `is_out_of_distribution` is true."""


def nearest(
    index: VectorIndex,
    query: Vectors,
    k: int,
    *,
    held: Callable[[Sequence[int]], Collection[int]],
    allowed: Collection[int] | Ids | None = None,
    exclude: Collection[int] | Ids | None = None,
) -> list[tuple[int, float]]:
    """The k nearest images to one query, float32 (1, d), with their cosine, best first; see `VectorIndex.search`.

    held: of the given ids, those that the collection still has. Images removed since the index was built are passed
    over: twice as many are asked for until k hits remain, or none is left.
    """
    asked = k
    while True:
        found = index.search(query, asked, exclude_ids=exclude, allowed_ids=allowed)
        hits = [
            (int(number), float(similarity))
            for number, similarity in zip(found.ids[0], found.similarities[0], strict=True)
            if number >= 0
        ]
        there = set(held([number for number, _ in hits]))
        left = [hit for hit in hits if hit[0] in there]
        if len(left) >= k or len(hits) < asked:
            return left[:k]
        asked *= 2


def familiarity(index: VectorIndex, query: Vectors, *, held: Callable[[Sequence[int]], Collection[int]]) -> float:
    """The mean cosine of one query, float32 (1, d), to the NEAREST images that the collection still has; NaN if it has
    none. held: as in `nearest`."""
    found = nearest(index, query, NEAREST, held=held)
    return float(np.mean([similarity for _, similarity in found])) if found else np.nan


def is_out_of_distribution(
    index: VectorIndex, query: Vectors, *, held: Callable[[Sequence[int]], Collection[int]]
) -> bool:
    """Whether a projected query, float32 (1, d), is unlike the whole collection: perhaps not a radiograph."""
    usual = index.usual_similarity
    return usual is not None and familiarity(index, query, held=held) < usual


@dataclass(frozen=True)
class Vote:
    """The number of hits with a known label, and of those the number labelled pneumonia."""

    pneumonia: int
    known: int

    @property
    def share(self) -> float:
        """The proportion of pneumonia in [0, 1]; NaN if no hit has a known label."""
        return self.pneumonia / self.known if self.known else np.nan


def vote(labels: Sequence[int | None]) -> Vote:
    """Count the hits' labels: 1 pneumonia, 0 normal, None unknown."""
    known = [label for label in labels if label is not None]
    return Vote(pneumonia=sum(known), known=len(known))
