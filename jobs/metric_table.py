"""Stored metrics as text tables, as `evaluate` and `audit` print them."""

from collections.abc import Sequence

from db.models import Metric
from engine.metrics.names import DIFFERENCE, display_name

SUMMARY = {
    "classification": ("auc", "recall", "specificity", "accuracy", "threshold"),
    "reports": ("stance_recall", "stance_specificity", "stance_undecided", "unsupported"),
    "retrieval": ("p_at_1", "p_at_10", "from_train_p_at_1", "from_train_p_at_10", "text_p_at_10", "chance"),
}
"""Task -> the metrics that a summary shows of it."""


def summary(metrics: Sequence[Metric]) -> list[str]:
    """The metrics of SUMMARY as a small text table for each task, with a line for each split, embedder, or model and
    prompt strategy."""
    lines = []
    for task, names in SUMMARY.items():
        cells: dict[str, dict[str, str]] = {}
        for row in sorted(metrics, key=lambda row: row.split != "test"):
            plain = row.slice == "all" if task == "classification" else " / " not in row.slice
            if row.name in names and (plain or row.split == "reports"):
                about = row.split if row.slice == "all" else row.slice
                cells.setdefault(about, {})[row.name] = _cell(row)
        if cells:
            shown = [name for name in names if any(name in line for line in cells.values())]
            rows = [[task, *map(display_name, shown)]]
            rows += [[about, *(line.get(name, "") for name in shown)] for about, line in cells.items()]
            wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["", *("  ".join(map(str.ljust, row, wide)).rstrip() for row in rows)]
    return lines


def _cell(row: Metric) -> str:
    value = "unknown" if row.value is None else f"{row.value:.3f}"
    return value if row.low is None else f"{value} ({row.low:.3f} to {row.high:.3f})"


def table(metrics: Sequence[Metric]) -> list[str]:
    """The metrics as lines of a text table, test first, with the coverage as slice if they have one. Leaves out
    differences between strategies that are exactly 0."""
    metrics = [row for row in metrics if not (row.name.endswith(DIFFERENCE) and row.low == row.high == 0)]
    slices = [row.slice if row.step < 0 else f"coverage {row.step} %" for row in metrics]
    wide, named = max(map(len, slices)), max(len(row.name) for row in metrics)
    lines = [f"{'split':<8} {'slice':<{wide}} {'metric':<{named}} {'value':>8}  {'95 % interval':<18} {'n':>6}"]
    for where, row in sorted(zip(slices, metrics, strict=True), key=lambda pair: pair[1].split != "test"):
        digits = 0 if row.name.startswith("confusion") else 4
        value = "unknown" if row.value is None else f"{row.value:.{digits}f}"
        span = "" if row.low is None else f"{row.low:.4f} to {row.high:.4f}"
        lines.append(f"{row.split:<8} {where:<{wide}} {row.name:<{named}} {value:>8}  {span:<18} {row.n:>6}")
    return lines
