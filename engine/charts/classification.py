"""Charts of a classifier: training curves, and predictions on labelled images."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from engine.charts.style import BLUE, GREEN, GREY, INK, LABEL_COLOURS, VERMILION, finished, floor, shown
from engine.labels import CLASSES
from engine.metrics.bootstrap import Interval
from engine.metrics.classification import Sample, measure, reliability, youden_threshold
from engine.metrics.classification import roc_curve as roc_points

BARS = 40
"""Number of bars in the probability histogram."""
COVERAGE_LOOKS: dict[str, tuple[str, list[int]]] = {
    "Accuracy": (BLUE, [1, 0]),
    "Recall": (VERMILION, [7, 3]),
    "Specificity": (GREEN, [2, 3]),
}
"""Colour and dashes of each line of `accuracy_by_coverage`."""
CORNERS = 1_000
"""Maximum number of points drawn of a ROC curve: a million images would give more points than pixels."""


def training_curves(curves: pd.DataFrame, *, synthetic: bool = False) -> Any:
    """Loss and validation AUC by epoch: a thin line for each fold, a thick one for their mean. Without epochs, as for a
    linear classifier or an average of others, the AUC of each held-out fold.

    curves: columns split ("fold0", ..., "repeat0-fold0", ... with several repeats, or "repeat0", ... without epochs),
    name (train_loss, valid_loss, valid_auc), step (epoch, or else fold, from 0), value. Earlier versions stored "deal0"
    for "repeat0"; a run that was continued since has both.
    """
    named = curves.assign(split=curves["split"].str.replace("deal", "repeat"))
    curves = named.drop_duplicates(["split", "name", "step"], keep="last")
    if curves["split"].str.fullmatch(r"repeat\d+").all():
        return _held_out(curves, synthetic=synthetic)
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
    subtitle = f"thick: mean of {folds} folds; thin: each fold" if folds > 1 else "one fold so far"
    return finished(charts, "Training curves", subtitle, synthetic)


def _held_out(curves: pd.DataFrame, *, synthetic: bool) -> Any:
    """A point for each fold of each repeat, and their mean as a line."""
    table = curves.assign(fold=curves["step"] + 1)
    value = alt.Y("value:Q", title="AUC on the held-out fold", scale=alt.Scale(zero=False))
    tips = ["split:N", "fold:O", alt.Tooltip("value:Q", format=".4f")]
    points = alt.Chart(table).mark_point(size=60, filled=True, opacity=1, color=VERMILION)
    points = points.encode(x=alt.X("fold:O", title="Fold", axis=alt.Axis(labelAngle=0)), y=value, tooltip=tips)
    mean = alt.Chart(table).mark_rule(strokeDash=[4, 4], color=BLUE).encode(y=alt.Y("mean(value):Q"))
    subtitle = f"dashed: mean, {table['value'].mean():.4f}; n = {len(table)} held-out folds"
    return finished((mean + points).properties(width=480, height=280), "Held-out AUC", subtitle, synthetic)


def confusion_matrix(
    *, tp: int, fp: int, tn: int, fn: int, normalised: bool = False, threshold: float | None = None, synthetic: bool
) -> alt.LayerChart:
    """The four counts; normalised: each row as a share of its true label."""
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
    return finished(chart, title, f"n = {tp + fp + tn + fn:,} images{at}", synthetic)


def roc_curve(
    predictions: pd.DataFrame, *, threshold: float | None = None, auc: Interval | None = None, synthetic: bool = False
) -> alt.LayerChart:
    """ROC curve with its Youden point, marked as chosen on this curve, and the point of the current threshold if given.

    predictions: columns label (0 or 1), probability. Raises InputError where only one class is present.
    """
    curve = roc_points(predictions["label"], predictions["probability"])
    line = pd.DataFrame({"x": curve.false_positive_rate, "y": curve.true_positive_rate})
    line = line.iloc[np.unique(np.linspace(0, len(line) - 1, CORNERS).astype(int))]
    youden = youden_threshold(predictions["label"], predictions["probability"])
    named = {"Youden threshold chosen on this curve": youden}
    named |= {} if threshold is None else {"Threshold of the run": threshold}
    points = pd.DataFrame([_operating_point(predictions, value, name) for name, value in named.items()])
    x = alt.X("x:Q", title="False positive rate (1 - specificity)", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("y:Q", title="Recall (sensitivity)", scale=alt.Scale(domain=[0, 1]))
    roc = alt.Chart(line).mark_line(color=BLUE, strokeWidth=2.5).encode(x=x, y=y, order="y:Q")
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]})).mark_line(color=GREY, strokeDash=[5, 4])
    two_lines = "split(datum.label, ': ')"  # a single line would be cut off on a phone
    look = {"direction": "vertical", "labelLimit": 400, "symbolStrokeWidth": 2.5, "labelExpr": two_lines}
    legend = alt.Legend(title=None, orient="bottom", **look)
    texts = points["text"].tolist()
    marks = (
        alt.Chart(points)
        .mark_point(size=150, strokeWidth=3, fillOpacity=0)
        .encode(
            x=x,
            y=y,
            color=alt.Color("text:N", scale=alt.Scale(domain=texts, range=[VERMILION, GREEN]), legend=legend),
            shape=alt.Shape("text:N", scale=alt.Scale(domain=texts, range=["circle", "square"]), legend=legend),
            tooltip=["text:N"],
        )
    )
    chart = alt.layer(diagonal.encode(x=x, y=y), roc, marks).properties(width=400, height=380)
    subtitle = f"{shown('AUC', auc)}n = {len(predictions):,} images; dashed: chance"
    return finished(chart, "ROC curve", subtitle, synthetic)


def _operating_point(predictions: pd.DataFrame, threshold: float, name: str) -> dict[str, Any]:
    found = measure(Sample.of(predictions["label"], predictions["probability"], threshold=threshold))
    rates = f"recall {found['recall']:.1%}, specificity {found['specificity']:.1%}"
    return {"x": 1 - found["specificity"], "y": found["recall"], "text": f"{name}, {threshold:.3f}: {rates}"}


def probability_histogram(predictions: pd.DataFrame, *, threshold: float, synthetic: bool = False) -> alt.LayerChart:
    """Histogram of probabilities by label with the threshold; errors are on its wrong side.

    predictions: columns label (0 or 1), probability. The count axis is logarithmic above 1, so that small bars are
    visible."""
    edges = np.linspace(0, 1, BARS + 1)
    parts = []
    for label, name in CLASSES.items():
        counts = np.histogram(predictions["probability"][predictions["label"] == label], edges)[0]
        named = f"{name} (n = {counts.sum():,})"
        parts.append(pd.DataFrame({"low": edges[:-1], "high": edges[1:], "images": counts, "label": named}))
    table = pd.concat(parts)
    table = table[table["images"] > 0].assign(none=0)
    scale = alt.Scale(domain=[part["label"].iloc[0] for part in parts], range=list(LABEL_COLOURS.values())[:2])
    ticks = [0, *(digit * 10**power for power in range(7) for digit in (1, 3))]
    x = alt.X("low:Q", title="Probability of pneumonia", scale=alt.Scale(domain=[0, 1]))
    bars = alt.Chart(table).mark_bar(opacity=0.6, binSpacing=1)
    bars = bars.encode(
        x=x,
        x2="high:Q",
        y=alt.Y("images:Q", title="Images", scale=alt.Scale(type="symlog"), axis=alt.Axis(values=ticks)),
        y2="none:Q",
        color=alt.Color("label:N", title="Label", scale=scale, legend=alt.Legend(orient="bottom")),
        tooltip=["label:N", alt.Tooltip("low:Q", format=".3f"), alt.Tooltip("high:Q", format=".3f"), "images:Q"],
    )
    line = alt.Chart(pd.DataFrame({"low": [threshold]})).mark_rule(color=GREEN, strokeDash=[5, 4], strokeWidth=2)
    chart = alt.layer(bars, line.encode(x=x)).properties(width=840, height=260)
    return finished(chart, "Probabilities by label", f"dashed: threshold {threshold:.3f}", synthetic)


def calibration(
    predictions: pd.DataFrame,
    *,
    ece: Interval | None = None,
    by_chance: Interval | None = None,
    synthetic: bool = False,
) -> alt.LayerChart:
    """Reliability diagram: share of pneumonia against mean probability in 15 bins; point area: number of images.

    predictions: columns label (0 or 1), probability. by_chance: the ECE of perfectly calibrated probabilities.
    """
    bins = reliability(predictions["label"], predictions["probability"])
    table = pd.DataFrame({"predicted": bins.predicted, "observed": bins.observed, "images": bins.count})
    x = alt.X("predicted:Q", title="Mean predicted probability of pneumonia", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("observed:Q", title="Share of pneumonia", scale=alt.Scale(domain=[0, 1]))
    ideal = alt.Chart(pd.DataFrame({"predicted": [0, 1], "observed": [0, 1]})).mark_line(color=GREY, strokeDash=[5, 4])
    base = alt.Chart(table).encode(x=x, y=y)
    legend = alt.Legend(orient="bottom", tickCount=4)
    size = alt.Size("images:Q", title="Images", scale=alt.Scale(range=[40, 700]), legend=legend)
    tips = [alt.Tooltip("images:Q"), *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("predicted", "observed"))]
    points = base.mark_circle(color=BLUE, opacity=0.8).encode(size=size, tooltip=tips)
    chart = alt.layer(ideal.encode(x=x, y=y), base.mark_line(color=BLUE, strokeWidth=1.5), points)
    expected = f"expected by chance {by_chance.low:.3f} to {by_chance.high:.3f}; " if by_chance else ""
    subtitle = f"{shown('ECE', ece)}{expected}n = {len(predictions):,} images; dashed: perfect calibration"
    return finished(chart.properties(width=400, height=380), "Calibration", subtitle, synthetic)


def accuracy_by_coverage(curve: pd.DataFrame, *, images: int, synthetic: bool = False) -> alt.LayerChart:
    """Accuracy with its interval, recall and specificity of the images called where the least certain are referred.

    curve: columns name (accuracy, recall, specificity), coverage (percent), value, low, high, n, see
    engine.charts.tables.by_coverage; a measure may be missing. images: how many there are at full coverage.
    """
    table = curve.assign(share=curve["coverage"] / 100, measure=curve["name"].str.capitalize())
    looks = {name: look for name, look in COVERAGE_LOOKS.items() if (table["measure"] == name).any()}
    colours, dashes = zip(*looks.values(), strict=True)
    usual = table[
        (table["name"] == "accuracy") & (table["coverage"] >= 50)
    ]  # the band of a few images is cut off below
    least = floor(table["value"].min(), usual["low"].min())
    scale, percent = alt.Scale(domain=[least, 1]), alt.Axis(format="%")
    x = alt.X("share:Q", title="Coverage: share of images called", scale=alt.Scale(domain=[0, 1]), axis=percent)
    y = alt.Y("value:Q", title="Share of called images called right", scale=scale, axis=percent)
    legend = alt.Legend(title=None, orient="bottom", symbolStrokeWidth=3, symbolSize=500)
    told = [
        *("measure:N", alt.Tooltip("share:Q", title="coverage", format=".0%")),
        *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("value", "low", "high")),
        alt.Tooltip("n:Q", title="images", format=","),
    ]
    base = alt.Chart(table)
    band = base.transform_filter("datum.name == 'accuracy' && isValid(datum.low) && isValid(datum.high)")
    band = band.mark_area(color=BLUE, opacity=0.25, clip=True).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    lines = base.mark_line(strokeWidth=2.5).encode(
        x=x,
        y=y,
        color=alt.Color("measure:N", scale=alt.Scale(domain=list(looks), range=list(colours)), legend=legend),
        strokeDash=alt.StrokeDash("measure:N", scale=alt.Scale(domain=list(looks), range=list(dashes)), legend=legend),
    )
    points = base.mark_point(size=60, opacity=0).encode(x=x, y=y, tooltip=told)
    chart = alt.layer(band, lines, points).properties(width=840, height=300, description=_in_words(curve))
    subtitle = f"n = {images:,} images, the least certain referred first; band: 95 % interval of the accuracy"
    return finished(chart, "Accuracy by coverage", subtitle, synthetic)


def _in_words(curve: pd.DataFrame) -> str:
    """The chart's name where it cannot be seen: the accuracy at three coverages."""
    accuracy = curve[curve["name"] == "accuracy"].set_index("coverage")["value"]
    at = [f"{100 * accuracy[percent]:.1f} % at {percent} %" for percent in (100, 90, 50) if percent in accuracy.index]
    return f"Line chart, accuracy by coverage: {', '.join(at)} coverage"
