"""What a report claims: without support, against itself, and on the wrong side."""

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
HISTORY = re.compile(
    r"\b(?:history of|year[- ]old|presents? with|admitted|treated for|post-?operative)\b", re.IGNORECASE
)


def unsupported(text: str, mentions: Sequence[Mention], known: CaseFacts) -> Score:
    """How many claims rest on nothing the writer could know: a count, 0 or more.

    Counted: pneumonia or a sign of it asserted where the image's label is normal; a finding asserted that the reference
    report, where there is one, does not assert; measurements, which a film without a scale does not give; earlier
    studies and clinical history, which no writer was shown. Findings that do not bear on pneumonia and have no
    reference report to be held against are listed as unverified, not counted.
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
        without += [f"{found[0]}: {why}" for found in pattern.finditer(text)]
    return Score("unsupported", float(len(without)), {"claims": without, "unverified": unverified})


def contradictions(mentions: Sequence[Mention]) -> Score:
    """How many findings the report both asserts and denies in the same place: a count.

    Places are the same unless both are named and differ; a bilateral finding is on either side. An earlier state does
    not contradict today's.
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
    """Share of the sided claims of pneumonia and its signs that lie where the heatmap does: in [0, 1].

    A claim on one side counts where that side holds at least half of the heat, a bilateral one where each side holds at
    least a quarter. None without a sided claim or without heat.
    """
    claimed = (m for m in mentions if m.polarity == "present" and m.tier in ("diagnosis", "sign"))
    return sides_of_heat([m.side for m in claimed if m.side], known.zones)


def sides_of_heat(sides: Sequence[str], zones: Mapping[str, float]) -> Score:
    """`laterality` of claims on these sides: right, left or bilateral. zones: as CaseFacts has them."""
    if not sides or not zones:
        return Score("laterality", None)
    heat = {side: sum(share for zone, share in zones.items() if zone.startswith(side)) for side in ("right", "left")}
    right = [min(heat.values()) >= 0.25 if side == "bilateral" else heat[side] >= 0.5 for side in sides]
    return Score("laterality", sum(right) / len(right), {"sides": list(sides), "heat": heat})
