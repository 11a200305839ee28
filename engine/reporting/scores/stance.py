"""A report's stance on pneumonia, with negation taken into account."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from engine.reporting.findings import Mention, read
from engine.reporting.phrases import Polarity
from engine.reporting.prompts import answered
from engine.reporting.scores.score import Score
from engine.reporting.sections import sections
from engine.reporting.vocabulary import Tier

Stance = Literal["pneumonia", "normal", "uncertain", "none"]

STANCE_VALUES: dict[Stance, float | None] = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}
"""How a stance is stored as a score."""


OVER = re.compile(r"\b(?:resol(?:ved|ution)|clear(?:ed|ing|ance)|disappeared|gone|no longer)\b", re.IGNORECASE)
"""Words for a disease that is over; 'a history of' it, in contrast, leaves the current state open."""


def stance(text: str) -> Stance:
    """The report's stance on pneumonia; 'none' if it takes no position.

    The impression, if there is one, and then the first entry of a ranked differential are read first; if they give no
    stance, the whole text is read. Within a text, statements about the disease take precedence over its signs, and
    those over words for normality.
    """
    for region in _regions(answered(text)):
        taken = _stance([_today(mention, region) for mention in read(region)])
        if taken != "none":
            return taken
    return "none"


def against_classifier(taken: float | None, called: bool | None) -> list[Score]:
    """Scores of a stance against the classifier's prediction.

    taken: a value of STANCE_VALUES. called: whether the classifier predicts pneumonia; without a prediction (None) both
    scores are None. classifier_agreement: 1 if the stance equals the prediction, else 0, also for an uncertain or
    missing stance. classifier_opposition: the distance between them, 0 for agreement, .5 for an uncertain stance, 1 for
    the opposite; None without a stance.
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
    """The mention; a historical one becomes absent if its clause says that the finding is over."""
    if mention.polarity != "historical":
        return mention
    clause = re.split(r"[.;\n]", text[: mention.start])[-1] + re.split(r"[.;\n]", text[mention.start :])[0]
    return replace(mention, polarity="absent") if OVER.search(clause) else mention


def _stance(mentions: list[Mention]) -> Stance:
    by_tier: dict[Tier, set[Polarity]] = {}
    for mention in mentions:
        if mention.polarity != "hypothetical":
            by_tier.setdefault(mention.tier, set()).add(mention.polarity)
    disease = by_tier.get("diagnosis", set())
    if disease >= {"present", "absent"}:
        return "uncertain"  # the report contradicts itself
    for polarities in (disease, by_tier.get("sign", set())):
        if "present" in polarities:
            return "pneumonia"
        if "uncertain" in polarities:
            return "uncertain"
        if "absent" in polarities:
            return "normal"
    if "absent" in by_tier.get("abnormality", ()) or "present" in by_tier.get("normality", ()):
        return "normal"
    return "uncertain" if "uncertain" in by_tier.get("normality", ()) else "none"
