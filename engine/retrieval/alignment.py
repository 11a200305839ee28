"""How words find radiographs without paired reports: sentences about known facts, mapped to the images they hold for.

What a training image is known to show (label, cause, the zones with more of the classifier's heat than in most) is put
into sentences of several wordings. Each sentence's target is the mean of the images it holds for; a ridge regression
maps sentence embeddings to those means, so that a new wording lands near the images that an old one describes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.heat import LEVELS, SIDES, ZONES
from engine.reporting.findings import SIDE, ZONE, Mention, read
from engine.reporting.matching import ignored_denial
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
BOTH = "bilateral"
ONE_SIDE = ("in the {side} lung", "on the {side} side", "{side}-sided")
ONE_LEVEL = ("in the {level} zones", "in the {level} lung fields", "{level} zone")


def described(facts: Facts) -> Iterator[tuple[str, Mask]]:
    """Sentences, each with the images that it holds for: bool (n,). What nothing is known of stands in none."""
    holding = holding_for(facts)
    for wordings, concept in ((NORMAL, "normal"), (ILL, "pneumonia")):
        yield from ((text, holding[concept]) for text in wordings)
    for cause, caused in CAUSES.items():
        yield from ((text, holding[cause]) for text in caused)
    zone = {(side, level): holding[f"{side}_{level}"] for side in SIDES for level in LEVELS}
    both = holding[BOTH]
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


def holding_for(facts: Facts) -> dict[str, Mask]:
    """The concepts that the sentences speak of, each with the images that it holds for, bool (n,): normal, pneumonia,
    a pneumonia's causes and zones, and BOTH sides."""
    ill = facts.labels == 1
    zones = {zone: ill & facts.zones[:, column] for column, zone in enumerate(ZONES)}
    sides = [np.any([zones[f"{side}_{level}"] for level in LEVELS], axis=0) for side in SIDES]
    caused = {cause: ill & (facts.causes == cause) for cause in CAUSES}
    return {"normal": facts.labels == 0, "pneumonia": ill, **caused, **zones, BOTH: sides[0] & sides[1]}


@dataclass(frozen=True)
class Known:
    """What an index keeps of what its words were learnt from, so that `caveat` can tell what they were not."""

    concepts: tuple[str, ...] | None = None
    """Those of `holding_for` that enough training images show; None where that was not written down."""
    sentences: Vectors | None = None
    """Embeddings of every sentence of `described`, in order, float32 (s, 384); None where they are to be made."""


NOTHING_KNOWN = Known()


def known_from(facts: Facts) -> Known:
    """What `fit` learns from these facts."""
    shown = tuple(concept for concept, holds in holding_for(facts).items() if holds.sum() >= FEWEST)
    return Known(shown, _learnt())


def fit(vectors: Vectors, facts: Facts) -> Vectors:
    """What maps sentence embeddings (q, 384) with a 1 behind them into the images' space: float32 (385, d).

    vectors: training images (n, d) as the index compares them, each of length 1. Raises InputError where no sentence
    holds for enough of them.
    """
    rows, targets = [], []
    for row, (_, holds) in enumerate(described(facts)):
        if holds.sum() >= FEWEST:
            rows.append(row)
            targets.append(vectors[holds].mean(axis=0, dtype=np.float64))
    if not rows:
        raise InputError(f"words cannot be aligned with images: nothing is known of {FEWEST} training images or more")
    given, wanted = _learnt()[rows].astype(np.float64), np.array(targets)
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
CAUSE_WORDS = {
    "bacterial": re.compile(r"\bbacteri\w*|\b(?:pneumo|staphylo|strepto)coc\w*", re.IGNORECASE),
    "viral": re.compile(r"\bvir(?:al|us(?:es)?)\b|\binfluenza\b|\bRSV\b|\bcovid\b", re.IGNORECASE),
}
"""How words ask for a cause."""
HEALTHY = re.compile(r"\b(?:normal|healthy)\b", re.IGNORECASE)
"""How words ask for normal films, where a report would need a noun behind them."""
AROUND = re.compile(
    r"\b(?:an?|the|of|in|on|chest|films?|images?|x-?rays?|radiographs?|lungs?|zones?|lobes?|sides?|child|patients?)\b",
    re.IGNORECASE,
)
"""What may stand beside a finding and asks for nothing more."""


def caveat(text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
    """What the words ask that no sentence taught, or None; of a text that is too long, that not all of it counts.
    known: what the index's words were learnt from."""
    untold = _untaught(text, known)
    if sentences.read_whole(text):
        return untold
    longer = f"only the beginning of these words counts, as far as this embedder reads ({sentences.PIECES} word pieces)"
    return f"{longer}; {untold}" if untold else longer


def _untaught(text: str, known: Known) -> str | None:
    """What the words ask that no sentence taught, or None."""
    said = []
    mentions = read(text)
    other = sorted({mention.finding.replace("_", " ") for mention in mentions} - TAUGHT)
    if other:
        said.append(f"this embedder was taught {_subjects(known)}; it cannot tell {', '.join(other)}")
    row, cosine = _nearest(text, known)
    taught_alone = _taught_alone(text, mentions)
    if known.concepts is not None:
        of_normal = (cosine >= NEAR and row < len(NORMAL)) or (taught_alone and HEALTHY.search(text) is not None)
        asks = asked(text, mentions, of_normal=of_normal)
        untaught = [words for words, concepts in asks.items() if not concepts & set(known.concepts)]
        if untaught:
            said.append(
                f"this index was not taught {', '.join(untaught)}, which fewer than {FEWEST} of its training images "
                "are known to show"
            )
    if said:
        return f"{'; '.join(said)}, and the hits say nothing of that"
    if cosine < NEAR and not taught_alone:
        return (
            f"these words are unlike all that this embedder was taught (cosine to the nearest {cosine:.2f}): it knows "
            f"{_subjects(known)}, and the hits may mean nothing"
        )
    if any(mention.finding == "normal" and mention.polarity == "absent" for mention in mentions):
        return "that something is not normal is not heeded: hits may be normal films"
    return ignored_denial(text)


def _taught_alone(text: str, mentions: Sequence[Mention]) -> bool:
    """Whether the words name a finding that was taught, a cause or health, with its place, and nothing else."""
    if not mentions and not any(words.search(text) for words in (HEALTHY, *CAUSE_WORDS.values())):
        return False
    left = text
    for mention in reversed(mentions):
        left = f"{left[: mention.start]} {left[mention.end :]}" if mention.finding in TAUGHT else left
    for words in (HEALTHY, *CAUSE_WORDS.values(), SIDE, ZONE, AROUND):
        left = words.sub(" ", left)
    return re.search(r"\w", left) is None


def asked(text: str, mentions: Sequence[Mention], *, of_normal: bool = False) -> Mapping[str, set[str]]:
    """What the words ask for, in words, each with the concepts of which one is enough to answer: "the right lung" with
    its three zones. mentions: what `read` makes of the text. of_normal: whether a text without any is of normal films.
    """
    wanted = {f"{cause} pneumonia": {cause} for cause, words in CAUSE_WORDS.items() if words.search(text)}
    ours = [mention for mention in mentions if mention.finding in TAUGHT]
    present = [mention for mention in ours if mention.polarity != "absent" and mention.finding != "normal"]
    if (ours and not present) or (not mentions and not wanted and of_normal):
        return {**wanted, "normal films": {"normal"}}
    places = [(mention.side, mention.zone) for mention in present]
    if present:
        wanted["pneumonia"] = {"pneumonia"}
    elif not mentions:
        side, level = SIDE.search(text), ZONE.search(text)
        places = [(side.lastgroup if side else None, level.lastgroup if level else None)]
    return wanted | dict(_placed(across, down) for across, down in places if across or down)


def _placed(across: str | None, down: str | None) -> tuple[str, set[str]]:
    """A side and a level as the report reader names them, in words, and the concepts that they stand for."""
    if across == BOTH and down is None:
        return "pneumonia of both lungs", {BOTH}
    sides = [side for side in SIDES if across in (None, BOTH, side)]
    named = " ".join(part for part in (None if across == BOTH else across, down) if part)
    zones = {f"{side}_{level}" for side in sides for level in LEVELS if down in (None, level)}
    return f"pneumonia of the {named} {'zone' if down else 'lung'}", zones


def _nearest(text: str, known: Known) -> tuple[int, float]:
    """The sentence nearest to the words, by its place among `described`, where those about normal films come first, and
    its cosine."""
    cosines = (_learnt() if known.sentences is None else known.sentences) @ sentences.embedded([text])[0]
    return int(cosines.argmax()), float(cosines.max())


def _subjects(known: Known) -> str:
    """What an index's words were taught, in words; all there is where that was not written down."""
    concepts = known.concepts
    of_each = {
        "normal films": {"normal"},
        "pneumonia": {"pneumonia"},
        "its cause": set(CAUSES),
        "its zone": {*ZONES, BOTH},
    }
    *first, last = [words for words, one in of_each.items() if concepts is None or one & set(concepts)]
    return f"{', '.join(first)} and {last}" if first else last


@cache
def _learnt() -> Vectors:
    """Embeddings of every sentence there is, in order."""
    nothing = Facts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=str), np.zeros((0, len(ZONES)), dtype=bool))
    return sentences.embedded([text for text, _ in described(nothing)])
