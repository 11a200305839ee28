"""The stance a report takes on pneumonia, negation understood."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from engine.reporting.context import Polarity
from engine.reporting.findings import Mention, read
from engine.reporting.prompts import answered
from engine.reporting.scores.score import Score
from engine.reporting.sections import sections
from engine.reporting.vocabulary import Tier

Stance = Literal["pneumonia", "normal", "uncertain", "none"]

STANCE_VALUES: dict[Stance, float | None] = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}
"""How a stance is stored as a score."""


OVER = re.compile(r"\b(?:resol(?:ved|ution)|clear(?:ed|ing|ance)|disappeared|gone|no longer)\b", re.IGNORECASE)
"""What a sentence says of a disease that was there and is no more; 'a history of' it leaves today open."""


def stance(text: str) -> Stance:
    """What the report says about pneumonia, negation understood; 'none' where it takes no position.

    The impression speaks for the report where there is one, and the first entry for a ranked differential; where these
    are silent the whole text is read. Within that text the disease outranks its signs, which outrank words for health:
    present or uncertain signs make a stance only where the disease itself is not judged.
    """
    for region in _regions(answered(text)):
        taken = _stance([_today(mention, region) for mention in read(region)])
        if taken != "none":
            return taken
    return "none"


def against_classifier(taken: float | None, called: bool | None) -> list[Score]:
    """How a stance, one of STANCE_VALUES' values, stands to a classifier's call of pneumonia; None where it made none.

    classifier_agreement: 1 where the stance is the call's, else 0, an uncertain or missing stance included.
    classifier_opposition: how far it lies from the call, 0 on its side, .5 uncertain, 1 on the other; None without one.
    """
    agrees = None if called is None else float(taken == float(called))
    opposed = None if taken is None or called is None else abs(taken - called)
    return [Score("classifier_agreement", agrees), Score("classifier_opposition", opposed)]


def _regions(text: str) -> Iterable[str]:
    impression = [text[part.body : part.end] for part in sections(text) if part.name == "impression"]
    if impression:
        yield "\n".join(impression)
    first = re.search(r"^[\s*]*1[.)](.+?)(?=^[\s*]*2[.)]|\Z)", text, re.M | re.S)
    if first and re.search(r"differential|most likely", text, re.IGNORECASE):
        yield first[1]
    yield text


def _today(mention: Mention, text: str) -> Mention:
    """The mention, absent where its clause says that it was there and is over."""
    if mention.polarity != "historical":
        return mention
    clause = re.split(r"[.;\n]", text[: mention.start])[-1] + re.split(r"[.;\n]", text[mention.start :])[0]
    return replace(mention, polarity="absent") if OVER.search(clause) else mention


def _stance(mentions: list[Mention]) -> Stance:
    said: dict[Tier, set[Polarity]] = {}
    for mention in mentions:
        if mention.polarity != "hypothetical":
            said.setdefault(mention.tier, set()).add(mention.polarity)
    disease = said.get("diagnosis", set())
    if disease >= {"present", "absent"}:
        return "uncertain"  # the report contradicts itself
    for polarities in (disease, said.get("sign", set())):
        if "present" in polarities:
            return "pneumonia"
        if "uncertain" in polarities:
            return "uncertain"
        if "absent" in polarities:
            return "normal"
    if "absent" in said.get("abnormality", ()) or "present" in said.get("normality", ()):
        return "normal"
    return "uncertain" if "uncertain" in said.get("normality", ()) else "none"
