"""How words find radiographs without paired reports: sentences about known facts, mapped to the images they hold for.

What a training image is known to show (label, cause, the zones with more of the classifier's heat than in most) is put
into sentences of several wordings. Each sentence's target is the mean of the images it holds for; a ridge regression
maps sentence embeddings to those means, so that a new wording lands near the images that an old one describes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.heat import LEVELS, SIDES, ZONES
from engine.reporting.findings import read
from engine.retrieval import sentences

Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

VERSION = 2
"""Raised when sentences, targets or weights change."""
ZONE_WEIGHT = 2.0
"""Of the zones, the last entries of an aligned vector, against its features, which have length 1."""
PENALTY = 0.03
"""Of the ridge regression. As ZONE_WEIGHT chosen by leaving each sentence out and looking among training images."""
FEWEST = 5
"""Images that a sentence must hold for to be learnt from."""
NEAR = 0.5
"""Cosine to the nearest sentence learnt from, below which words are unlike all of them."""


@dataclass(frozen=True)
class Facts:
    """What is known of n images: labels, int (n,), 1 or 0, -1 unknown; causes, str (n,), "" unknown; zones, bool
    (n, 6): where more of the classifier's evidence lies than in most pneumonias."""

    labels: NDArray[np.int64]
    causes: NDArray[np.str_]
    zones: Mask


def zone_evidence(raw: Vectors) -> NDArray[np.float64]:
    """What the last entries of aligned vectors tell, as embedded (n, d): see engine.heat.evidence, (n, 6)."""
    features, zones = raw[:, : -len(ZONES)].astype(np.float64), raw[:, -len(ZONES) :].astype(np.float64)
    return np.asarray(zones / np.linalg.norm(features, axis=1, keepdims=True) / ZONE_WEIGHT)


NORMAL = (
    "normal chest radiograph", "a normal chest x-ray of a child", "no evidence of pneumonia", "no pneumonia",
    "the lungs are clear", "clear lung fields on both sides", "no consolidation", "no infiltrate", "no focal opacity",
    "no airspace disease", "healthy lungs without opacity", "unremarkable lungs", "negative for pneumonia",
    "no acute cardiopulmonary abnormality", "lungs without infiltrate or consolidation", "within normal limits",
    "the lungs are free of infection", "no sign of lung infection", "no abnormality is seen in the chest",
    "well aerated lungs, no opacity", "a healthy child without pneumonia", "absence of consolidation",
    "no opacity in the right lung", "no opacity in the left lung", "no opacity in the lower zones",
)  # fmt: skip
ILL = (
    "pneumonia", "a chest x-ray that shows pneumonia", "findings consistent with pneumonia", "signs of pneumonia",
    "a lung infection", "consolidation", "airspace opacity", "a pulmonary infiltrate", "an abnormal chest radiograph",
    "opacity in the lung", "patchy opacities", "airspace disease", "a child with pneumonia", "infected lungs",
    "pneumonic infiltrates", "positive for pneumonia", "shadowing in the lungs", "the lungs are not clear",
)  # fmt: skip
CAUSES = {
    "bacterial": (
        "a bacterial pneumonia", "pneumonia caused by bacteria", "a bacterial lung infection", "lobar pneumonia",
        "consolidation of bacterial origin", "pneumococcal pneumonia", "a child with bacterial pneumonia",
        "findings of a bacterial infection of the lung", "bacteria in the lungs",
    ),
    "viral": (
        "a viral pneumonia", "pneumonia caused by a virus", "a viral lung infection", "viral pneumonitis",
        "interstitial infiltrates of viral origin", "a child with viral pneumonia", "a virus infection of the lungs",
        "findings of a viral infection of the lung", "viral lower respiratory tract infection",
    ),
}  # fmt: skip
WHAT = ("an opacity", "consolidation", "infiltrate", "pneumonia", "airspace disease", "focal opacity", "shadowing")
PLACES = (
    "in the {side} {level} zone",
    "of the {side} {level} lung",
    "in the {side} {level} lobe",
    "{side} {level} zone",
)
ONE_SIDE = ("in the {side} lung", "on the {side} side", "{side}-sided")
ONE_LEVEL = ("in the {level} zones", "in the {level} lung fields", "{level} zone")


def described(facts: Facts) -> Iterator[tuple[str, Mask]]:
    """Sentences, each with the images that it holds for: bool (n,). What nothing is known of stands in none."""
    ill, normal = facts.labels == 1, facts.labels == 0
    for wordings, holds in ((NORMAL, normal), (ILL, ill)):
        yield from ((text, holds) for text in wordings)
    for cause, caused in CAUSES.items():
        yield from ((text, ill & (facts.causes == cause)) for text in caused)
    zone = {
        (side, level): ill & facts.zones[:, 3 * across + down]
        for across, side in enumerate(SIDES)
        for down, level in enumerate(LEVELS)
    }
    both = np.any([zone["right", level] for level in LEVELS], axis=0) & np.any(
        [zone["left", level] for level in LEVELS], axis=0
    )
    for what in WHAT:
        for (side, level), holds in zone.items():
            yield from ((f"{what} {place.format(side=side, level=level)}", holds) for place in PLACES)
        for side in SIDES:
            holds = np.any([zone[side, level] for level in LEVELS], axis=0) & ~both
            yield from ((f"{what} {place.format(side=side)}", holds) for place in ONE_SIDE)
        for level in LEVELS:
            holds = zone["right", level] | zone["left", level]
            yield from ((f"{what} {place.format(level=level)}", holds) for place in ONE_LEVEL)
        yield from ((f"{what} {place}", both) for place in ("in both lungs", "on both sides", "bilateral"))
    for cause in CAUSES:
        for (side, level), holds in zone.items():
            yield f"{cause} pneumonia in the {side} {level} zone", holds & (facts.causes == cause)


def fit(vectors: Vectors, facts: Facts) -> Vectors:
    """What maps sentence embeddings (q, 384) with a 1 behind them into the images' space: float32 (385, d).

    vectors: training images (n, d) as the index compares them, each of length 1. Raises InputError where no sentence
    holds for enough of them.
    """
    texts, targets = [], []
    for text, holds in described(facts):
        if holds.sum() >= FEWEST:
            texts.append(text)
            targets.append(vectors[holds].mean(axis=0, dtype=np.float64))
    if not texts:
        raise InputError(f"words cannot be aligned with images: nothing is known of {FEWEST} training images or more")
    given, wanted = sentences.embedded(texts).astype(np.float64), np.array(targets)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-9)
    middle, centre = given.mean(axis=0), wanted.mean(axis=0)
    moved = given - middle
    slope = np.linalg.solve(moved.T @ moved + PENALTY * np.eye(len(middle)), moved.T @ (wanted - centre))
    return np.vstack([slope, centre - middle @ slope]).astype(np.float32)


def mapped(words: Vectors, embedded: Vectors) -> Vectors:
    """Sentence embeddings (q, 384) where `fit`'s words (385, d) put them: float32 (q, d), each of length 1."""
    placed = embedded.astype(np.float64) @ words[:-1] + words[-1]
    return np.asarray(placed / np.linalg.norm(placed, axis=1, keepdims=True).clip(1e-9), dtype=np.float32)


TAUGHT = {"pneumonia", "consolidation", "infiltrate", "opacity", "normal", "abnormality"}
"""Findings that the sentences speak of."""


def caveat(text: str) -> str | None:
    """What the words ask that no sentence taught, or None."""
    other = sorted({mention.finding.replace("_", " ") for mention in read(text)} - TAUGHT)
    if other:
        return (
            "this embedder was taught normal films, pneumonia, its cause and its zone; it cannot tell "
            f"{', '.join(other)}, and the hits say nothing of that"
        )
    nearest = float((_learnt() @ sentences.embedded([text])[0]).max())
    if nearest < NEAR:
        return (
            f"these words are unlike all that this embedder was taught (cosine to the nearest {nearest:.2f}): it knows "
            "normal films, pneumonia, its cause and its zone, and the hits may mean nothing"
        )
    return None


@cache
def _learnt() -> Vectors:
    """Embeddings of every sentence there is."""
    nothing = Facts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=str), np.zeros((0, len(ZONES)), dtype=bool))
    return sentences.embedded([text for text, _ in described(nothing)])
