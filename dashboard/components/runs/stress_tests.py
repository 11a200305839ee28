"""How an audited classifier does on altered copies of the images."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import figures, frame, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.case import altered_copies
from db.models import Dataset, Metric, Run
from db.queries import audit, cases, runs
from engine.metrics.names import DIFFERENCE, NAMES, SUBGROUP_MEASURES
from engine.metrics.robustness import UNALTERED


def show(dataset: Dataset, run: Run, metrics: Sequence[Metric]) -> None:
    """A chart, and a row for each stress, most changed calls first, that links to the images whose call it changes;
    nothing if the audit tested none. dataset: the run's."""
    from engine.charts import audit as charts
    from engine.charts import tables

    table = tables.stresses(metrics)
    changed = {metric.slice: metric for metric in metrics if metric.name == "stress_changed"}
    if table.empty or not changed:
        return
    figures.drawn(charts.stress_tests(table, synthetic=dataset.synthetic))
    predicted = run.config.get("predict_run")
    with resources.reading() as session:
        last = audit.latest(session, predicted) if predicted else None
    whose = predicted if last and last.id == run.id else None  # only the latest audit can be a filter
    found = {(metric.name, metric.slice): metric for metric in metrics}
    order = sorted(changed, key=lambda where: -(changed[where].value or 0.0))
    what = (run.summary or {}).get("stresses") or {}
    rows = [_row(dataset, whose, found, where, what.get(where, "")) for where in (UNALTERED, *order)]
    heads = ["Images", "Alteration", *(f">{NAMES[name]}" for name in SUBGROUP_MEASURES), ">Calls changed"]
    linked.table(heads, rows, key="stresses", caption="The classifier on altered images", sortable=True)
    st.caption(
        "The same classifier and threshold on copies of the images, altered at the size of the classifier's input. "
        "After each value follows its difference from the unaltered images with the 95 % interval over patients, bold "
        "if that excludes 0; it is not adjusted for the number of stresses. Calls changed link to their images. "
        f"{_sampled(run, found)}"
    )
    _example(dataset, run, whose)


def compare(first: Run, second: Run) -> None:
    """The metrics of two predict runs under each stress, side by side; nothing unless both were audited under it."""
    with resources.reading() as session:
        audits = [audit.latest(session, run.id) for run in (first, second)]
        measured = [
            {(metric.name, metric.slice): metric for metric in runs.metrics(session, one.id)} if one else {}
            for one in audits
        ]
    both = measured[0].keys() & measured[1].keys()
    shared = sorted((where != UNALTERED, where) for name, where in both if name == "stress_auc")
    if not shared:
        return
    rows: list[list[Cell | str]] = []
    for _, where in shared:
        cells = [figures.in_one(one.get((f"stress_{name}", where))) for name in SUBGROUP_MEASURES for one in measured]
        rows.append([where.capitalize(), *cells])
    heads = [f">{NAMES[name]}, run {run.id}" for name in SUBGROUP_MEASURES for run in (first, second)]
    linked.table(["Images", *heads], rows, key="both_stressed", caption="Both runs on altered images", sortable=True)
    st.caption("Stress tests of both runs' latest audits, each at its own threshold.")


def _example(dataset: Dataset, run: Run, whose: int | None) -> None:
    """The image whose call changes most often, under every stress; nothing if no call changes."""
    with resources.reading() as session:
        number = audit.most_changed(session, run.id)
        case = cases.one(session, number, run_id=run.config.get("predict_run")) if number else None
        predicted = runs.find(session, run.config.get("predict_run") or 0)
    if case is None or predicted is None:
        return
    st.markdown(f"**Example: image {case.id}, {grid.name(case).lower()}**, whose call changes most often")
    cards = []
    for copy in altered_copies.copies(run, case):
        # a case shows the copies of the latest audit that change its call
        stress = copy.stress if whose and copy.probability is not None and copy.stress != UNALTERED else None
        href = frame.here("case", dataset, image=case.id, run=predicted.id, **{altered_copies.PARAMETER: stress})
        cards.append(altered_copies.card(case, copy, href=href, threshold=predicted.threshold))
    linked.cards(cards, key="stressed", width=130)


def _sampled(run: Run, found: Mapping[tuple[str, str], Metric]) -> str:
    """A sentence, if only a sample of the audited images was altered."""
    whole, area = (run.summary or {}).get("images", 0), found.get(("stress_auc", UNALTERED))
    tested = (area.n or 0) if area else 0
    return f"A random sample of {tested:,} of the {whole:,} audited images was altered." if tested < whole else ""


def _row(
    dataset: Dataset, whose: int | None, found: Mapping[tuple[str, str], Metric], where: str, what: str
) -> list[Cell | str]:
    """whose: the predict run for links. what: what the stress does."""
    cells = [
        _cell(found.get((f"stress_{name}", where)), found.get((f"stress_{name}{DIFFERENCE}", where)))
        for name in SUBGROUP_MEASURES
    ]
    return [
        where.capitalize(),
        Cell(what, tone="muted"),
        *cells,
        _changed(dataset, whose, found.get(("stress_changed", where))),
    ]


def _cell(metric: Metric | None, apart: Metric | None) -> Cell:
    """The value, its difference from the unaltered images and the interval of that; strong if it excludes 0."""
    if metric is None:
        return Cell("")
    value = wording.measured(metric.name, metric.value)
    if apart is None:
        return Cell(value, help=f"n = {wording.count(metric.n)}")
    span = wording.interval(apart.name, apart.low, apart.high)
    differs = round(apart.low or 0.0, 3) > 0 or round(apart.high or 0.0, 3) < 0
    told = f"{value}, {wording.measured(apart.name, apart.value)}{f' ({span})' if span else ''}"
    return Cell(told, tone="strong" if differs else "", help=f"n = {wording.count(metric.n)}")


def _changed(dataset: Dataset, whose: int | None, metric: Metric | None) -> Cell:
    """How many calls change, as a link to their images."""
    if metric is None:
        return Cell("")
    number = round((metric.value or 0.0) * (metric.n or 0))
    href = frame.here("cases", dataset, stress=metric.slice, run=whose) if whose and number else None
    return Cell(f"{number:,} of {metric.n:,} ({wording.percent(metric.value)})", href)
