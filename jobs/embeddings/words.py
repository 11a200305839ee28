"""Text search for embedders with separate text and image spaces: the text mapping and the images it is fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from db.models import Image
from engine.retrieval.embedders import spec
from engine.retrieval.index.centring import uncentred
from jobs.embeddings.vectors import training_images
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.retrieval.arrays import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.text.alignment import Known


def words_for(
    embedder: "Embedder", images: Sequence[Image], whole: "Vectors", centre: "Vectors"
) -> "tuple[Vectors | None, Known]":
    """The regression that maps the embedder's texts into the image space, (t + 1, d), and what it was fitted on: the
    images of train and val, or all if there are none. None if texts and images already share a space.

    whole: centred image vectors, float32 (n, d). centre: (d,), what was subtracted from them.
    """
    from engine.imaging.heat import prominent
    from engine.retrieval.text import alignment
    from engine.retrieval.text.facts import Facts

    if not spec(embedder.name).mapped:
        return None, alignment.NOTHING_KNOWN

    chosen = taught(images)
    labels = np.array([-1 if image.label is None else image.label for image in chosen.images])
    causes = np.array([image.cause or "" for image in chosen.images])
    vectors = whole[chosen.rows]
    zones = prominent(alignment.zone_evidence(uncentred(vectors, centre)), labels == 1)
    facts = Facts(labels, causes, zones)
    return alignment.fit(vectors, facts), alignment.known_from(facts)


@dataclass(frozen=True)
class Taught:
    """The images that the text mapping is fitted on, and their rows, int (m,)."""

    images: list[Image]
    rows: "NDArray[np.intp]"


def taught(images: Sequence[Image]) -> Taught:
    """The images of train and val, or all if there are none."""
    learnt = training_images(images)
    rows = np.flatnonzero(learnt if learnt.any() else np.ones(len(images), dtype=bool))
    return Taught([images[row] for row in rows.tolist()], rows)


def keep_queries(run: ActiveRun, embedder: "Embedder", words: "Vectors | None") -> None:
    """Store the written queries as vectors of the index, so that text search can be evaluated without the embedder."""
    from engine.retrieval.text.alignment import mapped
    from engine.retrieval.text.written_queries import QUERIES

    asked = embedder.embed_texts([query.text for query in QUERIES])
    run.array("query_vectors", asked if words is None else mapped(words, asked))
