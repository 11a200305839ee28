"""How values are formatted on the pages: percentages, intervals, durations and names; unknown values say so."""

import math
import re
from datetime import datetime

from db.models import Run, now
from engine.metrics.names import DIFFERENCE, P_VALUE, SCORES, measure
from engine.tables import p_value

UNKNOWN = "unknown"
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""
LABELS: dict[int | None, str] = {1: "Pneumonia", 0: "Normal", None: "Label unknown"}
OUTCOMES = {
    "TP": "True positive",
    "FP": "False positive",
    "TN": "True negative",
    "FN": "False negative",
}


def known(value: float | None) -> bool:
    """Whether the value is neither None nor NaN."""
    return value is not None and not math.isnan(value)


def percent(value: float | None) -> str:
    """0.9843 as "98.4 %"."""
    return f"{100 * value:.1f} %" if value is not None and known(value) else UNKNOWN


def classifier(run: Run) -> str:
    """Name of a train or predict run's classifier, marked if it was imported; empty if it has no name."""
    return ", ".join([*([run.recipe] if run.recipe else []), *(["imported"] if run.imported else [])])


def measured(name: str, value: float | None) -> str:
    """A metric's value: counts unchanged, areas and scores with three decimals, proportions in percent; differences are
    signed, those of proportions in percentage points."""
    if value is None or not known(value):
        return UNKNOWN
    if name.startswith("confusion"):
        return f"{value:,.0f}"
    if name.endswith(P_VALUE):
        return p_value(value).removeprefix("p ")
    if name.endswith(DIFFERENCE):
        return f"{value:+z.3f}" if is_score(name) else f"{100 * value:+z.1f} points"
    return f"{value:.3f}" if is_score(name) else percent(value)


def is_score(name: str) -> bool:
    """Whether a metric is an area or a score rather than a proportion shown in percent."""
    return name.endswith(P_VALUE) or measure(name) in SCORES


def interval(name: str, low: float | None, high: float | None) -> str:
    """A metric's 95 % interval in its unit (for a difference, only the value carries the unit); empty if unknown."""
    if low is None or high is None or not (known(low) and known(high)):
        return ""
    if name.endswith(DIFFERENCE):
        return " to ".join(f"{end:+z.3f}" if is_score(name) else f"{100 * end:+z.1f}" for end in (low, high))
    return f"{low:.3f} to {high:.3f}" if is_score(name) else f"{100 * low:.1f} to {100 * high:.1f} %"


def count(value: int | None, one: str = "", many: str = "") -> str:
    """1234 as "1,234", followed by the noun in singular or plural if one is given."""
    if value is None:
        return UNKNOWN
    noun = one if value == 1 else many or f"{one}s"
    return f"{value:,} {noun}".strip() if one else f"{value:,}"


def duration(seconds: float | None) -> str:
    """0.25 as "250 ms", 80 as "80 s", 4000 as "67 min" and 9000 as "2 h 30 min"."""
    if seconds is None or not known(seconds):
        return UNKNOWN
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def ago(moment: datetime | None) -> str:
    """How long ago a moment was."""
    return UNKNOWN if moment is None else f"{duration(max(0.0, (now() - moment).total_seconds()))} ago"


def size(number: int) -> str:
    """Bytes as "1.2 MB"."""
    value, unit = float(number), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


BREAKS = re.compile(r"https?(?=:)|www(?=\.)|.(?=@)|[<>~-](?=(?:->?|>|=)(?!\S))|:(?=[\w+/-]+:)", re.IGNORECASE)
"""Where to break a bare URL or e-mail address, which Markdown would turn into a link, and what Streamlit would replace
with a symbol: -> with an arrow, and a name between colons with an icon or emoji."""
INDENT = re.compile(r"^[ \t]+(?=\S)", re.MULTILINE)
JOINER = "\u2060"
"""Invisible, and not part of any URL."""


def plain(text: str) -> str:
    """Text from data with Markdown escaped and URLs broken, so that it is shown verbatim and links nowhere."""
    broken = BREAKS.sub(lambda found: found[0] + JOINER, text)
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()#+-.!|<>~$:^=&" else sign for sign in broken)


def lines(markdown: str) -> str:
    """Markdown that keeps the line breaks and indentation of its source; indented lines do not become code blocks."""
    indented = INDENT.sub(lambda found: "\N{NO-BREAK SPACE}" * len(found[0].expandtabs(4)), markdown)
    return indented.replace("\n", "  \n")
