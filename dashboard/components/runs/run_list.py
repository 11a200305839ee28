"""The list of runs with their settings and status, and metrics of classifiers."""

from collections.abc import Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides
from dashboard.components.runs import naming, run_view
from db.models import Dataset, Metric, Run
from db.queries import datasets, evaluation, runs
from engine.datasets.splits import OUT_OF_FOLD
from engine.metrics.names import display_name

FIGURES = ("auc", "recall", "specificity", "threshold")


def show(dataset: Dataset, rows: Sequence[Run]) -> None:
    """Runs as a table, latest first; metrics, progress and errors have columns if any run has them."""
    with resources.reading() as session:
        names = {one.id: naming.of_dataset(one) for one in datasets.every(session)}
        found = evaluation.of_classifiers(session, [run.id for run in rows], FIGURES)
    measured = {number: sides.on_evaluated_split(metrics) for number, metrics in found.items()}
    messages = {run.id: run_view.progress(run, runs.status(run)) for run in rows}
    figures = FIGURES if measured else ()
    extra = ("Progress or error",) if any(messages.values()) else ()
    table: list[list[Cell | str]] = []
    for run in rows:
        standing = runs.status(run)
        tone = "wrong" if standing in run_view.BROKEN else "strong" if standing == "running" else ""
        href = frame.here("runs", dataset, run=run.id)
        table.append(
            [
                Cell(f"{run.id}", href),
                Cell(run.kind, href),
                ", ".join(naming.description(run)),
                Cell(standing, tone=tone),
                names.get(run.dataset_id or 0, ""),
                *([messages[run.id]] if extra else []),
                *(_figure(measured.get(run.id, {}).get(name)) for name in figures),
                Cell(wording.ago(run.started), tone="muted"),
                wording.duration(run.seconds),
            ]
        )
    heads = [">Run", "Kind", "Details", "Status", "Dataset", *extra, *(f">{display_name(name)}" for name in figures)]
    linked.table([*heads, ">Started", ">Duration"], table, key="runs", caption="Runs, latest first")
    if measured:
        st.caption(
            "Metrics are from the evaluation: on the evaluated split for predictions, out of fold for train runs."
        )


def _figure(metric: Metric | None) -> Cell:
    if metric is None:
        return Cell("")
    where = "out of fold" if metric.split == OUT_OF_FOLD else f"on split {metric.split}"
    span = wording.interval(metric.name, metric.low, metric.high)
    help = ", ".join(filter(None, [span, where, f"evaluation run {metric.run_id}"]))
    return Cell(wording.measured(metric.name, metric.value), help=help)
