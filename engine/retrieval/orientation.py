"""Whether a query image seems to be inverted or turned: whether a collection has more similar images once that is
undone."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine.imaging.images import Pixels
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders.protocol import Embedder
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.neighbours import familiarity

MARGIN = 0.04
"""Cosine by which the images nearest to the undone image must be nearer; chosen on training images, see
docs/decisions/0029."""


@dataclass(frozen=True)
class Alteration:
    """What may have happened to an image before it was uploaded, and how to undo it."""

    name: str
    looks: str
    """How the image looks, as an adjective."""
    undoing: str
    """What undoing it does."""
    undo: Callable[[Pixels], Pixels]
    """uint8 (h, w) -> uint8, with height and width exchanged by a quarter turn."""


ALTERATIONS = {
    each.name: each
    for each in (
        Alteration("inverted", "inverted", "with its grey levels inverted", np.invert),
        Alteration("upside-down", "upside down", "turned by 180 degrees", partial(np.rot90, k=2)),
        Alteration("left", "turned to the left", "turned by 90 degrees to the right", partial(np.rot90, k=-1)),
        Alteration("right", "turned to the right", "turned by 90 degrees to the left", partial(np.rot90, k=1)),
    )
}
"""By name. A mirrored radiograph looks like another one, so nothing is said of it."""


@dataclass(frozen=True)
class Suspicion:
    """An alteration that would explain how unlike the collection an image is, with the mean cosine to its NEAREST
    images as it is and with the alteration undone."""

    alteration: Alteration
    similarity: float
    undone: float

    def __str__(self) -> str:
        return (
            f"the image seems to be {self.alteration.looks}: {self.alteration.undoing}, it would be more like the "
            f"collection (similarity {self.undone:.2f} instead of {self.similarity:.2f})"
        )


def undone(pixels: Pixels, names: Sequence[str]) -> Pixels:
    """The image, uint8 (h, w), with alterations undone one after the other. names: keys of ALTERATIONS."""
    for name in names:
        pixels = ALTERATIONS[name].undo(pixels)
    return np.ascontiguousarray(pixels)


def suspicion(
    index: VectorIndex,
    embedder: Embedder,
    pixels: Pixels,
    query: Vectors,
    *,
    held: Callable[[Sequence[int]], Collection[int]],
) -> Suspicion | None:
    """The alteration whose undoing brings an image nearest to the collection; None unless it is nearer by MARGIN, and
    as near as the collection's images are to each other, or if the index is too small to tell.

    pixels: uint8 (h, w). query: its projected vector, float32 (1, d). held: as in `neighbours.nearest`. Embeds the
    image once for each alteration.
    """
    usual = index.usual_similarity
    if usual is None:
        return None
    small = embedder.fit(pixels)
    others = np.stack([embedder.fit(undone(small, [name])) for name in ALTERATIONS])
    vectors = index.project_images(embedder.embed_images(others))
    own, *found = (familiarity(index, one[None], held=held) for one in np.concatenate([query, vectors]))
    best = int(np.argmax(found))
    if not found[best] >= max(own + MARGIN, usual):  # NaN where no image is left
        return None
    return Suspicion(list(ALTERATIONS.values())[best], own, found[best])
