"""How report models and strategies compare: means with intervals, each row a link to its reports."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import address, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reports import report_view
from db.models import Dataset, Metric
from db.queries.evaluation import Evaluation, report_slice
from db.queries.reports import Standing
from engine.commands import job

SHOWN = {
    "stance_agreement": "Stance",
    "stance_kappa": "Kappa",
    "classifier_agreement": "Classifier",
    "unsupported": "Unsupported",
    "format": "Format",
    "keyword_alignment": "Keywords",
}
"""Scores in the table, by the heads of their columns."""
MEANING = (
    "Stance: share whose stance is the label. Kappa: the same beyond chance. Classifier: share that agrees with the "
    "classifier's call. Unsupported: claims in a report that rest on nothing. Format: share of what the prompt "
    "demanded. Keywords: the original tool's keyword alignment."
)


def show(dataset: Dataset, standings: Sequence[Standing], evaluated: Evaluation | None) -> None:
    """A row for each model and strategy. Where the evaluation has a value, it is shown with its interval; the rest are
    means over all reports without one."""
    run, by_task = evaluated or (None, {})
    values = {(metric.slice, metric.name): metric for metric in by_task.get("reports", ())}
    rows: list[list[Cell | str]] = []
    for one in standings:
        where = report_slice(one.model, one.strategy)
        cells = [_cell(values.get((where, name)), name, one.means.get(name)) for name in SHOWN]
        rows.append([_named(dataset, one), f"{one.reports:,}", *cells])
    heads = ["Model / strategy", ">Reports", *(f">{head}" for head in SHOWN.values())]
    linked.table(heads, rows, key="standings", caption="Mean scores, with 95 % intervals over patients")
    st.caption(MEANING)
    if run is not None and values:
        st.caption(
            f"Values with an interval are those of evaluation run {run.id}, over the reports that stood then; measure "
            f"again with: {wording.plain(job('evaluate', dataset.name))}"
        )


def by_slice(dataset: Dataset, standings: Sequence[Standing]) -> dict[str, tuple[Cell, int]]:
    """The name of each model and strategy, a link to its reports, and their number, by the evaluation's slice."""
    return {report_slice(one.model, one.strategy): (_named(dataset, one), one.reports) for one in standings}


def _named(dataset: Dataset, one: Standing) -> Cell:
    href = frame.here("reports", dataset, strategy=one.strategy, model=one.model, **address.pinned())
    return Cell(f"{one.model} / {report_view.named(one.strategy)}", href)


def _cell(metric: Metric | None, name: str, mean: float | None) -> Cell:
    if metric is None or metric.value is None:
        return Cell(wording.measured(name, mean), tone="" if mean is not None else "muted")
    interval = wording.interval(name, metric.low, metric.high)
    n = f"n = {wording.count(metric.n)}"
    return Cell(f"{_short(name, metric)}", help=f"{interval}, {n}" if interval else n)


def _short(name: str, metric: Metric) -> str:
    """Value and interval in as few characters as a wide table has room for; the whole is the cell's hint."""
    if metric.value is None or metric.low is None or metric.high is None or metric.low == metric.high:
        return wording.measured(name, metric.value)
    if wording.is_score(name):
        return f"{metric.value:.2f} ({metric.low:.2f} to {metric.high:.2f})"
    return f"{wording.percent(metric.value)} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"
