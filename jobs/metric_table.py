"""Stored metrics as a text table, as `evaluate` and `audit` print them."""

from collections.abc import Sequence

from db.models import Metric
from engine.metrics.names import DIFFERENCE


def table(metrics: Sequence[Metric]) -> list[str]:
    """The metrics as lines of a text table, test first, with the coverage as slice if they have one. Leaves out
    differences between strategies that are exactly 0, and retrieval metrics by class or cause, which the exported
    reports have."""
    metrics = [row for row in metrics if not (row.name.endswith(DIFFERENCE) and row.low == row.high == 0)]
    metrics = [row for row in metrics if row.split == "reports" or " / " not in row.slice]
    slices = [row.slice if row.step < 0 else f"coverage {row.step} %" for row in metrics]
    wide, named = max(map(len, slices)), max(len(row.name) for row in metrics)
    lines = [f"{'split':<8} {'slice':<{wide}} {'metric':<{named}} {'value':>8}  {'95 % interval':<18} {'n':>6}"]
    for where, row in sorted(zip(slices, metrics, strict=True), key=lambda pair: pair[1].split != "test"):
        digits = 0 if row.name.startswith("confusion") else 4
        value = "unknown" if row.value is None else f"{row.value:.{digits}f}"
        span = "" if row.low is None else f"{row.low:.4f} to {row.high:.4f}"
        lines.append(f"{row.split:<8} {where:<{wide}} {row.name:<{named}} {value:>8}  {span:<18} {row.n:>6}")
    return lines
