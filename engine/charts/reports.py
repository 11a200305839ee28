"""Charts of reports: comparison of prompt strategies and models."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from engine.charts.style import PALETTE, counted, finished, numbers, whiskers


def prompt_comparison(tables: Mapping[str, pd.DataFrame], *, synthetic: bool = False) -> alt.HConcatChart:
    """Mean report scores of each prompt strategy and model, with intervals, one panel per score.

    tables: name of the score -> columns model, strategy, value, low, high (NaN where unknown), n (reports). Every
    panel orders strategies by the first score.
    """
    first = next(iter(tables.values()))
    order = first.groupby("strategy")["value"].mean().sort_values(ascending=False).index.tolist()
    colour = alt.Color(
        "model:N", title="Model", scale=alt.Scale(range=PALETTE), legend=alt.Legend(orient="bottom", labelLimit=400)
    )
    panels: list[alt.LayerChart] = []
    for score, table in tables.items():
        y = alt.Y("strategy:N", title=None if panels else "Prompt strategy", sort=order, axis=alt.Axis(labelLimit=240))
        top = max(1.0, float(np.nanmax([*table["value"], *table["high"]])))
        bottom = min(0.0, float(np.nanmin([*table["value"], *table["low"]])))
        scale = alt.Scale(domain=[bottom, top])
        x = alt.X("value:Q", title=f"{score} (mean score)", scale=scale)
        base = alt.Chart(table).encode(y=y, yOffset="model:N")
        tips = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
        points = base.mark_point(size=110, filled=True, opacity=1)
        points = points.encode(x=x, color=colour, tooltip=["model:N", "strategy:N", *tips, "n:Q"])
        layers = alt.layer(whiskers(base, "x", scale, colour), points, numbers(base, x, dy=-12))
        panels.append(layers.properties(width=400, height=alt.Step(34)))
    chart = alt.hconcat(*panels, spacing=30)
    subtitle = f"{counted(pd.concat(tables.values())['n'])} reports per point; bars: 95 % intervals"
    return finished(chart, "Reports by prompt strategy", subtitle, synthetic)
