"""How good a report is: keyword alignment as earlier tools counted it, and the stance it really takes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.reporting.findings import Mention, Polarity, Tier, read
from engine.reporting.prompts import PromptStrategy

Stance = Literal["pneumonia", "normal", "uncertain", "none"]

STANCE_VALUES: dict[Stance, float | None] = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}
"""How a stance is stored as a score."""

KEYWORDS: dict[int, tuple[tuple[str, str], ...]] = {
    1: (
        ("pneumonia", r"pneumonias?"),
        ("consolidation", r"consolidat\w+"),
        ("opacity", r"opacit\w+|opacificat\w+"),
        ("infiltrate", r"infiltrat\w+"),
        ("airspace", r"air-?\s?space"),
        ("infection", r"infect\w+"),
        ("inflammation", r"inflamm\w+"),
        ("air bronchogram", r"air bronchograms?"),
    ),
    0: (
        ("normal", r"normal"),
        ("clear", r"clear"),
        ("unremarkable", r"unremarkable"),
        ("healthy", r"healthy"),
        ("no acute", r"no acute"),
        ("no evidence", r"no evidence"),
        ("well aerated", r"well[- ]aerated"),
        ("no abnormality", r"no (?:\w+ ){0,2}abnormalit\w+"),
    ),
}
"""Keywords that suit each label; each counts once however often it occurs."""


@dataclass(frozen=True)
class Score:
    """One score of one report. value: None where it is unknown. detail: what it rests on, as JSON."""

    metric: str
    value: float | None
    detail: dict[str, Any] = field(default_factory=dict)


def keyword_alignment(text: str, label: int | None) -> Score:
    """Share of the keywords found in `text` that suit `label`, in [0, 1].

    value = |suiting| / (|suiting| + |contrary|) over distinct keywords of KEYWORDS. None where the label is unknown or
    no keyword occurs. Kept because earlier tools scored so; it looks at words and not at what is said: 'no pneumonia'
    counts as a keyword of pneumonia. `stance` reads the sentence.
    """
    if label is None:
        return Score("keyword_alignment", None)
    suiting, contrary = _keywords(text, label), _keywords(text, 1 - label)
    count = len(suiting) + len(contrary)
    return Score(
        "keyword_alignment", len(suiting) / count if count else None, {"suiting": suiting, "contrary": contrary}
    )


def _keywords(text: str, label: int) -> list[str]:
    return [name for name, pattern in KEYWORDS[label] if re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE)]


def stance(text: str) -> Stance:
    """What the report says about pneumonia, negation understood; 'none' where it takes no position.

    The impression speaks for the report where there is one, and the first entry for a ranked differential; where these
    are silent the whole text is read. Within that text the disease outranks its signs, which outrank words for health:
    present or uncertain signs make a stance only where the disease itself is not judged.
    """
    for region in _regions(text):
        taken = _stance(read(region))
        if taken != "none":
            return taken
    return "none"


def _regions(text: str) -> Iterable[str]:
    impression = re.search(
        r"^[\s#*_]*impression\b[\s*_]*:?(.+?)(?=^[\s#*_]*[A-Z][A-Z ]+:|\Z)", text, re.I | re.M | re.S
    )
    if impression:
        yield impression[1]
    first = re.search(r"^[\s*]*1[.)](.+?)(?=^[\s*]*2[.)]|\Z)", text, re.M | re.S)
    if first and re.search(r"differential|most likely", text, re.IGNORECASE):
        yield first[1]
    yield text


def _stance(mentions: list[Mention]) -> Stance:
    said: dict[Tier, set[Polarity]] = {"diagnosis": set(), "sign": set(), "abnormality": set(), "normality": set()}
    for mention in mentions:
        said[mention.tier].add(mention.polarity)
    disease = said["diagnosis"] - {"ignored"}
    if disease >= {"present", "absent"}:
        return "uncertain"  # the report contradicts itself
    for polarities in (disease, said["sign"]):
        if "present" in polarities:
            return "pneumonia"
        if "uncertain" in polarities:
            return "uncertain"
        if "absent" in polarities:
            return "normal"
    if "absent" in said["abnormality"] or "present" in said["normality"]:
        return "normal"
    return "uncertain" if "uncertain" in said["normality"] else "none"


def score(text: str, label: int | None, strategy: PromptStrategy) -> list[Score]:
    """Every score of one report. label: 1 pneumonia, 0 normal, None unknown.

    stance: 1 pneumonia, .5 uncertain, 0 normal, None no position. stance_agreement: 1 where the stance is the label's,
    else 0, an uncertain or missing stance included; None where the label is unknown. format: share in [0, 1] of what
    the prompt demanded that the answer holds.
    """
    taken = stance(text)
    agreement = None if label is None else float(STANCE_VALUES[taken] == label)
    held = strategy.check(text)
    return [
        keyword_alignment(text, label),
        Score("stance", STANCE_VALUES[taken], {"stance": taken}),
        Score("stance_agreement", agreement),
        Score("format", sum(held.values()) / len(held), {"missing": [name for name, here in held.items() if not here]}),
    ]
