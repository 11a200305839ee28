"""Warnings about what a text asks for that an index's text mapping was not taught."""

import re
from collections.abc import Mapping, Sequence

from engine.imaging.heat import LEVELS, SIDES, ZONES
from engine.reporting.findings import SIDE, ZONE, Mention, read
from engine.reporting.matching import DENIAL, ignored_denial
from engine.retrieval.text import sentences
from engine.retrieval.text.alignment import FEWEST, NOTHING_KNOWN, Known, embedded_sentences
from engine.retrieval.text.facts import BOTH, CAUSES, NORMAL

NEAR = 0.5
"""Minimum cosine similarity to the nearest training sentence; below it, a text is unlike all of them."""
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
    return _partly_denied(text, mentions) or ignored_denial(text)


def _partly_denied(text: str, mentions: Sequence[Mention]) -> str | None:
    """A warning if a text denies one cause, place or finding and leaves others open; None for a text that denies
    nothing, or pneumonia as a whole, which was taught."""
    denial = DENIAL.search(text)
    denied = [mention for mention in mentions if mention.polarity == "absent"]
    narrower = any(mention.side not in (None, BOTH) or mention.zone for mention in denied)
    narrower = narrower or any(words.search(text) for words in CAUSE_WORDS.values())
    if denial is None or not denied or not (narrower or len(denied) < len(mentions)):
        return None
    return f"this embedder was not taught what '{denial[0]}' denies here: hits may show that, or normal images"


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
    cosines = (embedded_sentences() if known.sentences is None else known.sentences) @ sentences.embedded([text])[0]
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
