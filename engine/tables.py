"""Tables as Markdown, CSV and JSON, escaped so that data is never interpreted as markup or formulas."""

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
"""First characters that make spreadsheets evaluate a cell (OWASP, CSV injection)."""
MARKUP = re.compile(r"([\\`*_\[\]<>|#~$])")


def csv_text(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV (RFC 4180) with a header line; None becomes an empty cell, and text is made `harmless`."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(headers)
    writer.writerows([harmless(value) for value in row] for row in rows)
    return stream.getvalue()


def harmless(value: Any) -> Any:
    """`value`, with a leading ' if it is text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def unquoted(text: str) -> str:
    """`text` without the ' that `harmless` put before it."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON (RFC 8259): NaN and infinities, which it cannot express, become null; types it lacks become text."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any) -> str:
    """`value` on one line of Markdown, with all markup and tags escaped."""
    return MARKUP.sub(r"\\\1", " ".join(str(value).split()))


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. Cells are Markdown: pass data through `plain` first."""
    lines = [list(headers), ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """A value with three decimals; "unknown" if it is None, NaN or infinite."""
    return "unknown" if value is None or not np.isfinite(value) else f"{value:.3f}"


def p_value(value: float | None) -> str:
    """A p-value as text: "p 0.012", or "p < 0.001", since no p-value is 0."""
    return "p < 0.001" if value is not None and value < 0.001 else f"p {number(value)}"


def span(interval: Interval) -> str:
    """An interval's limits as text, or "unknown" if one of them is not finite."""
    known = np.isfinite(interval.low) and np.isfinite(interval.high)
    return f"{interval.low:.3f} to {interval.high:.3f}" if known else "unknown"


def times(count: int) -> str:
    """A number of times in words: never, once, 3 times."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")
