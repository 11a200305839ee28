"""How measured values read: tables of metrics with intervals and n, beside the original tool's, and charts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import streamlit as st

from dashboard.components import address, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Metric
from engine.metrics.names import called
from engine.splits import OUT_OF_FOLD, UNSPLIT, judged_of

ORIGINAL = {
    "accuracy": 0.93,
    "recall": 0.96,
    "specificity": 0.88,
    "precision": 0.93,
    "f1": 0.94,
    "auc": 0.97,
    "p_at_1": 0.78,
    "p_at_3": 0.76,
    "p_at_5": 0.75,
    "p_at_10": 0.73,
}
"""What the tool that this one follows reported."""
LISTED = 60
"""Metrics of a run that are listed at once."""
FILES = "Classification figures count every file, also where files are identical; all others count distinct images."
ORIGIN = "The original tool's figures are those it reported on the official test split of chest-xray-pneumonia."
RETRIEVAL = {
    "p_at_1": "P@1",
    "p_at_10": "P@10",
    "chance": "By chance",
    "vote_auc": "AUC of the vote",
    "from_train_p_at_1": "From train, P@1",
    "from_train_p_at_10": "From train, P@10",
    "text_p_at_10": "By words, P@10",
}
"""Measures on the overview, test images among themselves unless said otherwise."""
SPLITS = {UNSPLIT: "No split"}
"""Heads of columns that are not the split's name."""
CLASSIFICATION = (
    *("auc", "threshold", "accuracy", "recall", "specificity", "precision", "f1"),
    *("average_precision", "brier", "ece", "ece_by_chance", "calibration_intercept", "calibration_slope"),
)


def drawn(chart: Any, *, height: int | Literal["content"] = "content") -> None:
    """A chart in the page's theme. height: pixels, heading, axes and legend included."""
    from engine.charts.style import for_page

    st.altair_chart(for_page(chart, dark=st.context.theme.type == "dark"), height=height)


def judged(metrics: Sequence[Metric]) -> str:
    """The split that these classification figures judge on."""
    return judged_of({metric.split for metric in metrics} - {OUT_OF_FOLD})


def judged_on(metrics: Sequence[Metric]) -> str:
    """The same in a sentence, where it is not the test split; else nothing."""
    split = judged(metrics)
    images = "images that the source puts into no split" if split == UNSPLIT else f"split {split}"
    return "" if split == "test" else f"There are no figures on a test split: the classifier is judged on {images}."


def classification(metrics: Sequence[Metric], *, original: bool, held_out: str) -> None:
    """Figures of the split judged on with intervals and n, the original tool's where they are comparable, and the
    out-of-fold ones under the head `held_out`."""
    found = {(metric.name, metric.split): metric for metric in metrics if metric.slice == "all"}
    split = judged(metrics)
    original = original and split == "test"
    learned = any(metric.split == OUT_OF_FOLD for metric in metrics)
    rows: list[list[Cell | str]] = []
    for name in CLASSIFICATION:
        sides = found.get((name, split)), found.get((name, OUT_OF_FOLD))
        if not any(sides):
            continue
        beside = [_original(name)] if original else []
        last = _with_interval(sides[1]) if learned else []
        rows.append([called(name), *_with_interval(sides[0]), *beside, *last])
    heads = ["Classification", f">{SPLITS.get(split, split.capitalize())}", ">95 % interval", ">n"]
    heads += [">Original tool"] if original else []
    heads += [f">{held_out}", ">95 % interval", ">n"] if learned else []
    linked.table(heads, rows, key="classification", caption="Classification metrics")


def retrieval(metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each embedder, a column for each measure with its interval, and the original tool's where they are
    comparable."""
    found = {(metric.name, metric.slice): metric for metric in metrics}
    embedders = sorted({metric.slice for metric in metrics if " / " not in metric.slice})
    shown = [name for name in RETRIEVAL if any(found.get((name, embedder)) for embedder in embedders)]
    rows: list[list[Cell | str]] = [
        [embedder, *(_in_one(found.get((name, embedder))) for name in shown)] for embedder in embedders
    ]
    if original:
        rows.append(["original tool", *(_original(name) for name in shown)])
    heads = [f">{RETRIEVAL[name]}" for name in shown]
    linked.table(["Retrieval", *heads], rows, key="retrieval", caption="Retrieval precision by embedder")


def reports(metrics: Sequence[Metric], known: Mapping[str, tuple[Cell, int]]) -> None:
    """Stance agreement and keyword alignment by model and strategy; known: the name of each slice that still has
    reports, as a link to them, and their number."""
    found = {(metric.name, metric.slice): metric for metric in metrics}
    slices = sorted({metric.slice for metric in metrics if metric.name == "keyword_alignment"})
    rows: list[list[Cell | str]] = []
    for where in slices:
        scores = [_with_interval(found.get((name, where)))[:2] for name in ("stance_agreement", "keyword_alignment")]
        name, count = known.get(where, (Cell(where), None))
        rows.append([name, wording.count(count), *scores[0], *scores[1]])
    heads = [">Reports", ">Stance", ">95 % interval", ">Keywords", ">95 % interval"]
    linked.table(
        ["Reports by model / strategy", *heads],
        rows,
        key="reports",
        caption="Report scores: stance agreement and keyword alignment",
    )


def listing(metrics: Sequence[Metric], *, key: str) -> None:
    """The final metrics of a run, the first LISTED of those that hold the URL's words; those of all images first, of
    the test split before others."""
    listed = sorted(metrics, key=lambda metric: (metric.slice != "all", metric.split != "test"))
    rows = [[called(metric.name), metric.split, metric.slice, *_with_interval(metric)] for metric in listed]
    if len(rows) > LISTED:
        typed = address.words("Only metrics with these words", name="metric", placeholder="recall test").lower().split()
        wanted = [row for row in rows if all(word in " ".join(map(str, row[:3])).lower() for word in typed)]
        st.caption(f"{wording.count(len(wanted))} of {wording.count(len(rows), 'metric')}{_first(len(wanted))}.")
        rows = wanted[:LISTED]
    linked.table(["Metric", "Split", "Slice", ">Value", ">95 % interval", ">n"], rows, key=key, caption="Metrics")


def _first(number: int) -> str:
    return f"; the first {LISTED} are listed" if number > LISTED else ""


def _with_interval(metric: Metric | None) -> list[Cell | str]:
    if metric is None:
        return [Cell(wording.UNKNOWN, tone="muted"), "", ""]
    return [
        Cell(wording.measured(metric.name, metric.value), tone="strong"),
        Cell(wording.interval(metric.name, metric.low, metric.high), tone="muted"),
        Cell(wording.count(metric.n), tone="muted"),
    ]


def _in_one(metric: Metric | None) -> Cell:
    """Value and interval in one cell."""
    if metric is None:
        return Cell("")
    span = wording.interval(metric.name, metric.low, metric.high)
    value = wording.measured(metric.name, metric.value)
    return Cell(f"{value} ({span})" if span else value, help=f"n = {wording.count(metric.n)}")


def _original(name: str) -> Cell:
    return Cell(f"~ {wording.measured(name, ORIGINAL[name])}") if name in ORIGINAL else Cell("")
