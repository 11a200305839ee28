"""Reports by retrieval: the reference report of the most similar labelled case, or the labels of such cases.

If one of them has a report, it is quoted word for word: the retrieval baseline for report generation (Endo et al. 2021,
CXR-RePaiR). Otherwise the report counts their labels. The caller chooses the cases and ensures that they are of other
patients.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Any

from engine.reporting.generators import Case, Failed, Generated, LabelledCase, Outcome
from engine.reporting.prompts import PromptStrategy

NEAREST = 5
"""Number of labelled cases; odd, so that their labels never tie."""
SILENT = "Not told by labels."
REST = "Labels say nothing of side, signs, heart and pleura."


@dataclass(frozen=True)
class Votes:
    """The labels of the nearest cases, as phrases. called: whether most of them are pneumonia."""

    called: bool
    pneumonia: str
    normal: str
    most_similar: str


def count(nearest: Sequence[LabelledCase]) -> Votes:
    """The labels of at least one case as phrases, which do not name the disease: a count of labels is not a finding."""
    ill = [case for case in nearest if case.label == 1]
    causes = Counter(case.cause for case in ill if case.cause)
    listed = ", ".join(f"{number} {cause}" for cause, number in sorted(causes.items()))
    first, total = nearest[0], len(nearest)
    same = "has" if first.label == 1 else "does not have"
    return Votes(
        called=2 * len(ill) > total,
        pneumonia=f"{len(ill)} of the {total} most similar labelled cases have that label{listed and f' ({listed})'}",
        normal=f"{total - len(ill)} of the {total} most similar labelled cases have that label",
        most_similar=f"The most similar, case {first.number} (cosine {first.similarity:.2f}), {same} it.",
    )


def _verdict(votes: Votes) -> str:
    return "likely" if votes.called else "unlikely"


def _basic(votes: Votes) -> str:
    return f"Pneumonia is {_verdict(votes)}: {votes.pneumonia}. {votes.most_similar} {REST}"


def _clinical_structured(votes: Votes) -> str:
    return (
        f"LUNG FIELDS: {SILENT}\nCARDIAC: {SILENT}\nPLEURA: {SILENT}\n"
        f"IMPRESSION: Pneumonia {_verdict(votes)}: {votes.pneumonia}. {votes.most_similar}"
    )


def _differential(votes: Votes) -> str:
    for_it, against = ("Support", "Against") if votes.called else ("Against", "Support")
    likely, unlikely = ("more likely", "less likely") if votes.called else ("less likely", "more likely")
    pneumonia = f"Pneumonia: {likely}. {for_it}: {votes.pneumonia}."
    normal = f"Normal radiograph: {unlikely}. {against}: {votes.normal}."
    first, second = (pneumonia, normal) if votes.called else (normal, pneumonia)
    return (
        f"Differential diagnosis, most likely first:\n1. {first}\n2. {second}\n"
        f"Uncertainty: pictures that look alike need not show the same disease. {REST}"
    )


def _clinical_brief(votes: Votes) -> str:
    return f"{'Yes' if votes.called else 'No'}, pneumonia is {_verdict(votes)}: {votes.pneumonia}. {REST}"


WORDINGS: dict[str, Callable[[Votes], str]] = {
    "basic": _basic,
    "clinical_structured": _clinical_structured,
    "differential": _differential,
    "clinical_brief": _clinical_brief,
}


def write(nearest: Sequence[LabelledCase], strategy: str) -> str:
    """The report; a strategy without its own wording gets the basic one. nearest: at least one case."""
    for case in nearest:
        if case.report:
            source = f"case {case.number}, the most similar with a report (cosine {case.similarity:.2f})"
            return f"{case.report}\n\nQuoted word for word from {source}; it describes another patient."
    return WORDINGS.get(strategy, _basic)(count(nearest))


PROBES = tuple(
    tuple(LabelledCase(place, label, cause, 0.9, report) for place, label in enumerate(labels))
    for labels, cause, report in product(product((0, 1), repeat=2), (None, "viral"), (None, "Text."))
)
"""Lists of cases that together produce every sentence; the revision is the hash of their reports."""


class Nearest:
    """`nearest`: quotes the report of the nearest labelled case, or counts the labels of the nearest five."""

    name = "nearest"
    settings: Mapping[str, Any] = MappingProxyType({})
    reads_pixels = False
    reads_prediction = False
    reads_nearest = NEAREST
    batch_size = 256

    @cached_property
    def revision(self) -> str:
        """Hash of NEAREST and the reports on the probe cases."""
        texts = [write(nearest, strategy) for strategy, nearest in product(WORDINGS, PROBES)]
        return hashlib.sha256("\n".join([str(NEAREST), *texts]).encode()).hexdigest()[:16]

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        """One report for each case, all at once; tokens are words."""
        began = time.perf_counter()
        texts = [write(case.nearest, prompt.name) if case.nearest else None for case in cases]
        each = (time.perf_counter() - began) / max(len(texts), 1)
        absent = Failed("the index holds no labelled case of another patient")
        made = [absent if text is None else Generated(text, each, len(text.split())) for text in texts]
        return [dict(enumerate(made))]
