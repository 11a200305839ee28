"""How measured values read: tables of metrics with intervals and n, beside the original tool's, and charts."""

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
JUDGED = ("stance_agreement", "keyword_alignment")
"""Scores of reports on the overview."""


def drawn(chart: Any, *, height: int | Literal["content"] = "content") -> None:
    """A chart in the page's theme. height: pixels, heading, axes and legend included."""
    from engine.charts.style import for_page

    st.altair_chart(for_page(chart, dark=st.context.theme.type == "dark"), height=height)


def retrieval(metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each embedder, a column for each measure with its interval, and the original tool's where they are
    comparable."""
    found = {(metric.name, metric.slice): metric for metric in metrics}
    embedders = sorted({metric.slice for metric in metrics if " / " not in metric.slice})
    shown = [name for name in RETRIEVAL if any(found.get((name, embedder)) for embedder in embedders)]
    rows: list[list[Cell | str]] = [
        [embedder, *(in_one(found.get((name, embedder))) for name in shown)] for embedder in embedders
    ]
    if original:
        rows.append(["original tool", *(of_original(name) for name in shown)])
    heads = [f">{RETRIEVAL[name]}" for name in shown]
    linked.table(["Retrieval", *heads], rows, key="retrieval", caption="Retrieval precision by embedder")


def reports(metrics: Sequence[Metric], known: Mapping[str, tuple[Cell, str]]) -> bool:
    """Stance agreement and keyword alignment by model and strategy; known: the name of each slice that still has
    reports, as a link to them, and how many were measured. Nothing, and False, where neither was measured of any."""
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
    """Value and interval, with n as a hint."""
    value, interval, n = with_interval(metric)
    return (replace(value, help=f"n = {n.text}") if metric else value), interval


def with_interval(metric: Metric | None) -> tuple[Cell, Cell, Cell]:
    """Cells with the metric's value, 95 % interval and n; None, an unmeasured metric, reads as unknown."""
    if metric is None:
        return Cell(wording.UNKNOWN, tone="muted"), Cell(""), Cell("")
    return (
        Cell(wording.measured(metric.name, metric.value), tone="strong"),
        Cell(wording.interval(metric.name, metric.low, metric.high), tone="muted"),
        Cell(wording.count(metric.n), tone="muted"),
    )


def tested(by_task: Mapping[str, Sequence[Metric]]) -> bool:
    """Whether an evaluation measured on a test split, so that the original tool's figures stand beside it."""
    return any(metric.split == "test" for task in ("classification", "retrieval") for metric in by_task[task])


def of_original(name: str) -> Cell:
    """What the original tool reported of the metric, if anything."""
    return Cell(f"~ {wording.measured(name, ORIGINAL[name])}") if name in ORIGINAL else Cell("")


def listing(metrics: Sequence[Metric], *, key: str) -> None:
    """The final metrics of a run, the first LISTED of those that hold the URL's words; those of all images first, of
    the test split before others."""
    listed = sorted(metrics, key=lambda metric: (metric.slice != "all", metric.split != "test"))
    rows: list[list[Cell | str]] = [
        [display_name(metric.name), metric.split, metric.slice, *with_interval(metric)] for metric in listed
    ]
    if len(rows) > LISTED:
        typed = address.words("Only metrics with these words", name="metric", placeholder="recall test").lower().split()
        wanted = [row for row in rows if all(word in " ".join(map(str, row[:3])).lower() for word in typed)]
        st.caption(f"{wording.count(len(wanted))} of {wording.count(len(rows), 'metric')}{_first(len(wanted))}.")
        rows = wanted[:LISTED]
    linked.table(["Metric", "Split", "Slice", ">Value", ">95 % interval", ">n"], rows, key=key, caption="Metrics")


def _first(number: int) -> str:
    return f"; the first {LISTED} are listed" if number > LISTED else ""


def in_one(metric: Metric | None, *, tone: str = "", link: tuple[str, str] | None = None) -> Cell:
    """Value and interval in one cell. link: what it leads to, and where that is."""
    if metric is None:
        return Cell("")
    span = wording.interval(metric.name, metric.low, metric.high)
    value = wording.measured(metric.name, metric.value)
    said, href = link or ("", None)
    n = f"n = {wording.count(metric.n)}"
    return Cell(f"{value} ({span})" if span else value, href, tone=tone, help=f"{said}, {n}" if said else n)
