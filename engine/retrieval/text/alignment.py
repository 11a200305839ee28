"""Text search without paired reports: a mapping from sentence embeddings to images, learnt from known facts.

The known facts of training images (label, cause, zones with more of the classifier's evidence than in most pneumonias)
are put into sentences of several wordings, see `facts`. Each sentence's target is the mean vector of the images it is
true for; a ridge regression maps sentence embeddings to these targets, so that a new wording lands near the images it
describes.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.imaging.heat import ZONES
from engine.retrieval.arrays import Vectors
from engine.retrieval.text import sentences
from engine.retrieval.text.facts import Facts, described, holding_for

VERSION = 2
"""Incremented when the sentences of `facts`, targets or weights change."""
ZONE_WEIGHT = 2.0
"""Weight of the zones, the last entries of an aligned vector, relative to its features, which have length 1."""
PENALTY = 0.03
"""L2 penalty of the ridge regression. Like ZONE_WEIGHT chosen by leave-one-sentence-out search on training images."""
FEWEST = 5
"""Minimum number of images that a sentence must be true for to be used."""


def zone_evidence(raw: Vectors) -> NDArray[np.float64]:
    """The zone evidence (`engine.imaging.heat.evidence`), (n, 6), stored in the last entries of aligned vectors (n, d).

    raw: vectors as the embedder gives them, before centring.
    """
    features, zones = raw[:, : -len(ZONES)].astype(np.float64), raw[:, -len(ZONES) :].astype(np.float64)
    return np.asarray(zones / np.linalg.norm(features, axis=1, keepdims=True) / ZONE_WEIGHT)


@dataclass(frozen=True)
class Known:
    """What an index's text mapping was learnt from; `caveats.caveat` needs it to say what was not learnt."""

    concepts: tuple[str, ...] | None = None
    """The concepts of `holding_for` with at least FEWEST training images; None if that was not recorded."""
    sentences: Vectors | None = None
    """Embeddings of all sentences of `described`, in order, float32 (s, 384); None if they are to be computed."""


NOTHING_KNOWN = Known()


def known_from(facts: Facts) -> Known:
    """A record of what `fit` learns from these facts."""
    shown = tuple(concept for concept, holds in holding_for(facts).items() if holds.sum() >= FEWEST)
    return Known(shown, embedded_sentences())


@cache
def embedded_sentences() -> Vectors:
    """Embeddings of all sentences of `described`, in order, float32 (s, 384)."""
    nothing = Facts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=str), np.zeros((0, len(ZONES)), dtype=bool))
    return sentences.embedded([text for text, _ in described(nothing)])


def fit(vectors: Vectors, facts: Facts) -> Vectors:
    """The linear mapping from sentence embeddings to the images' space: float32 (385, d), the last row is the
    intercept.

    vectors: training images (n, d) as the index compares them, each of length 1. Raises InputError if no sentence is
    true for at least FEWEST of them.
    """
    rows, targets = [], []
    for row, (_, holds) in enumerate(described(facts)):
        if holds.sum() >= FEWEST:
            rows.append(row)
            targets.append(vectors[holds].mean(axis=0, dtype=np.float64))
    if not rows:
        raise InputError(f"words cannot be aligned with images: nothing is known of {FEWEST} training images or more")
    given, wanted = embedded_sentences()[rows].astype(np.float64), np.array(targets)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-9)
    middle, centre = given.mean(axis=0), wanted.mean(axis=0)
    moved = given - middle
    slope = np.linalg.solve(moved.T @ moved + PENALTY * np.eye(len(middle)), moved.T @ (wanted - centre))
    return np.vstack([slope, centre - middle @ slope]).astype(np.float32)


def mapped(words: Vectors, embedded: Vectors) -> Vectors:
    """Sentence embeddings (q, 384) mapped by the result of `fit`, words (385, d): float32 (q, d), each of length 1."""
    placed = embedded.astype(np.float64) @ words[:-1] + words[-1]
    return np.asarray(placed / np.linalg.norm(placed, axis=1, keepdims=True).clip(1e-9), dtype=np.float32)
