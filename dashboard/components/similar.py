"""Which cases are nearest in a vector index, found live, and how they look."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import resources
from dashboard.components import filters, grid, wording
from db.models import Dataset, VectorIndex
from db.queries import cases, evaluation
from engine.errors import InputError
from engine.retrieval.neighbours import vote
from engine.retrieval.vector_index import IndexDamagedError
from engine.retrieval.vector_index import VectorIndex as OpenIndex

LEARNED = "classifier"
"""The embedder whose vectors are the trained classifier's own features."""


@dataclass(frozen=True)
class Hit:
    """A found image and its cosine similarity in [-1, 1]."""

    image_id: int
    similarity: float


def opened(index: VectorIndex) -> OpenIndex:
    """The index's folder; where it is damaged, the last good one before it, with a word on the page. Raises InputError
    where there is none."""
    try:
        return resources.vector_index(index.path, index.sha256)
    except IndexDamagedError as error:
        with resources.reading() as session:
            earlier = evaluation.earlier_indexes(session, index)
        for other in earlier:
            with suppress(IndexDamagedError):
                found = resources.vector_index(other.path, other.sha256)
                st.warning(f"{wording.plain(str(error))}\n\nThe index of run {other.run_id} answers instead.")
                return found
        raise


def to_image(
    index: VectorIndex,
    image_id: int,
    k: int,
    *,
    allowed: Collection[int] | None = None,
    exclude: Collection[int] | None = None,
) -> list[Hit]:
    """The k nearest to an image that is in the index; no model is needed. exclude: what is left out, by default the
    image itself. Raises InputError where it is not in it."""
    served = opened(index)
    rows = served.rows([image_id])
    if not len(rows):
        raise InputError(f"image {image_id} is not in index '{index.embedder}'; add it with: python -m jobs embed")
    return to_vectors(index, served.vectors[rows], k, allowed=allowed, exclude=exclude or [image_id])


def to_vectors(
    index: VectorIndex, vectors: Any, k: int, *, allowed: Collection[int] | None, exclude: Collection[int] | None = None
) -> list[Hit]:
    """The k nearest to the first of `vectors`, float32 (1, d)."""
    found = opened(index).search(vectors, k, allowed_ids=allowed, exclude_ids=exclude)
    pairs = zip(found.ids[0], found.similarities[0], strict=True)
    return [Hit(int(number), float(similarity)) for number, similarity in pairs if number >= 0]


def show(dataset: Dataset, hits: Sequence[Hit], view: filters.View, *, key: str, learned: bool) -> None:
    """What the neighbours' labels say together, and the neighbours, nearest first.

    learned: whether the vectors are the classifier's own features.
    """
    with resources.reading() as session:
        wanted = [hit.image_id for hit in hits]
        question = view.question
        known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
    found = [known[hit.image_id] for hit in hits if hit.image_id in known]
    if not found:
        st.info("No image of the dataset matches.")
        return
    st.markdown(said([case.label for case in found]))
    if learned:
        st.caption(
            "These are the classifier's own features: neighbours tend to share its errors, so no second opinion."
        )
    titles = {hit.image_id: f"Similarity {hit.similarity:.3f}" for hit in hits}
    grid.show(dataset, found, key=key, titles=titles)


def manner(index: VectorIndex) -> str:
    """How the index is searched, in words."""
    exact = index.kind in ("exact", "IndexFlatIP")
    return f"cosine similarity, {'exact search' if exact else f'approximate search ({index.kind})'}"


def said(labels: Sequence[int | None]) -> str:
    """What the neighbours' labels say."""
    counted = vote(labels)
    share = f"**{counted.pneumonia} of {counted.known}** nearest cases carry the label pneumonia"
    unknown = len(labels) - counted.known
    return f"{share} ({wording.percent(counted.share)}){f'; {unknown} have no label' if unknown else ''}."
