"""How figures look: tables of results -> Altair charts, the same on the pages and in the exported PNGs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from engine.files import write_whole
from engine.metrics.bootstrap import Interval
from engine.metrics.classification import Sample, measure, reliability, youden_threshold
from engine.metrics.classification import roc_curve as roc_points

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GREY, INK, GRID, FAINT = "#8A8A8A", "#222222", "#E4E4E4", "#5A5A5A"
LIGHT_INK, DARK_GRID, LIGHT_FAINT = "#E4E7EA", "#363C42", "#A9AFB5"
PALETTE = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY]
"""Okabe & Ito 2008: told apart by colour-blind readers."""
LABEL_COLOURS = {"normal": BLUE, "pneumonia": VERMILION, "unknown": "#8A8A8A"}
ORDER_COLOURS = {"heatmap": VERMILION, "random": GREY, "centre": BLUE}
PADDING = dict.fromkeys(("left", "right", "top", "bottom"), 14)
"""Pixels around a chart; side by side, since one number breaks Streamlit's charts."""
SYNTHETIC = "SYNTHETIC phantoms: not a result on radiographs"


def training_curves(curves: pd.DataFrame, *, synthetic: bool = False) -> alt.HConcatChart:
    """Loss and validation AUC by epoch: a thin line for each fold, a thick one for their mean.

    curves: columns split ("fold0", ...), name (train_loss, valid_loss, valid_auc), step (epoch from 0), value.
    """
    table = curves.assign(
        epoch=curves["step"] + 1,
        curve=curves["name"].map({"train_loss": "training", "valid_loss": "validation", "valid_auc": "validation"}),
    )
    colour = alt.Color(
        "curve:N",
        title=None,
        scale=alt.Scale(domain=["training", "validation"], range=[BLUE, VERMILION]),
        legend=alt.Legend(orient="top", symbolOpacity=1),
    )

    def panel(names: Sequence[str], title: str) -> Any:
        base = alt.Chart(table[table["name"].isin(names)]).encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
            color=colour,
        )
        value = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
        mean = alt.Y("mean(value):Q", title=title, scale=alt.Scale(zero=False))
        tips = ["split:N", "curve:N", "epoch:Q", alt.Tooltip("value:Q", format=".4f")]
        folds = base.mark_line(strokeWidth=1, opacity=0.35).encode(y=value, detail="split:N", tooltip=tips)
        thick = base.mark_line(strokeWidth=3).encode(y=mean)
        dots = base.mark_point(size=30, filled=True, opacity=1).encode(y=mean)
        return (folds + thick + dots).properties(width=380, height=280)

    folds = table["split"].nunique()
    charts = alt.hconcat(
        panel(["train_loss", "valid_loss"], "Loss (cross-entropy, nats)"), panel(["valid_auc"], "Validation AUC")
    )
    told = f"thick: mean of {folds} folds; thin: each fold" if folds > 1 else "one fold so far"
    return _finished(charts, "Training curves", told, synthetic)


def confusion_matrix(
    *, tp: int, fp: int, tn: int, fn: int, normalised: bool = False, threshold: float | None = None, synthetic: bool
) -> alt.LayerChart:
    """The four counts; normalised: each row as the share of its true label."""
    rows = [("normal", "normal", tn), ("normal", "pneumonia", fp), ("pneumonia", "normal", fn)]
    table = pd.DataFrame([*rows, ("pneumonia", "pneumonia", tp)], columns=["truth", "called", "images"])
    table["share"] = table["images"] / table.groupby("truth")["images"].transform("sum")
    table["text"] = [
        f"{share:.1%}" if normalised and np.isfinite(share) else f"{count:,}"
        for share, count in zip(table["share"], table["images"], strict=True)
    ]
    field = "share" if normalised else "images"
    table["dark"] = table[field] > 0.8 * table[field].max()
    order = ["normal", "pneumonia"]
    base = alt.Chart(table).encode(
        x=alt.X("called:N", title="Predicted label", sort=order, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("truth:N", title="True label", sort=order),
        tooltip=["truth:N", "called:N", alt.Tooltip("images:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
    )
    cells = base.mark_rect(stroke="white", strokeWidth=3).encode(
        color=alt.Color(f"{field}:Q", scale=alt.Scale(range=["#EAF2F8", BLUE], domainMin=0), legend=None)
    )
    text = base.mark_text(fontSize=26, fontWeight="bold").encode(
        text="text:N", color=alt.condition("datum.dark", alt.value("white"), alt.value(INK))
    )
    chart = (cells + text).properties(width=340, height=340)
    at = "" if threshold is None else f"; threshold {threshold:.3f}"
    title = "Confusion matrix, share of the true label" if normalised else "Confusion matrix, images"
    return _finished(chart, title, f"n = {tp + fp + tn + fn:,} images{at}", synthetic)


def roc_curve(
    predictions: pd.DataFrame, *, threshold: float | None = None, auc: Interval | None = None, synthetic: bool = False
) -> alt.LayerChart:
    """ROC curve with its own Youden point, and the point of the threshold in use where that is given.

    predictions: columns label (0 or 1), probability. Raises InputError where only one class is present.
    """
    curve = roc_points(predictions["label"], predictions["probability"])
    line = pd.DataFrame({"x": curve.false_positive_rate, "y": curve.true_positive_rate})
    youden = youden_threshold(predictions["label"], predictions["probability"])
    named = {"Youden point": youden} | ({} if threshold is None else {"Threshold in use": threshold})
    points = pd.DataFrame([_operating_point(predictions, value, name) for name, value in named.items()])
    x = alt.X("x:Q", title="False positive rate (1 - specificity)", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("y:Q", title="Recall (sensitivity)", scale=alt.Scale(domain=[0, 1]))
    roc = alt.Chart(line).mark_line(color=BLUE, strokeWidth=2.5).encode(x=x, y=y, order="y:Q")
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]})).mark_line(color=GREY, strokeDash=[5, 4])
    legend = alt.Legend(title=None, orient="bottom", direction="vertical", labelLimit=400, symbolStrokeWidth=2.5)
    texts = points["text"].tolist()
    marks = (
        alt.Chart(points)
        .mark_point(size=150, strokeWidth=3, fillOpacity=0)
        .encode(
            x=x,
            y=y,
            color=alt.Color("text:N", scale=alt.Scale(domain=texts, range=[VERMILION, INK]), legend=legend),
            shape=alt.Shape("text:N", scale=alt.Scale(domain=texts, range=["circle", "square"]), legend=legend),
            tooltip=["text:N"],
        )
    )
    chart = alt.layer(diagonal.encode(x=x, y=y), roc, marks).properties(width=400, height=380)
    subtitle = f"{_shown('AUC', auc)}n = {len(predictions):,} images; dashed: chance"
    return _finished(chart, "ROC curve", subtitle, synthetic)


def calibration(predictions: pd.DataFrame, *, ece: Interval | None = None, synthetic: bool = False) -> alt.LayerChart:
    """Reliability diagram: share of pneumonia against mean probability in 15 bins; area of a point: its images.

    predictions: columns label (0 or 1), probability.
    """
    bins = reliability(predictions["label"], predictions["probability"])
    table = pd.DataFrame({"predicted": bins.predicted, "observed": bins.observed, "images": bins.count})
    x = alt.X("predicted:Q", title="Mean predicted probability of pneumonia", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("observed:Q", title="Share of pneumonia", scale=alt.Scale(domain=[0, 1]))
    ideal = alt.Chart(pd.DataFrame({"predicted": [0, 1], "observed": [0, 1]})).mark_line(color=GREY, strokeDash=[5, 4])
    base = alt.Chart(table).encode(x=x, y=y)
    size = alt.Size("images:Q", title="Images", scale=alt.Scale(range=[40, 700]), legend=alt.Legend(orient="bottom"))
    tips = [alt.Tooltip("images:Q"), *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("predicted", "observed"))]
    points = base.mark_circle(color=BLUE, opacity=0.8).encode(size=size, tooltip=tips)
    chart = alt.layer(ideal.encode(x=x, y=y), base.mark_line(color=BLUE, strokeWidth=1.5), points)
    subtitle = f"{_shown('ECE', ece)}n = {len(predictions):,} images; dashed: perfect calibration"
    return _finished(chart.properties(width=400, height=380), "Calibration", subtitle, synthetic)


def precision_at_k(table: pd.DataFrame, *, chance: float | None = None, synthetic: bool = False) -> alt.LayerChart:
    """P@k of each embedder with its interval, and the line that random hits would reach.

    table: columns embedder, k, value, low, high (NaN where unknown), n (queries). chance: in [0, 1].
    """
    colour = alt.Color(
        "embedder:N",
        title="Embedder",
        scale=alt.Scale(range=PALETTE),
        legend=alt.Legend(orient="bottom", labelLimit=400),
    )
    x, offset = alt.X("k:O", title="Hits looked at (k)", axis=alt.Axis(labelAngle=0)), alt.XOffset("embedder:N")
    width = max(400, 48 * len(table))
    scale = alt.Scale(domain=[_floor(table["low"].min(), table["value"].min(), chance), 1], nice=False, clamp=True)
    y = alt.Y("value:Q", title="Share of hits with the query's label (P@k)", scale=scale)
    base = alt.Chart(table.assign(top=table["high"].fillna(table["value"]))).encode(x=x, xOffset=offset)
    tips = ["embedder:N", "k:O", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")), "n:Q"]
    points = base.mark_point(size=90, filled=True, opacity=1).encode(y=y, color=colour, tooltip=tips)
    layers = [_whiskers(base, table, "y", scale, colour), points, _numbers(base, alt.Y("top:Q", scale=scale), dy=-7)]
    if chance is not None:
        level = alt.Chart(pd.DataFrame({"value": [chance], "text": [f"chance {chance:.3f}"]})).encode(y=y)
        layers += [
            level.mark_rule(color=GREY, strokeDash=[5, 4]),
            level.mark_text(align="right", dy=-7, color="#5A5A5A").encode(x=alt.value(width - 4), text="text:N"),
        ]
    chart = alt.layer(*layers).properties(width=width, height=320)
    subtitle = f"{_counted(table['n'])} queries; bars: 95 % intervals"
    return _finished(chart, "Retrieval precision at k", subtitle, synthetic)


def prompt_comparison(tables: Mapping[str, pd.DataFrame], *, synthetic: bool = False) -> alt.HConcatChart:
    """Mean report scores of each prompt strategy and model, with intervals, a panel for each score.

    tables: name of the score -> columns model, strategy, value, low, high (NaN where unknown), n (reports). Strategies
    stand in every panel as the first score orders them.
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
        numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
        points = base.mark_point(size=110, filled=True, opacity=1)
        points = points.encode(x=x, color=colour, tooltip=["model:N", "strategy:N", *numbers, "n:Q"])
        layers = alt.layer(_whiskers(base, table, "x", scale, colour), points, _numbers(base, x, dy=-12))
        panels.append(layers.properties(width=400, height=alt.Step(34)))
    chart = alt.hconcat(*panels, spacing=30)
    subtitle = f"{_counted(pd.concat(tables.values())['n'])} reports a point; bars: 95 % intervals"
    return _finished(chart, "Reports by prompt strategy", subtitle, synthetic)


def embedding_map(points: pd.DataFrame, *, method: str, embedder: str, synthetic: bool = False) -> alt.Chart:
    """Each image's place in a 2-D projection, coloured by label. Selection "image" picks points by image_id.

    points: columns image_id, x, y, label (1, 0 or missing); split, outcome and path show in the tooltip where given.
    """
    names = points["label"].map({0: "normal", 1: "pneumonia"}).fillna("unknown")
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
    return _finished(chart, f"{method} of {embedder}", f"n = {len(table):,} images", synthetic)


OUTCOME_COLOURS = {"TP": "#0072B2", "TN": "#56B4E9", "FN": "#D55E00", "FP": "#E69F00", "not judged": "#B8BCC0"}


Box = tuple[float, float, float, float]


def image_map(
    points: pd.DataFrame,
    *,
    method: str,
    by: str,
    counts: Mapping[str, int],
    total: int,
    box: Box | None = None,
    synthetic: bool = False,
) -> alt.Chart:
    """All images on a map, to be looked into. Interval selection "box" gives x and y, point selection "image" image_id.

    points: columns image_id, x, y, label (in words), outcome (TP, FP, TN, FN, not judged), probability (in [0, 1] or
    missing), cluster where by asks for it; all images or a part of them. by: label, outcome, probability or cluster,
    what the points are coloured by. counts: images under each of its names, and total: images on the map, those that
    are not drawn included. box: what is selected at first, as left, right, lower and upper edge.
    """
    table = points
    if by == "probability":
        colour = alt.Color("probability:Q", title="Probability", scale=alt.Scale(scheme="cividis", domain=[0, 1]))
    else:
        palette = {"label": LABEL_COLOURS, "outcome": OUTCOME_COLOURS}.get(by)
        shown = [name for name in palette or counts if counts.get(name, 0)]
        legend = {name: f"{name} (n = {counts[name]:,})" for name in shown}
        table = table.assign(shown=table[by].map(legend))
        table = table.sort_values("outcome", key=lambda names: names != "not judged")
        drawn = {"range": [palette[name] for name in shown]} if palette else {"scheme": "tableau10"}
        scale = alt.Scale(domain=list(legend.values()), **drawn)
        look = alt.Legend(orient="bottom", labelLimit=300, columns=5)
        colour = alt.Color("shown:N", title=None, scale=scale, legend=look)
    chosen = {} if box is None else {"value": {"x": list(box[:2]), "y": list(box[2:])}}
    bare = alt.Axis(labels=False, ticks=False, grid=False)
    # one text, made here: the browser would work out four of them for each of thousands of points
    known = table[["image_id", "label", "outcome", "probability"]].itertuples(index=False)
    table = table.assign(said=[_told(*point) for point in known])
    chart = (
        alt.Chart(table)
        .mark_circle(size=22, opacity=0.6, cursor="pointer")
        .encode(
            x=alt.X("x:Q", title=f"{method} 1 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title=f"{method} 2 (no unit)", axis=bare, scale=alt.Scale(zero=False)),
            color=colour,
            tooltip="said:N",
        )
        .add_params(alt.selection_interval(name="box", **chosen))
        .add_params(alt.selection_point(name="image", fields=["image_id"]))
        .properties(width="container", height=560)
    )
    part = "" if len(table) == total else f", {len(table):,} of them drawn"
    return _finished(chart, f"{method} of all images", f"n = {total:,} images{part}", synthetic)


def faithfulness_curves(table: pd.DataFrame, *, group: str, synthetic: bool = False) -> alt.HConcatChart:
    """Mean probability while pixels are deleted and inserted, in each order, with its interval as a band.

    table: columns mode (deletion, insertion), order, share (of the pixels, in [0, 1]), value, low, high, n (images).
    """
    orders = [name for name in ORDER_COLOURS if (table["order"] == name).any()]
    scale = alt.Scale(domain=orders, range=[ORDER_COLOURS[name] for name in orders])
    legend = alt.Legend(orient="bottom", symbolOpacity=1)
    colour = alt.Color("order:N", title="Order of the pixels", scale=scale, legend=legend)
    level = alt.Scale(domain=[0, 1])

    def panel(mode: str, title: str) -> Any:
        base = alt.Chart(table[table["mode"] == mode]).encode(x=alt.X("share:Q", title=title), color=colour)
        value = alt.Y("value:Q", title="Mean probability of pneumonia", scale=level)
        band = base.mark_area(opacity=0.15).encode(alt.Y("low:Q", scale=level), alt.Y2("high:Q"))
        return (band + base.mark_line(strokeWidth=2.5).encode(y=value)).properties(width=380, height=280)

    charts = alt.hconcat(
        panel("deletion", "Share of the pixels deleted"), panel("insertion", "Share of the pixels inserted")
    )
    subtitle = f"{group}, {_counted(table['n'])} images; bands: 95 % intervals; a faithful map falls and rises first"
    return _finished(charts, "Deletion and insertion", subtitle, synthetic)


def shortcut_probes(table: pd.DataFrame, *, synthetic: bool = False) -> alt.LayerChart:
    """AUC of each probe with its interval, and the line of chance.

    table: columns probe, where (such as "test"), value, low, high (NaN where unknown), n (images).
    """
    wheres = sorted(table["where"].unique())
    scale = alt.Scale(domain=wheres, range=PALETTE[: len(wheres)])
    colour = alt.Color("where:N", title="Measured", scale=scale, legend=alt.Legend(orient="bottom"))
    axis = alt.Scale(domain=[min(0.4, _floor(table["low"].min(), table["value"].min())), 1], nice=False)
    x = alt.X("value:Q", title="AUC", scale=axis)
    order = table["probe"].drop_duplicates().tolist()
    y = alt.Y("probe:N", title=None, sort=order, axis=alt.Axis(labelLimit=240))
    base = alt.Chart(table).encode(y=y, yOffset="where:N")
    tips = ["probe:N", "where:N", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high")), "n:Q"]
    points = base.mark_point(size=110, filled=True, opacity=1).encode(x=x, color=colour, tooltip=tips)
    chance = alt.Chart(pd.DataFrame({"value": [0.5]})).mark_rule(color=GREY, strokeDash=[5, 4]).encode(x=x)
    layers = [chance, _whiskers(base, table, "x", axis, colour), points, _numbers(base, x, dy=-11)]
    chart = alt.layer(*layers).properties(width=460, height=alt.Step(30))
    subtitle = f"{_counted(table['n'])} images; bars: 95 % intervals; dashed: chance"
    return _finished(chart, "What tells the classes apart", subtitle, synthetic)


def save_png(chart: alt.TopLevelMixin, path: Path, *, scale: float = 2) -> None:
    """Draw the chart without a browser or a network, into a PNG that appears whole or not at all. Raises OSError.

    scale: 2 gives 144 pixels an inch.
    """
    import vl_convert

    with alt.data_transformers.enable("default", max_rows=None):
        write_whole(path, vl_convert.vegalite_to_png(chart.to_dict(), scale=scale))


def _operating_point(predictions: pd.DataFrame, threshold: float, name: str) -> dict[str, Any]:
    found = measure(Sample.of(predictions["label"], predictions["probability"], threshold=threshold))
    rates = f"recall {found['recall']:.1%}, specificity {found['specificity']:.1%}"
    return {"x": 1 - found["specificity"], "y": found["recall"], "text": f"{name} ({threshold:.3f}): {rates}"}


def _whiskers(base: Any, table: pd.DataFrame, axis: str, scale: Any, colour: Any) -> Any:
    """Interval bars along `axis`, for the rows that have an interval."""
    known = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(strokeWidth=2)
    channel, second = (alt.X, alt.X2) if axis == "x" else (alt.Y, alt.Y2)
    return known.encode(channel("low:Q", scale=scale), second("high:Q"), color=colour)


def _numbers(base: Any, at: Any, *, dy: int) -> Any:
    return base.mark_text(fontSize=11, color=INK, dy=dy).encode(at, text=alt.Text("value:Q", format=".3f"))


def _floor(*values: float | None) -> float:
    """The tenth below the lowest known value, for an axis that need not start at 0."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    return max(0.0, float(np.floor(min(known, default=0.0) * 10 - 0.5) / 10))


def _counted(counts: "pd.Series[int]") -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,}" if low == high else f"n = {low:,} to {high:,}"


def _shown(name: str, interval: Interval | None) -> str:
    if interval is None:
        return ""
    span = f" (95 % {interval.low:.3f} to {interval.high:.3f})" if np.isfinite(interval.low) else ""
    return f"{name} {interval.value:.3f}{span}; "


def _told(image_id: int, label: str, outcome: str, probability: float) -> str:
    odds = "not predicted" if probability != probability else f"{probability:.3f}"  # NaN
    return f"image {image_id}: {label}, {outcome}, {odds}"


def for_page(chart: Any, *, dark: bool) -> Any:
    """A chart of this module for a page: see-through, and light on dark where the page is."""
    ink, grid, faint = (LIGHT_INK, DARK_GRID, LIGHT_FAINT) if dark else (INK, GRID, FAINT)
    warned = chart.config.title.subtitleColor == VERMILION
    return _inked(chart.properties(background="transparent"), ink, grid, VERMILION if warned else faint)


def _finished(chart: Any, title: str, subtitle: str, synthetic: bool) -> Any:
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
        .configure_title(fontSize=16, subtitleFontSize=12, color=ink, subtitleColor=subtitle)
    )
