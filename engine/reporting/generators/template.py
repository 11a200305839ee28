"""Template reports: fixed sentences filled in from the probability and the heatmap's zones.

They say only what the classifier knows: how likely pneumonia is, which zones its evidence lies in, and that heart and
pleura were not assessed. No sign is reported as seen, because the classifier does not detect signs.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

from engine.imaging.heat import leading_zones
from engine.reporting.generators import Case, Generated, Outcome
from engine.reporting.prompts import PromptStrategy

Verdict = Literal["pneumonia", "undecided", "normal"]

SURE = 0.9
"""Probability of the verdict from which the wording says 'very'."""

NOT_ASSESSED = "Not assessed by this model."
REST = "Heart and pleura: not assessed by this model."


@dataclass(frozen=True)
class Reading:
    """The case as the phrases that sentences are made from."""

    verdict: Verdict
    likelihood: str
    probability: str
    complement: str
    operating_point: str
    zones: str
    located: bool
    leaning_normal: bool
    called: bool


def read(case: Case) -> Reading:
    """The case as phrases.

    The verdict is undecided between the lowest and highest of threshold, high-recall threshold and one half: a
    probability below one half is never worded as pneumonia, whatever the threshold.
    """
    points = [case.threshold, 0.5]
    if case.high_recall_threshold is not None:
        points.append(case.high_recall_threshold)
    p = case.probability
    verdict: Verdict = "pneumonia" if p >= max(points) else "normal" if p < min(points) else "undecided"
    very = "very " if (p >= SURE or p <= 1 - SURE) and verdict != "undecided" else ""
    likelihood = {"pneumonia": f"{very}likely", "undecided": "possible", "normal": f"{very}unlikely"}[verdict]
    side = "at or above" if p >= case.threshold else "below"
    return Reading(
        verdict=verdict,
        likelihood=likelihood,
        probability=_number(p),
        complement=_number(1 - p),
        operating_point=f"{side} the operating threshold of {case.threshold:.2f}",
        zones=_zones(case.zones),
        located=bool(leading_zones(case.zones or {})),
        leaning_normal=p < 0.5,
        called=p >= case.threshold,
    )


def _number(p: float) -> str:
    """The probability with two decimals, but never as 0.00 or 1.00."""
    return "below 0.01" if p < 0.01 else "above 0.99" if p > 0.99 else f"{p:.2f}"


def _zones(zones: Mapping[str, float] | None) -> str:
    """Where the heatmap points, as a clause: its leading zones, largest share first."""
    if zones is None:
        return "no heatmap tells where its evidence lies"
    if not zones:
        return "the heatmap marks no region"
    leading = leading_zones(zones)
    if not leading:
        return "the heatmap is spread over both lungs, no zone standing out"
    named = [f"the {name.replace('_', ' ')} zone ({zones[name]:.0%})" for name in leading]
    return f"the heatmap points mostly to {' and '.join(named)}"


def _evidence(r: Reading) -> str:
    """Where the classifier's evidence lies, as a sentence."""
    look = "" if r.verdict == "normal" or not r.located else "; look there for consolidation or other opacity"
    return f"{r.zones[0].upper()}{r.zones[1:]}{look}."


def _basic(r: Reading) -> str:
    opening = {
        "pneumonia": f"Pneumonia is {r.likelihood} on this radiograph",
        "undecided": "The classifier is undecided: pneumonia is possible and cannot be excluded on this radiograph",
        "normal": f"The classifier reads this radiograph as normal: pneumonia is {r.likelihood}",
    }[r.verdict]
    return f"{opening} (probability {r.probability}, {r.operating_point}). {_evidence(r)} {REST}"


def _clinical_structured(r: Reading) -> str:
    impression = {
        "pneumonia": f"Pneumonia {r.likelihood} (probability {r.probability}, {r.operating_point}). "
        "To be confirmed by a reader and by clinical findings.",
        "undecided": f"Pneumonia possible, cannot be excluded (probability {r.probability}, {r.operating_point}). "
        "A reader has to decide.",
        "normal": f"Read as normal: pneumonia {r.likelihood} (probability {r.probability}, {r.operating_point}). "
        "Other disease was not looked for.",
    }[r.verdict]
    return (
        f"LUNG FIELDS: Estimated probability of pneumonia {r.probability}. {_evidence(r)}\n"
        f"CARDIAC: {NOT_ASSESSED}\nPLEURA: {NOT_ASSESSED}\nIMPRESSION: {impression}"
    )


def _differential(r: Reading) -> str:
    speaks_for, speaks_against = ("Support", "Against") if r.called else ("Against", "Support")
    pneumonia = (
        f"Pneumonia: {r.likelihood}, probability {r.probability}. {speaks_for}: the classifier's probability is "
        f"{r.operating_point}; {r.zones}."
    )
    likely = {"pneumonia": "less likely", "undecided": "possible", "normal": "more likely"}[r.verdict]
    normal = (
        f"Normal radiograph: {likely}, probability {r.complement}. {speaks_against}: the classifier knows these two "
        "classes only, so this is the rest."
    )
    first, second = (normal, pneumonia) if r.leaning_normal else (pneumonia, normal)
    uncertainty = {
        "pneumonia": "the classifier cannot tell pneumonia from other causes of opacity, nor bacterial from viral.",
        "undecided": "the probability lies between the operating points, so the order of 1 and 2 settles nothing.",
        "normal": "disease other than pneumonia was not looked for; early or faint pneumonia can be missed.",
    }[r.verdict]
    return (
        f"Differential diagnosis, most likely first:\n1. {first}\n2. {second}\n3. Other lung, heart or pleural "
        f"disease: not assessed by this model, so not ranked.\nUncertainty: {uncertainty}"
    )


def _clinical_brief(r: Reading) -> str:
    opening = {
        "pneumonia": f"Yes, pneumonia is {r.likelihood}",
        "undecided": "Uncertain, pneumonia is possible",
        "normal": f"No, pneumonia is {r.likelihood}",
    }[r.verdict]
    where = "" if r.verdict == "normal" else f"; {r.zones}"
    return f"{opening} (probability {r.probability}, {r.operating_point}){where}. {REST}"


WORDINGS: dict[str, Callable[[Reading], str]] = {
    "basic": _basic,
    "clinical_structured": _clinical_structured,
    "differential": _differential,
    "clinical_brief": _clinical_brief,
}


def write(case: Case, strategy: str) -> str:
    """The report on `case`; a strategy without its own wording gets the basic one."""
    return WORDINGS.get(strategy, _basic)(read(case))


ZONE_PROBES: tuple[dict[str, float], ...] = (
    {},
    {"right_lower": 0.7, "left_upper": 0.3},
    {"right_lower": 0.19, "right_middle": 0.19, "right_upper": 0.19, "left_lower": 0.19, "left_middle": 0.19},
)
PROBES = tuple(
    Case(probability, 0.6, 0.3, zones)
    for probability, zones in product((0.001, 0.05, 0.2, 0.4, 0.55, 0.7, 0.95, 0.999), ZONE_PROBES)
)
"""Cases that together produce every sentence; the revision is the hash of their reports."""


class Template:
    """The offline default: same case and strategy, same text."""

    name = "template"
    settings: Mapping[str, Any] = MappingProxyType({})
    reads_pixels = False
    reads_prediction = True
    reads_nearest = 0
    batch_size = 256

    @cached_property
    def revision(self) -> str:
        """Hash of the reports on the probe cases: a changed word or rule changes it, refactoring does not."""
        texts = "\n".join(write(case, strategy) for strategy, case in product(WORDINGS, PROBES))
        return hashlib.sha256(texts.encode()).hexdigest()[:16]

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        """One report for each case, all at once; tokens are words."""
        began = time.perf_counter()
        texts = [write(case, prompt.name) for case in cases]
        each = (time.perf_counter() - began) / max(len(texts), 1)
        return [{place: Generated(text, each, len(text.split())) for place, text in enumerate(texts)}]
