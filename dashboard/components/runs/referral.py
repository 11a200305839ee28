"""How a classifier does on the images it still calls when the least certain ones are referred to a radiologist."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components import figures, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification.sides import WHOLE, Side
from db.models import Dataset, Metric
from engine.metrics.names import COVERAGES, NAMES, SELECTIVE, SELECTIVE_LEAST

Steps = Mapping[tuple[str, int], Metric]
"""What was measured at each coverage, by name and coverage in percent."""


def show(dataset: Dataset, side: Side, curves: Sequence[Metric], *, basis: str) -> None:
    """Accuracy by coverage, and a row for each of COVERAGES that links to the referred images; nothing if the
    evaluation measured none. curves: its metrics by step. basis: how they were measured."""
    from engine.charts import classification as charts
    from engine.charts import tables

    steps = {(metric.name, metric.step): metric for metric in curves if metric.split == side.split}
    whole = steps.get((SELECTIVE[0], 100))
    if whole is None or whole.value is None:
        return
    ranked = bool(_referred(steps, COVERAGES[-1]))
    if ranked:
        curve = tables.by_coverage(curves, split=side.split)
        chart = charts.accuracy_by_coverage(curve, images=whole.n or 0, synthetic=dataset.synthetic)
        figures.drawn(chart, height=400)
    heads = ["Coverage", ">Called", ">Referred", *(f">{NAMES[name.removeprefix('selective_')]}" for name in SELECTIVE)]
    rows = [_row(dataset, side, steps, percent) for percent in COVERAGES]
    linked.table(heads, rows, key="coverages", caption="The classifier by coverage")
    alike = "" if ranked else "The classifier is equally certain of too many images to refer any of them. "
    st.caption(
        f"{side.head}{basis}. {alike}The images closest to the threshold on the log-odds scale are referred first, "
        f"equally close ones together; all others are called. {_area(side)}Nothing is measured on fewer than "
        f"{SELECTIVE_LEAST} called files of a class."
    )


def _row(dataset: Dataset, side: Side, steps: Steps, percent: int) -> list[Cell | str]:
    """How many are called and referred at this coverage, and the metrics of those called."""
    measured = [steps.get((name, percent)) for name in SELECTIVE]
    called = (measured[0].n or 0) if measured[0] else 0
    referred = _referred(steps, percent)
    share = wording.percent(called / (called + referred)) if called else wording.UNKNOWN
    cells = [figures.in_one(metric) for metric in measured]
    return [Cell(f"{percent} %"), Cell(f"{called:,} ({share})"), _leading(dataset, side, steps, percent), *cells]


def _leading(dataset: Dataset, side: Side, steps: Steps, percent: int) -> Cell:
    """How many are referred, as a link to them, those closest to the threshold first."""
    number = _referred(steps, percent)
    low, high = (steps.get((name, percent)) for name in ("referred_low", "referred_high"))
    if not number or side.films is None or low is None or high is None:
        return Cell(f"{number:,}")
    between = {"low": low.value or None, "high": None if high.value == 1 else high.value}
    href = frame.here("cases", dataset, **{**side.films, **between, "sort": "uncertain"})
    return Cell(f"{number:,}", href, help="The referred images, closest to the threshold first")


def _referred(steps: Steps, percent: int) -> int:
    """How many files are referred at this coverage."""
    low = steps.get(("referred_low", percent))
    return (low.n or 0) if low else 0


def _area(side: Side) -> str:
    """A sentence with AURC and its value in a random and in the best order; empty if unknown."""
    area, *others = (side.metrics.get((name, WHOLE)) for name in ("aurc", "e_aurc", "accuracy"))
    values = [metric.value for metric in (area, *others) if metric is not None and metric.value is not None]
    if area is None or len(values) < 3:
        return ""
    value, excess, accuracy = values
    span = wording.interval("aurc", area.low, area.high)
    return (
        f"AURC, the error rate averaged over all coverages, is {wording.measured('aurc', value)}"
        f"{f' ({span})' if span else ''}; in random order it would be "
        f"{wording.measured('aurc', 1 - accuracy)}, with all errors referred first "
        f"{wording.measured('aurc', value - excess)}. "
    )
