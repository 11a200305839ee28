"""Charts of an audit: faithfulness of heatmaps and shortcut probes."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from engine.audit.faithfulness import MODES
from engine.charts.style import GREY, ORDER_COLOURS, PALETTE, counted, finished, floor, numbers, whiskers
from engine.metrics.names import NAMES, SEEN_UNFRAMED, SEEN_WHOLE, SUBGROUP_MEASURES
from engine.metrics.robustness import UNALTERED

PAST = {"deletion": "deleted", "insertion": "inserted"}
STRESSED = [NAMES[name] for name in SUBGROUP_MEASURES]
"""The metrics that are shown under stress."""


def faithfulness_curves(
    table: pd.DataFrame, *, group: str, modes: Sequence[str] = MODES, synthetic: bool = False
) -> alt.HConcatChart | alt.LayerChart:
    """Mean probability while pixels are deleted and inserted, for each order, with intervals as bands. modes: which of
    the two; a single one can take the width of a page's column.

    table: columns mode (deletion, insertion), order, share (of the pixels, in [0, 1]), value, low, high, n (images).
    """
    orders = [name for name in ORDER_COLOURS if (table["order"] == name).any()]
    scale = alt.Scale(domain=orders, range=[ORDER_COLOURS[name] for name in orders])
    legend = alt.Legend(orient="bottom", symbolOpacity=1)
    colour = alt.Color("order:N", title="Pixel order", scale=scale, legend=legend)
    level = alt.Scale(domain=[0, 1])

    def panel(mode: str) -> Any:
        title = f"Share of pixels {PAST[mode]}"
        base = alt.Chart(table[table["mode"] == mode]).encode(x=alt.X("share:Q", title=title), color=colour)
        value = alt.Y("value:Q", title="Mean probability of pneumonia", scale=level)
        band = base.mark_area(opacity=0.15).encode(alt.Y("low:Q", scale=level), alt.Y2("high:Q"))
        return (band + base.mark_line(strokeWidth=2.5).encode(y=value)).properties(width=380, height=280)

    panels = [panel(mode) for mode in modes]
    charts = alt.hconcat(*panels) if len(panels) > 1 else panels[0]
    subtitle = f"{group}, {counted(table['n'])} images; bands: 95 % intervals"
    subtitle += "; faithful heatmaps fall and rise fastest" if len(panels) > 1 else ""
    return finished(charts, " and ".join(modes).capitalize(), subtitle, synthetic)


def shortcut_probes(table: pd.DataFrame, *, synthetic: bool = False) -> alt.LayerChart:
    """AUC of each probe with its interval, and the chance level.

    table: columns probe, where (such as "test"), value, low, high (NaN where unknown), n (images).
    """
    wheres = sorted(table["where"].unique())
    scale = alt.Scale(domain=wheres, range=PALETTE[: len(wheres)])
    colour = alt.Color("where:N", title="Evaluated", scale=scale, legend=alt.Legend(orient="bottom"))
    axis = alt.Scale(domain=[min(0.4, floor(table["low"].min(), table["value"].min())), 1], nice=False)
    chart = _by_probe(table, alt.X("value:Q", title="AUC", scale=axis), colour, axis, none=0.5)
    subtitle = f"{counted(table['n'])} images; bars: 95 % intervals; dashed: chance"
    return finished(chart, "Shortcut probes", subtitle, synthetic)


def probe_correlations(table: pd.DataFrame, *, synthetic: bool = False) -> alt.LayerChart:
    """Rank correlation of the classifier's output with each probe's score within a label, and the line of none.

    table: as in `shortcut_probes`; where: SEEN_WHOLE, or SEEN_UNFRAMED as the reference of the frame's probes.
    """
    lowest = min(0.0, float(np.nanmin(table[["low", "value"]].to_numpy(np.float64))))
    axis = alt.Scale(domain=[max(-1.0, lowest - 0.1), 1], nice=False)
    x = alt.X("value:Q", title="Rank correlation within a label", scale=axis)
    scale = alt.Scale(domain=[SEEN_WHOLE, SEEN_UNFRAMED], range=PALETTE[:2])
    colour = alt.Color("where:N", title="Classifier sees", scale=scale, legend=alt.Legend(orient="bottom"))
    chart = _by_probe(table, x, colour, axis, none=0.0)
    subtitle = f"{counted(table['n'])} images; bars: 95 % intervals; dashed: no association"
    return finished(chart, "Is the output associated with the shortcuts?", subtitle, synthetic)


def stress_tests(table: pd.DataFrame, *, synthetic: bool = False) -> alt.LayerChart:
    """A row for each stress with its metrics as points, and the metrics without stress as dashed lines.

    table: columns stress (UNALTERED included), name (of the metric), value, low, high, n (images).
    """
    names = [name for name in STRESSED if (table["name"] == name).any()]
    scale = alt.Scale(domain=names, range=PALETTE[: len(names)])
    colour = alt.Color("name:N", title=None, scale=scale, legend=alt.Legend(orient="bottom", symbolOpacity=1))
    axis = alt.Scale(domain=[floor(table["low"].min(), table["value"].min()), 1], nice=False)
    x = alt.X("value:Q", title="AUC, recall and specificity", scale=axis)
    plain = table["stress"] == UNALTERED
    order = [UNALTERED, *table[~plain].groupby("stress")["value"].min().sort_values().index]
    y = alt.Y("stress:N", title=None, sort=order)
    base = alt.Chart(table).encode(y=y, yOffset=alt.YOffset("name:N", sort=names))
    tips = ["stress:N", "name:N", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high")), "n:Q"]
    points = base.mark_point(size=60, filled=True, opacity=1).encode(x=x, color=colour, tooltip=tips)
    lines = alt.Chart(table[plain]).mark_rule(strokeDash=[5, 4]).encode(x=x, color=colour)
    chart = alt.layer(lines, whiskers(base, "x", axis, colour), points).properties(width=560, height=alt.Step(14))
    subtitle = f"{counted(table['n'])} images; bars: 95 % intervals; dashed: without stress; lowest value first"
    return finished(chart, "Stress tests", subtitle, synthetic)


def _by_probe(table: pd.DataFrame, x: alt.X, colour: alt.Color, axis: alt.Scale, *, none: float) -> alt.LayerChart:
    """A row for each probe: points with whiskers and numbers, and a dashed line at `none`."""
    order = table["probe"].drop_duplicates().tolist()
    y = alt.Y("probe:N", title=None, sort=order, axis=alt.Axis(labelLimit=240))
    base = alt.Chart(table).encode(y=y, yOffset="where:N")
    tips = ["probe:N", "where:N", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high")), "n:Q"]
    points = base.mark_point(size=110, filled=True, opacity=1).encode(x=x, color=colour, tooltip=tips)
    chance = alt.Chart(pd.DataFrame({"value": [none]})).mark_rule(color=GREY, strokeDash=[5, 4]).encode(x=x)
    layers = [chance, whiskers(base, "x", axis, colour), points, numbers(base, x, dy=-11)]
    return alt.layer(*layers).properties(width=460, height=alt.Step(30))
