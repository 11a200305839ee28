"""Text search without paired reports: a mapping from sentence embeddings to images, learnt from known facts.

The known facts of training images (label, cause, zones with more of the classifier's evidence than in most pneumonias)
are put into sentences of several wordings. Each sentence's target is the mean vector of the images it is true for; a
ridge regression maps sentence embeddings to these targets, so that a new wording lands near the images it describes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.imaging.heat import LEVELS, SIDES, ZONES
from engine.reporting.findings import SIDE, ZONE, Mention, read
from engine.reporting.matching import ignored_denial
from engine.retrieval import sentences

Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

VERSION = 2
"""Incremented when sentences, targets or weights change."""
ZONE_WEIGHT = 2.0
"""Weight of the zones, the last entries of an aligned vector, relative to its features, which have length 1."""
PENALTY = 0.03
"""L2 penalty of the ridge regression. Like ZONE_WEIGHT chosen by leave-one-sentence-out search on training images."""
FEWEST = 5
"""Minimum number of images that a sentence must be true for to be used."""
NEAR = 0.5
"""Minimum cosine similarity to the nearest training sentence; below it, a text is unlike all of them."""


@dataclass(frozen=True)
class Facts:
    """Known facts about n images. labels: int (n,), 1 or 0, -1 if unknown. causes: str (n,), "" if unknown. zones: bool
    (n, 6), where more of the classifier's evidence lies than in most pneumonias (`engine.imaging.heat.prominent`)."""

    labels: NDArray[np.int64]
    causes: NDArray[np.str_]
    zones: Mask


def zone_evidence(raw: Vectors) -> NDArray[np.float64]:
    """The zone evidence (`engine.imaging.heat.evidence`), (n, 6), stored in the last entries of aligned vectors (n, d).

    raw: vectors as the embedder gives them, before centring.
    """
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
    """Sentences, each with the images it is true for: bool (n,). Images without known facts are in none."""
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
    """The concepts used in the sentences, each with the images it is true for, bool (n,): normal, pneumonia, the causes
    and zones of pneumonia, and BOTH sides."""
    ill = facts.labels == 1
    zones = {zone: ill & facts.zones[:, column] for column, zone in enumerate(ZONES)}
    sides = [np.any([zones[f"{side}_{level}"] for level in LEVELS], axis=0) for side in SIDES]
    caused = {cause: ill & (facts.causes == cause) for cause in CAUSES}
    return {"normal": facts.labels == 0, "pneumonia": ill, **caused, **zones, BOTH: sides[0] & sides[1]}


@dataclass(frozen=True)
class Known:
    """What an index's text mapping was learnt from; `caveat` needs it to say what was not learnt."""

    concepts: tuple[str, ...] | None = None
    """The concepts of `holding_for` with at least FEWEST training images; None if that was not recorded."""
    sentences: Vectors | None = None
    """Embeddings of all sentences of `described`, in order, float32 (s, 384); None if they are to be computed."""


NOTHING_KNOWN = Known()


def known_from(facts: Facts) -> Known:
    """A record of what `fit` learns from these facts."""
    shown = tuple(concept for concept, holds in holding_for(facts).items() if holds.sum() >= FEWEST)
    return Known(shown, _learnt())


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
    given, wanted = _learnt()[rows].astype(np.float64), np.array(targets)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True).clip(1e-9)
    middle, centre = given.mean(axis=0), wanted.mean(axis=0)
    moved = given - middle
    slope = np.linalg.solve(moved.T @ moved + PENALTY * np.eye(len(middle)), moved.T @ (wanted - centre))
    return np.vstack([slope, centre - middle @ slope]).astype(np.float32)


def mapped(words: Vectors, embedded: Vectors) -> Vectors:
    """Sentence embeddings (q, 384) mapped by the result of `fit`, words (385, d): float32 (q, d), each of length 1."""
    placed = embedded.astype(np.float64) @ words[:-1] + words[-1]
    return np.asarray(placed / np.linalg.norm(placed, axis=1, keepdims=True).clip(1e-9), dtype=np.float32)


TAUGHT = {"pneumonia", "consolidation", "infiltrate", "opacity", "normal", "abnormality"}
"""Findings that occur in the sentences."""
CAUSE_WORDS = {
    "bacterial": re.compile(r"\bbacteri\w*|\b(?:pneumo|staphylo|strepto)coc\w*", re.IGNORECASE),
    "viral": re.compile(r"\bvir(?:al|us(?:es)?)\b|\binfluenza\b|\bRSV\b|\bcovid\b", re.IGNORECASE),
}
"""Words that ask for a cause."""
HEALTHY = re.compile(r"\b(?:normal|healthy)\b", re.IGNORECASE)
"""Words that ask for normal images on their own, although in a report they would need a noun."""
AROUND = re.compile(
    r"\b(?:an?|the|of|in|on|chest|films?|images?|x-?rays?|radiographs?|lungs?|zones?|lobes?|sides?|child|patients?)\b",
    re.IGNORECASE,
)
"""Words that may accompany a finding without asking for anything else."""


def caveat(text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
    """A warning about what a text asks for that was not learnt, or that only its beginning is used; None for neither.

    known: what the index's text mapping was learnt from.
    """
    untaught = _untaught(text, known)
    if sentences.read_whole(text):
        return untaught
    longer = f"only the beginning of these words counts: this embedder reads {sentences.PIECES} word pieces at most"
    return f"{longer}; {untaught}" if untaught else longer


def _untaught(text: str, known: Known) -> str | None:
    """A warning about what a text asks for that was not learnt, or None."""
    parts = []
    mentions = read(text)
    other = sorted({mention.finding.replace("_", " ") for mention in mentions} - TAUGHT)
    if other:
        parts.append(f"this embedder was taught {_subjects(known)}; it cannot tell {', '.join(other)}")
    row, cosine = _nearest(text, known)
    taught_alone = _taught_alone(text, mentions)
    if known.concepts is not None:
        of_normal = (cosine >= NEAR and row < len(NORMAL)) or (taught_alone and HEALTHY.search(text) is not None)
        asks = asked(text, mentions, of_normal=of_normal)
        untaught = [words for words, concepts in asks.items() if not concepts & set(known.concepts)]
        if untaught:
            parts.append(
                f"this index was not taught {', '.join(untaught)}, which fewer than {FEWEST} of its training images "
                "are known to show"
            )
    if parts:
        return f"{'; '.join(parts)}, so the hits do not reflect it"
    if cosine < NEAR and not taught_alone:
        return (
            f"these words are unlike everything this embedder was taught (highest cosine {cosine:.2f}): it knows "
            f"{_subjects(known)}, so the hits may be meaningless"
        )
    if any(mention.finding == "normal" and mention.polarity == "absent" for mention in mentions):
        return "the negation of 'normal' is ignored: hits may be normal images"
    return ignored_denial(text)


def _taught_alone(text: str, mentions: Sequence[Mention]) -> bool:
    """Whether the text names only taught findings, causes or health, with their places, and nothing else."""
    if not mentions and not any(words.search(text) for words in (HEALTHY, *CAUSE_WORDS.values())):
        return False
    left = text
    for mention in reversed(mentions):
        left = f"{left[: mention.start]} {left[mention.end :]}" if mention.finding in TAUGHT else left
    for words in (HEALTHY, *CAUSE_WORDS.values(), SIDE, ZONE, AROUND):
        left = words.sub(" ", left)
    return re.search(r"\w", left) is None


def asked(text: str, mentions: Sequence[Mention], *, of_normal: bool = False) -> Mapping[str, set[str]]:
    """What a text asks for: a phrase for each wish -> concepts, any one of which answers it, such as the three zones of
    the right lung.

    mentions: the result of `read` for the text. of_normal: whether a text without mentions asks for normal images.
    """
    wanted = {f"{cause} pneumonia": {cause} for cause, words in CAUSE_WORDS.items() if words.search(text)}
    ours = [mention for mention in mentions if mention.finding in TAUGHT]
    present = [mention for mention in ours if mention.polarity != "absent" and mention.finding != "normal"]
    if (ours and not present) or (not mentions and not wanted and of_normal):
        return {**wanted, "normal images": {"normal"}}
    places = [(mention.side, mention.zone) for mention in present]
    if present:
        wanted["pneumonia"] = {"pneumonia"}
    elif not mentions:
        side, level = SIDE.search(text), ZONE.search(text)
        places = [(side.lastgroup if side else None, level.lastgroup if level else None)]
    return wanted | dict(_placed(across, down) for across, down in places if across or down)


def _placed(across: str | None, down: str | None) -> tuple[str, set[str]]:
    """A phrase for a side and a level, as named by the report reader, and the concepts they stand for."""
    if across == BOTH and down is None:
        return "pneumonia of both lungs", {BOTH}
    sides = [side for side in SIDES if across in (None, BOTH, side)]
    named = " ".join(part for part in (None if across == BOTH else across, down) if part)
    zones = {f"{side}_{level}" for side in sides for level in LEVELS if down in (None, level)}
    return f"pneumonia of the {named} {'zone' if down else 'lung'}", zones


def _nearest(text: str, known: Known) -> tuple[int, float]:
    """The nearest sentence, as its index in `described`, which starts with those about normal images, and its
    cosine."""
    cosines = (_learnt() if known.sentences is None else known.sentences) @ sentences.embedded([text])[0]
    return int(cosines.argmax()), float(cosines.max())


def _subjects(known: Known) -> str:
    """A phrase for what an index's text mapping was taught; everything there is if that was not recorded."""
    concepts = known.concepts
    of_each = {
        "normal images": {"normal"},
        "pneumonia": {"pneumonia"},
        "its cause": set(CAUSES),
        "its zone": {*ZONES, BOTH},
    }
    *first, last = [words for words, one in of_each.items() if concepts is None or one & set(concepts)]
    return f"{', '.join(first)} and {last}" if first else last


@cache
def _learnt() -> Vectors:
    """Embeddings of all sentences of `described`, in order."""
    nothing = Facts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=str), np.zeros((0, len(ZONES)), dtype=bool))
    return sentences.embedded([text for text, _ in described(nothing)])
