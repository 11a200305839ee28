"""Charts of embeddings: retrieval precision, and two-dimensional maps of all images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from engine.charts.style import (
    GREEN,
    GREY,
    LABEL_COLOURS,
    OUTCOME_COLOURS,
    PALETTE,
    counted,
    finished,
    floor,
    numbers,
    whiskers,
)
from engine.labels import CLASSES

Box = tuple[float, float, float, float]
"""Left, right, lower and upper edge."""
LAYERS = {"no outcome": 0, "TP": 1, "TN": 1}
"""Drawing order of outcomes on the map; outcomes not listed are drawn on top."""
FAILED, MARKED = "datum.outcome === 'FN' || datum.outcome === 'FP'", "datum.marked"
"""Vega expressions for the highlighted points of the map."""
UNKNOWN = "unknown"
"""Name of points whose colour value is unknown."""
CLEAR = "dblclick, window:keydown[event.key === 'Escape']"
"""Vega events that clear the box on the map, in addition to a click outside it."""


def precision_at_k(table: pd.DataFrame, *, chance: float | None = None, synthetic: bool = False) -> alt.LayerChart:
    """P@k of each embedder with its interval, and the chance level.

    table: columns embedder, k, value, low, high (NaN where unknown), n (queries). chance: in [0, 1].
    """
    colour = alt.Color(
        "embedder:N",
        title="Embedder",
        scale=alt.Scale(range=PALETTE),
        legend=alt.Legend(orient="bottom", labelLimit=400),
    )
    x, offset = alt.X("k:O", title="Number of hits (k)", axis=alt.Axis(labelAngle=0)), alt.XOffset("embedder:N")
    width = max(400, 48 * len(table))
    scale = alt.Scale(domain=[floor(table["low"].min(), table["value"].min(), chance), 1], nice=False, clamp=True)
    y = alt.Y("value:Q", title="Share of hits with the query's label (P@k)", scale=scale)
    base = alt.Chart(table.assign(top=table["high"].fillna(table["value"]))).encode(x=x, xOffset=offset)
    tips = ["embedder:N", "k:O", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")), "n:Q"]
    points = base.mark_point(size=90, filled=True, opacity=1).encode(y=y, color=colour, tooltip=tips)
    layers = [whiskers(base, "y", scale, colour), points, numbers(base, alt.Y("top:Q", scale=scale), dy=-7)]
    if chance is not None:
        level = alt.Chart(pd.DataFrame({"value": [chance], "text": [f"chance {chance:.3f}"]})).encode(y=y)
        layers += [
            level.mark_rule(color=GREY, strokeDash=[5, 4]),
            level.mark_text(align="right", dy=-7, opacity=0.7).encode(x=alt.value(width - 4), text="text:N"),
        ]
    chart = alt.layer(*layers).properties(width=width, height=320)
    subtitle = f"{counted(table['n'])} queries; bars: 95 % intervals"
    return finished(chart, "Retrieval precision at k", subtitle, synthetic)


def embedding_map(points: pd.DataFrame, *, method: str, embedder: str, synthetic: bool = False) -> alt.Chart:
    """Position of each image in a 2-D projection, coloured by label. Selection "image" picks points by image_id.

    points: columns image_id, x, y, label (1, 0 or missing); split, outcome and path are shown in the tooltip if given.
    """
    names = points["label"].map(CLASSES).fillna("unknown")
    shown = [name for name in LABEL_COLOURS if (names == name).any()]
    legend = [f"{name} (n = {(names == name).sum():,})" for name in shown]
    table = points.assign(label=names.map(dict(zip(shown, legend, strict=True))))
    scale = alt.Scale(domain=legend, range=[LABEL_COLOURS[name] for name in shown])
    colour = alt.Color("label:N", title=None, scale=scale, legend=alt.Legend(orient="bottom", labelLimit=300))
    picked = alt.selection_point(name="image", fields=["image_id"])
    bare = alt.Axis(labels=False, ticks=False, grid=False)
    tips = [f"{name}:N" for name in ("image_id", "label", "split", "outcome", "path") if name in table]
    chart = (
        alt.Chart(table)
        .mark_circle(size=34)
        .encode(
            x=alt.X("x:Q", title=f"{method} 1 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title=f"{method} 2 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            color=colour,
            opacity=alt.condition(picked, alt.value(0.7), alt.value(0.15)),
            tooltip=tips,
        )
        .add_params(picked)
        .properties(width=560, height=460)
    )
    return finished(chart, f"{method} of {embedder}", f"n = {len(table):,} images", synthetic)


def image_map(
    points: pd.DataFrame,
    *,
    method: str,
    by: str,
    counts: Mapping[str, int],
    total: int,
    box: Box | None = None,
    marked: int | None = None,
    synthetic: bool = False,
) -> alt.Chart:
    """Interactive map of all images. Interval selection "box" gives x and y, point selection "image" gives image_id.

    points: columns image_id, x, y, label (in words), outcome (TP, FP, TN, FN, no outcome), probability (in [0, 1] or
    missing), and the column named in `by`; all images or a sample. by: column that colours the points: label, outcome,
    probability, cluster or another column with at most as many values as PALETTE has colours. counts: number of images
    for each value, and total: of all, including images that are not drawn. box: initial selection as left, right, lower
    and upper edge. marked: image_id of the point highlighted with a ring.
    """
    colouring = _by_probability(points) if by == "probability" else _by_name(points, by, counts)
    table, lacking = colouring.table, colouring.lacking
    full = alt.value(0.6)
    faint = (
        alt.value(0.25) if colouring.known_of_some else full
    )  # pale next to known points; at full opacity if none is known
    sought = f"{MARKED} || {FAILED}" if by == "outcome" else MARKED
    shade = alt.when(sought).then(alt.value(1))
    shade = (shade.when(lacking).then(faint) if by in ("outcome", "probability") else shade).otherwise(full)
    size = alt.when(MARKED).then(alt.value(300)).when(sought).then(alt.value(60)).otherwise(alt.value(22))
    chosen = {} if box is None else {"value": {"x": list(box[:2]), "y": list(box[2:])}}
    bare = alt.Axis(labels=False, ticks=False, grid=False)
    # one text computed here, because the browser would compute four of them for each of thousands of points
    facts = table[["image_id", "label", "outcome", "probability"]].itertuples(index=False)
    table = table.assign(text=[_tooltip(*point) for point in facts], marked=table["image_id"] == marked)
    table = table.sort_values("marked", kind="stable")
    chart = (
        alt.Chart(table)
        .mark_circle(cursor="pointer", invalid="show")
        .encode(
            x=alt.X("x:Q", title=f"{method} 1 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title=f"{method} 2 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            color=colouring.colour,
            opacity=shade,
            size=size,
            stroke=alt.when(MARKED).then(alt.value(GREEN)).otherwise(alt.value(None)),
            strokeWidth=alt.when(MARKED).then(alt.value(5)).otherwise(alt.value(0)),
            tooltip="text:N",
        )
        .add_params(alt.selection_interval(name="box", clear=CLEAR, **chosen))
        .add_params(alt.selection_point(name="image", fields=["image_id"]))
        .properties(width="container", height=560)
    )
    part = "" if len(table) == total else f", {len(table):,} shown"
    return finished(chart, f"{method} of all images", f"n = {total:,} images{part}{colouring.note}", synthetic)


@dataclass(frozen=True)
class _Colouring:
    """Colouring of the points of a map."""

    table: pd.DataFrame
    """The points in drawing order, the last on top."""
    colour: Any
    lacking: str
    """Vega expression for the points without a value."""
    known_of_some: bool
    note: str = ""
    """Addition to the subtitle."""


def _by_probability(points: pd.DataFrame) -> _Colouring:
    """Dark to light by the probability of pneumonia; points without one are grey and drawn below."""
    lacking = "!isValid(datum.probability)"
    table = points.sort_values("probability", key=lambda values: values.notna(), kind="stable")
    scale = alt.Scale(scheme="viridis", domain=[0, 1])
    known = alt.Color("probability:Q", title="Probability", scale=scale)
    colour = alt.condition(lacking, alt.value(GREY), known)
    count = int(table["probability"].count())
    return _Colouring(table, colour, lacking, bool(count), f", {count:,} with a probability, the others grey")


def _by_name(points: pd.DataFrame, by: str, counts: Mapping[str, int]) -> _Colouring:
    """A colour for each value of the column `by`, with its number of images in the legend; failures on top."""
    table = points.sort_values("outcome", key=lambda names: names.map(LAYERS).fillna(2), kind="stable")
    usual = {"label": LABEL_COLOURS, "outcome": OUTCOME_COLOURS, "cluster": None}
    palette = usual[by] if by in usual else _coloured(counts)
    shown = [name for name in palette or counts if counts.get(name, 0)]
    legend = {name: f"{name} (n = {counts[name]:,})" for name in shown}
    drawn = {"range": [palette[name] for name in shown]} if palette else {"scheme": "tableau10"}
    scale = alt.Scale(domain=list(legend.values()), **drawn)
    look = alt.Legend(orient="bottom", labelLimit=300, columns=5)
    return _Colouring(
        table.assign(shown=table[by].map(legend)),
        alt.Color("shown:N", title=None, scale=scale, legend=look),
        lacking="datum.outcome === 'no outcome'",
        known_of_some=any(name != "no outcome" for name in counts),
    )


def _coloured(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, grey for unknown."""
    known = [name for name in names if name != UNKNOWN]
    return {**dict(zip(known, PALETTE, strict=False)), UNKNOWN: GREY}


def _tooltip(image_id: int, label: str, outcome: str, probability: float) -> str:
    odds = "not predicted" if probability != probability else f"{probability:.3f}"  # NaN
    return f"image {image_id}: {label}, {outcome}, {odds}"
