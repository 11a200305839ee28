"""Common style of all charts: colours, headings, intervals, and output to a page or a file."""

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from engine.files import write_whole
from engine.metrics.bootstrap import Interval

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
YELLOW = "#F0E442"
GREY, INK, GRID, FAINT = "#8A8A8A", "#222222", "#E4E4E4", "#5A5A5A"
LIGHT_INK, DARK_GRID, LIGHT_FAINT = "#E4E7EA", "#363C42", "#A9AFB5"
PALETTE = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW]
"""Okabe & Ito 2008: distinguishable by colour-blind readers."""
LABEL_COLOURS = {"normal": BLUE, "pneumonia": VERMILION, "unknown": GREY}
OUTCOME_COLOURS = {"TP": BLUE, "TN": SKY, "FN": VERMILION, "FP": ORANGE, "no outcome": GREY}
ORDER_COLOURS = {"heatmap": VERMILION, "random": GREY, "centre": BLUE}
PADDING = dict.fromkeys(("left", "right", "top", "bottom"), 14)
"""Pixels around a chart, given per side because a single number breaks Streamlit's charts."""
SYNTHETIC = "SYNTHETIC phantoms: not a result on radiographs"


def save_png(chart: alt.TopLevelMixin, path: Path, *, scale: float = 2) -> None:
    """Render the chart without browser or network into a PNG that is written atomically. Raises OSError.

    scale: 2 gives 144 pixels per inch.
    """
    import vl_convert

    with alt.data_transformers.enable("default", max_rows=None):
        write_whole(path, vl_convert.vegalite_to_png(chart.to_dict(), scale=scale))


def for_page(chart: Any, *, dark: bool) -> Any:
    """The chart for a page: transparent background, and light ink in the dark theme."""
    ink, grid, faint = (LIGHT_INK, DARK_GRID, LIGHT_FAINT) if dark else (INK, GRID, FAINT)
    warned = chart.config.title.subtitleColor == VERMILION
    return _inked(chart.properties(background="transparent"), ink, grid, VERMILION if warned else faint)


def finished(chart: Any, title: str, subtitle: str, synthetic: bool) -> Any:
    """The chart with its title and, if it is synthetic, the warning."""
    lines = [subtitle, SYNTHETIC] if synthetic else [subtitle]
    heading = alt.TitleParams(title, subtitle=lines, anchor="start", offset=12)
    made = chart.properties(title=heading, background="white", padding=PADDING).configure_view(stroke=None)
    return _inked(made, INK, GRID, VERMILION if synthetic else FAINT)


def _inked(chart: Any, ink: str, grid: str, subtitle: str) -> Any:
    return (
        chart.configure_axis(
            gridColor=grid,
            domainColor=GREY,
            tickColor=GREY,
            labelColor=ink,
            titleColor=ink,
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
        )
        .configure_legend(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelColor=ink, titleColor=ink)
        .configure_text(color=ink)
        .configure_title(fontSize=16, subtitleFontSize=12, color=ink, subtitleColor=subtitle)
    )


def whiskers(base: Any, axis: str, scale: Any, colour: Any) -> Any:
    """Interval bars along `axis`, for rows with an interval."""
    known = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(strokeWidth=2)
    channel, second = (alt.X, alt.X2) if axis == "x" else (alt.Y, alt.Y2)
    return known.encode(channel("low:Q", scale=scale), second("high:Q"), color=colour)


def numbers(base: Any, at: Any, *, dy: int) -> Any:
    """Values next to their points, with three decimals."""
    return base.mark_text(fontSize=11, dy=dy).encode(at, text=alt.Text("value:Q", format=".3f"))


def floor(*values: float | None) -> float:
    """The tenth below the lowest known value, for an axis that need not start at 0."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    return max(0.0, float(np.floor(min(known, default=0.0) * 10 - 0.5) / 10))


def counted(counts: "pd.Series[int]") -> str:
    """Number of observations per point, as "n = ..."."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,}" if low == high else f"n = {low:,} to {high:,}"


def shown(name: str, interval: Interval | None) -> str:
    """A metric with its interval, for the start of a subtitle; empty if unknown."""
    if interval is None:
        return ""
    span = f" (95 % {interval.low:.3f} to {interval.high:.3f})" if np.isfinite(interval.low) else ""
    return f"{name} {interval.value:.3f}{span}; "
