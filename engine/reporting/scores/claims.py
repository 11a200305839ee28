"""Scores of a report's claims: unsupported ones, contradictions, and laterality."""

import re
from collections.abc import Mapping, Sequence

from engine.reporting.findings import Mention, read
from engine.reporting.scores.score import CaseFacts, Score

MEASUREMENT = re.compile(r"\b\d+(?:[.,]\d+)?\s*(?:x\s*\d+(?:[.,]\d+)?\s*)?(?:mm|cm)\b", re.IGNORECASE)
EARLIER = re.compile(
    r"\b(?:(?:compared (?:with|to)|since|unchanged from) (?:the |an? )?)?(?:previous|prior|earlier|last) "
    r"(?:study|film|radiograph|examination|exam|image|x-?ray)s?\b"
    r"|\binterval (?:change|increase|decrease|development)\b",
    re.IGNORECASE,
)
ABSENT = re.compile(r"\b(?:no|without)\s+(?:(?:available|relevant|known|recent)\s+)*$", re.IGNORECASE)
"""Before an earlier study: there was none, which is true."""
HISTORY = re.compile(
    r"\b(?:history of|year[- ]old|presents? with|admitted|treated for|post-?operative)\b", re.IGNORECASE
)


def unsupported(text: str, mentions: Sequence[Mention], known: CaseFacts) -> Score:
    """The number of unsupported claims, 0 or more.

    With a reference report, every asserted finding that it does not assert counts. Without one, asserted pneumonia and
    signs of it count if the image's label is normal, and findings unrelated to pneumonia are only listed as unverified.
    Measurements always count, because the images have no scale, and so do earlier studies and clinical history, because
    no generator was shown any.
    """
    claimed = [mention for mention in mentions if mention.polarity == "present"]
    asserted = set()
    if known.reference is not None:
        asserted = {mention.finding for mention in read(known.reference) if mention.polarity == "present"}
    without: list[str] = []
    unverified: list[str] = []
    for mention in claimed:
        if mention.tier in ("abnormality", "normality"):
            continue
        if known.reference is not None:
            if mention.finding not in asserted:
                without.append(f"{mention.term}: not in the reference report")
        elif mention.tier == "other":
            unverified.append(mention.term)
        elif known.label == 0:
            without.append(f"{mention.term}: the image is labelled normal")
    for pattern, why in (
        (MEASUREMENT, "no scale"),
        (EARLIER, "no earlier study was shown"),
        (HISTORY, "no history was told"),
    ):
        without += [f"{found[0]}: {why}" for found in pattern.finditer(text) if not _denied(found, text)]
    return Score("unsupported", float(len(without)), {"claims": without, "unverified": unverified})


def _denied(found: re.Match[str], text: str) -> bool:
    """Whether the text only says that there was no earlier study. 'No interval change' claims one."""
    alone = re.match("previous|prior|earlier|last", found[0], re.IGNORECASE)
    return alone is not None and ABSENT.search(text[: found.start()]) is not None


def contradictions(mentions: Sequence[Mention]) -> Score:
    """The number of findings that the report both asserts and negates in the same place.

    Places differ only if both are named and different; a bilateral finding is on either side. Historical mentions do
    not contradict the current state.
    """
    found = {
        one.finding
        for one in mentions
        for other in mentions
        if one.finding == other.finding
        and (one.polarity, other.polarity) == ("present", "absent")
        and _meet(one, other)
    }
    return Score("contradictions", float(len(found)), {"findings": sorted(found)})


def _meet(one: Mention, other: Mention) -> bool:
    sides = {one.side, other.side} - {None, "bilateral"}
    zones = {one.zone, other.zone} - {None}
    return len(sides) < 2 and len(zones) < 2


def laterality(mentions: Sequence[Mention], known: CaseFacts) -> Score:
    """The proportion of asserted mentions of pneumonia and its signs whose side agrees with the heatmap, in [0, 1].

    A one-sided mention agrees if that side has at least half of the heat, a bilateral one if each side has at least a
    quarter. None without a mention with a side or without heat.
    """
    claimed = (m for m in mentions if m.polarity == "present" and m.tier in ("diagnosis", "sign"))
    return sides_of_heat([m.side for m in claimed if m.side], known.zones)


def sides_of_heat(sides: Sequence[str], zones: Mapping[str, float]) -> Score:
    """`laterality` for mentions with these sides (right, left or bilateral). zones: as in CaseFacts."""
    if not sides or not zones:
        return Score("laterality", None)
    heat = {side: sum(share for zone, share in zones.items() if zone.startswith(side)) for side in ("right", "left")}
    right = [min(heat.values()) >= 0.25 if side == "bilateral" else heat[side] >= 0.5 for side in sides]
    return Score("laterality", sum(right) / len(right), {"sides": list(sides), "heat": heat})
