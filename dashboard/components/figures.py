"""Tables of metrics with intervals and n, next to the original tool's values, and charts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import streamlit as st

from dashboard.components import address, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Metric
from engine.metrics.names import display_name

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
"""Values that the original tool reported."""
LISTED = 60
"""Maximum number of metrics listed for a run."""
FILES = "Classification metrics count every file, including identical copies; all other metrics count distinct images."
ORIGIN = "The original tool's values are those it reported on the official test split of chest-xray-pneumonia."
RETRIEVAL = {
    "p_at_1": "P@1",
    "p_at_10": "P@10",
    "chance": "Chance P@k",
    "vote_auc": "Neighbour-vote AUC",
    "from_train_p_at_1": "P@1, from train",
    "from_train_p_at_10": "P@10, from train",
    "text_p_at_10": "Text search P@10",
}
"""Metrics on the overview, with test images as queries and as hits unless stated otherwise."""
JUDGED = ("stance_agreement", "keyword_alignment")
"""Report scores on the overview."""


def drawn(chart: Any, *, height: int | Literal["content"] = "content") -> None:
    """Draw a chart in the page's theme. height: pixels, including heading, axes and legend."""
    from engine.charts.style import for_page

    st.altair_chart(for_page(chart, dark=st.context.theme.type == "dark"), height=height)


def retrieval(metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each embedder, a column for each metric with its interval. original: add the original tool's values."""
    found = {(metric.name, metric.slice): metric for metric in metrics}
    embedders = sorted({metric.slice for metric in metrics if " / " not in metric.slice})
    shown = [name for name in RETRIEVAL if any(found.get((name, embedder)) for embedder in embedders)]
    rows: list[list[Cell | str]] = [
        [embedder, *(in_one(found.get((name, embedder))) for name in shown)] for embedder in embedders
    ]
    if original:
        rows.append(["original tool", *(of_original(name) for name in shown)])
    heads = [f">{RETRIEVAL[name]}" for name in shown]
    linked.table(
        ["Retrieval by embedder", *heads],
        rows,
        key="retrieval",
        caption="Retrieval precision by embedder",
        sortable=True,
    )


def reports(metrics: Sequence[Metric], known: Mapping[str, tuple[Cell, str]]) -> bool:
    """Stance agreement and keyword alignment by model and strategy; False, without a table, if neither was measured.
    known: for each slice that still has reports, its name as a link to them and the number measured."""
    found = {(metric.name, metric.slice): metric for metric in metrics if metric.name in JUDGED}
    slices = sorted({where for _, where in found})
    rows: list[list[Cell | str]] = []
    for where in slices:
        scores = [_counted(found.get((name, where))) for name in JUDGED]
        name, count = known.get(where, (Cell(where), wording.UNKNOWN))
        rows.append([name, count, *scores[0], *scores[1]])
    if not rows:
        return False
    heads = [">Reports", ">Stance", ">95 % interval", ">Keywords", ">95 % interval"]
    linked.table(
        ["Reports by model / strategy", *heads],
        rows,
        key="reports",
        caption="Report scores: stance agreement and keyword alignment",
    )
    return True


def _counted(metric: Metric | None) -> tuple[Cell, Cell]:
    """Value and interval, with n as a tooltip."""
    value, interval, n = with_interval(metric)
    return (replace(value, help=f"n = {n.text}") if metric else value), interval


def with_interval(metric: Metric | None) -> tuple[Cell, Cell, Cell]:
    """Cells with the metric's value, 95 % interval and n; None (not measured) is shown as unknown."""
    if metric is None:
        return Cell(wording.UNKNOWN, tone="muted"), Cell(""), Cell("")
    return (
        Cell(wording.measured(metric.name, metric.value), tone="strong"),
        Cell(wording.interval(metric.name, metric.low, metric.high), tone="muted"),
        Cell(wording.count(metric.n), tone="muted"),
    )


def tested(by_task: Mapping[str, Sequence[Metric]]) -> bool:
    """Whether the evaluation covers a test split, so that the original tool's values can be shown next to it."""
    return any(metric.split == "test" for task in ("classification", "retrieval") for metric in by_task[task])


def of_original(name: str) -> Cell:
    """The value that the original tool reported for the metric, or an empty cell."""
    return Cell(f"~ {wording.measured(name, ORIGINAL[name])}") if name in ORIGINAL else Cell("")


def listing(metrics: Sequence[Metric], *, key: str) -> None:
    """The final metrics of a run, at most LISTED, filtered by the words in the URL; metrics over all images come first,
    and the test split before others."""
    listed = sorted(metrics, key=lambda metric: (metric.slice != "all", metric.split != "test"))
    rows: list[list[Cell | str]] = [
        [display_name(metric.name), metric.split, metric.slice, *with_interval(metric)] for metric in listed
    ]
    if len(rows) > LISTED:
        typed = address.words("Filter metrics", name="metric", placeholder="recall test").lower().split()
        wanted = [row for row in rows if all(word in " ".join(map(str, row[:3])).lower() for word in typed)]
        st.caption(f"{wording.count(len(wanted))} of {wording.count(len(rows), 'metric')}{_first(len(wanted))}.")
        rows = wanted[:LISTED]
    linked.table(["Metric", "Split", "Slice", ">Value", ">95 % interval", ">n"], rows, key=key, caption="Metrics")


def _first(number: int) -> str:
    return f"; first {LISTED} shown" if number > LISTED else ""


def in_one(metric: Metric | None, *, tone: str = "", link: tuple[str, str] | None = None) -> Cell:
    """Value and interval in one cell. link: description and URL of its target."""
    if metric is None:
        return Cell("")
    span = wording.interval(metric.name, metric.low, metric.high)
    value = wording.measured(metric.name, metric.value)
    target, href = link or ("", None)
    n = f"n = {wording.count(metric.n)}"
    return Cell(f"{value} ({span})" if span else value, href, tone=tone, help=f"{target}, {n}" if target else n)
