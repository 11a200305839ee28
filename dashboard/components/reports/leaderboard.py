"""Comparison of report models and strategies: mean scores with intervals, each row linked to its reports."""

from collections.abc import Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import address, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reports import report_view
from db.models import Dataset, Metric, Run
from db.queries import reports
from db.queries.evaluation import Evaluation
from db.queries.reports import LeaderboardRow
from db.slice_names import report_slice
from engine.commands import job

SHOWN = {
    "stance_agreement": "Stance",
    "stance_recall": "Recall",
    "stance_specificity": "Specificity",
    "classifier_agreement": "Classifier",
    "unsupported": "Unsupported",
    "keyword_alignment": "Keywords",
}
"""Scores in the table -> column headings."""
ALL = "mean over all reports"
MEANING = (
    "Stance: share of reports whose stance matches the label; uncertain or no stance does not. Recall: the same among "
    "pneumonias. Specificity: among normal images. Classifier: share that agrees with the classifier's call. "
    "Unsupported: mean number of unsupported claims. Keywords: keyword alignment, the original tool's score."
)


def show(
    dataset: Dataset, standings: Sequence[LeaderboardRow], evaluated: Evaluation | None, *, selected: Run | None
) -> None:
    """A row for each model and strategy. Values of the evaluation are shown with their intervals and the number
    of reports it measured; the others are means over all reports, without intervals. selected: the run whose
    predictions the page shows."""
    metrics = evaluated[1]["reports"] if evaluated else ()
    values = {(metric.slice, metric.name): metric for metric in metrics}
    named = by_slice(dataset, standings, metrics)
    rows: list[list[Cell | str]] = []
    for one in standings:
        where = report_slice(one.model, one.strategy)
        cells = [_cell(values.get((where, name)), name, one.means.get(name)) for name in SHOWN]
        rows.append([*named[where], *cells])
    heads = ["Model / strategy", ">Reports", *(f">{head}" for head in SHOWN.values())]
    linked.table(heads, rows, key="standings", caption="Mean scores, with 95 % intervals over patients", sortable=True)
    st.caption(MEANING)
    if evaluated and values:
        source = f"Values are from evaluation run {evaluated[0].id} and cover the reports that it measured; "
        st.caption(f"{source}scores that it lacks are means over all. {unmeasured(dataset, standings, evaluated)}")
        if read := evaluated[0].config.get("predict_run"):
            other = f", not of the selected run {selected.id}" if selected and selected.id != read else ""
            st.caption(f"Classifier: agreement with the calls of predict run {read}{other}.")


def by_slice(
    dataset: Dataset, standings: Sequence[LeaderboardRow], metrics: Sequence[Metric]
) -> dict[str, tuple[Cell, str]]:
    """By evaluation slice: the name of each model and strategy as a link to its reports, and their number, such as "5
    of 633" if the evaluation with these metrics measured 5."""
    measured = _measured(metrics)
    found = {}
    for one in standings:
        where = report_slice(one.model, one.strategy)
        part = "" if not measured or measured.get(where, 0) == one.reports else f"{measured.get(where, 0):,} of "
        found[where] = _named(dataset, one), f"{part}{one.reports:,}"
    return found


def unmeasured(dataset: Dataset, standings: Sequence[LeaderboardRow], evaluated: Evaluation) -> str:
    """How many reports the evaluation measured and why not all, in a sentence or two; empty if it measured all."""
    run, by_task = evaluated
    measured = _measured(by_task["reports"])
    written = {report_slice(one.model, one.strategy): one.reports for one in standings}
    if not measured or all(measured.get(where) == number for where, number in written.items()):
        return ""
    with resources.reading() as session:
        last = reports.latest_written(session, dataset.id)
    coverage = f"The evaluation covers {sum(measured.values()):,} of {sum(written.values()):,} reports."
    if last is not None and last > run.current_since:
        again = wording.plain(job("evaluate", dataset.name))
        return f"{coverage} Others were added since; to include them, run: {again}"
    return f"{coverage} The others are from an earlier model revision, prompt or settings, or have no score."


def _measured(metrics: Sequence[Metric]) -> dict[str, int]:
    """Number of reports that the evaluation measured, by slice."""
    found: dict[str, int] = {}
    for metric in metrics:
        if metric.name in SHOWN:
            found[metric.slice] = max(found.get(metric.slice, 0), metric.n or 0)
    return found


def _named(dataset: Dataset, one: LeaderboardRow) -> Cell:
    href = frame.here("reports", dataset, strategy=one.strategy, model=one.model, **address.pinned())
    return Cell(f"{one.model} / {report_view.named(one.strategy)}", href)


def _cell(metric: Metric | None, name: str, mean: float | None) -> Cell:
    if metric is None or metric.value is None:
        unknown = mean is None
        return Cell(wording.measured(name, mean), tone="muted" if unknown else "", help="" if unknown else ALL)
    interval = wording.interval(name, metric.low, metric.high)
    n = f"n = {wording.count(metric.n)}"
    return Cell(f"{_short(name, metric)}", help=f"{interval}, {n}" if interval else n)


def _short(name: str, metric: Metric) -> str:
    """Value and interval, shortened for a wide table; the full interval is the cell's tooltip."""
    if metric.value is None or metric.low is None or metric.high is None or metric.low == metric.high:
        return wording.measured(name, metric.value)
    if wording.is_score(name):
        return f"{metric.value:.2f} ({metric.low:.2f} to {metric.high:.2f})"
    return f"{wording.percent(metric.value)} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"
