"""How tables leave the program: Markdown, CSV and JSON in which data stays data."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from engine.metrics.bootstrap import Interval

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes spreadsheets run a cell (OWASP, CSV injection)."""
MARKUP = re.compile(r"([\\`*_\[\]<>|#~$])")


def csv_text(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV (RFC 4180) with a header line; None is empty, text that a spreadsheet would run gets a leading '."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(headers)
    writer.writerows([harmless(value) for value in row] for row in rows)
    return stream.getvalue()


def harmless(value: Any) -> Any:
    """`value`, with a leading ' where it is text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON (RFC 8259), which has no word for what is not finite: NaN and infinities are null. Times are text."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any) -> str:
    """`value` on one line of Markdown, with every mark and tag shown instead of obeyed."""
    return MARKUP.sub(r"\\\1", " ".join(str(value).split()))


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown, so pass data through `plain`."""
    lines = [list(headers), ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """A value for reading; unknown where it is None or NaN."""
    return "unknown" if value is None or not np.isfinite(value) else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """A p-value for reading: "p 0.012", or "p < 0.001", as none is 0."""
    return "p < 0.001" if value is not None and value < 0.001 else f"p {number(value)}"


def span(interval: Interval) -> str:
    """An interval for reading, or unknown."""
    known = np.isfinite(interval.low) and np.isfinite(interval.high)
    return f"{interval.low:.3f} to {interval.high:.3f}" if known else "unknown"


def times(count: int) -> str:
    """How often, in words: never, once, 3 times."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")
