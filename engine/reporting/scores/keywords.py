"""Keyword alignment, the score of the original tool."""

import re

from engine.reporting.scores.score import Score

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
"""Label -> (name, pattern) of the keywords that suit it; each counts once, however often it occurs."""


def keyword_alignment(text: str, label: int | None) -> Score:
    """The proportion of the keywords found in `text` that suit `label`, in [0, 1].

    value = |suiting| / (|suiting| + |contrary|) over distinct keywords of KEYWORDS. None if the label is unknown or no
    keyword occurs. Kept for comparison with the original tool; it does not see negation: 'no pneumonia' counts as a
    keyword of pneumonia. `stance` does.
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
