"""Results of a run: classification metrics, retrieval precision, or an audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import streamlit as st

from dashboard import resources
from dashboard.components import address, familiar, figures, filters, frame, panels, prevalence, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides, subgroups
from dashboard.components.runs import referral, stress_tests
from db.models import Dataset, Metric, Run
from db.queries import columns, comparison, evaluation, runs
from engine.metrics.bootstrap import Interval
from engine.metrics.names import NAMES
from engine.metrics.proportions import of_confusion

GROUPS = {
    "called_pneumonia": "Called pneumonia",
    "called_normal": "Called normal",
    "misses": "False negatives",
    "false_alarms": "False positives",
}
"""Groups of images for the deletion and insertion test of an audit."""
SQUARE = 520
"""Height of a chart next to another one, in pixels."""


def show(dataset: Dataset, run: Run, metrics: Sequence[Metric]) -> None:
    """Draw the results of a finished prediction, evaluation or audit run; nothing for other kinds. dataset: the
    run's."""
    with panels.guarded("The results"):
        if run.kind in comparison.KINDS:
            _predictions(dataset, run)
        elif run.kind == "evaluate":
            _precision(dataset, metrics)
        elif run.kind == "audit":
            _audit(dataset, run, metrics)


@dataclass(frozen=True)
class Judged:
    """A run's calls compared with the labels."""

    images: int
    tested: bool
    """Whether only the test split is counted."""
    counts: dict[str, int]
    """tp, fn, fp and tn."""
    causes: dict[str, dict[str, int]]
    """tp and fn of each cause of pneumonia, if causes are known."""
    histogram: Any
    charts: tuple[Any, ...]
    """ROC curve and calibration; empty if only one label occurs."""


def _predictions(dataset: Dataset, run: Run) -> None:
    """Confusion matrix with links to its cases, subgroups, ROC curve, calibration and accuracy by coverage: on the test
    split if the run scored one, out of fold for a train run. Subgroups and coverages are the current evaluation's."""
    familiar.warn(run)
    threshold = filters.threshold_of(run)
    with resources.reading() as session:
        ingest = runs.current(session, "ingest", run.dataset_id)
    if threshold is None:
        return
    judged = _judged(run.id, threshold, dataset.synthetic, str((ingest.id, ingest.finished)) if ingest else "")
    if not judged.images:
        return
    st.header("Results")
    unseen = "scored out of fold" if run.kind == "train" else "not used to train its classifier"
    st.caption(
        f"{wording.count(judged.images, 'distinct image')} {'in split test' if judged.tested else unseen}, at the "
        f"run's threshold of {wording.percent(threshold)}. 95 % Wilson intervals over images. The overview counts "
        "every file, including identical copies."
    )
    _confusion(dataset, run, judged)
    with resources.reading() as session:
        evaluated = evaluation.of_run(session, run)
        curves = runs.metrics(session, evaluated[0].id, curves=True) if evaluated else []
    side = sides.of_run(run, evaluated[1]["classification"]) if evaluated else None
    basis = _measured(run, evaluated[0], side) if evaluated and side else ""
    subgroups.show(dataset, side, basis=basis)
    figures.drawn(judged.histogram, height=340)
    for column, chart in zip(st.columns(2), judged.charts, strict=False):
        with column:
            figures.drawn(chart, height=SQUARE)
    if side is not None:
        referral.show(dataset, side, curves, basis=basis)


@st.cache_resource(show_spinner="Loading the run's predictions.", max_entries=16)
def _judged(run_id: int, threshold: float, synthetic: bool, mark: str) -> Judged:
    """mark: identifies the ingest that set the labels. The database's revision would work too, but it changes with
    every heartbeat of a job, and loading a million rows takes seconds."""
    import pandas as pd

    from engine.charts import classification as charts
    from engine.metrics.classification import auc

    with resources.reading() as session:
        run = runs.find(session, run_id)
        rows = list(chain.from_iterable(columns.judgements(session, run))) if run else []
    table = pd.DataFrame(rows, columns=["split", "label", "cause", "probability"])
    tested = run is not None and run.kind == "predict" and bool((table["split"] == "test").any())
    if tested:
        table = table[table["split"] == "test"]
    labels, called = table["label"].to_numpy(dtype=bool), table["probability"].to_numpy(dtype=float) >= threshold
    sides = {"tp": labels & called, "fn": labels & ~called, "fp": ~labels & called, "tn": ~labels & ~called}
    known = sorted(table["cause"][labels].dropna().unique())
    ill = {cause: (table["cause"] == cause).to_numpy() & labels for cause in known}
    drawn: tuple[Any, ...] = ()
    if labels.any() and not labels.all():
        area = Interval(auc(table["label"], table["probability"]), np.nan, np.nan, len(table))
        roc = charts.roc_curve(table, threshold=threshold, auc=area, synthetic=synthetic)
        drawn = (roc, charts.calibration(table, synthetic=synthetic))
    return Judged(
        len(table),
        tested,
        {name: int(side.sum()) for name, side in sides.items()},
        {cause: {name: int((sides[name] & of_it).sum()) for name in ("tp", "fn")} for cause, of_it in ill.items()},
        charts.probability_histogram(table, threshold=threshold, synthetic=synthetic),
        drawn,
    )


def _confusion(dataset: Dataset, run: Run, judged: Judged) -> None:
    """Confusion matrix with recall and specificity; pneumonia also by cause."""
    counts = judged.counts
    split = "test" if judged.tested else None

    def cell(outcome: str, number: int, cause: str | None = None) -> Cell:
        href = frame.here("cases", dataset, run=run.id, outcome=outcome.upper(), split=split, cause=cause)
        return Cell(f"{number:,}", href, tone="wrong" if outcome in ("fn", "fp") and number else "")

    def row(head: str, normal: str, ill: str, name: str) -> list[Cell | str]:
        calls = (cell(outcome, counts[outcome]) for outcome in (normal, ill))
        return [head, *calls, NAMES[name], _share(name, of_confusion(**counts)[name])]

    rows = [row("Labelled normal", "tn", "fp", "specificity"), row("Labelled pneumonia", "fn", "tp", "recall")]
    for cause, of_it in judged.causes.items():
        calls = (cell(outcome, of_it[outcome], cause) for outcome in ("fn", "tp"))
        recall = of_confusion(**of_it, fp=0, tn=0)["recall"]
        rows.append([f"\u2013 {cause}", *calls, NAMES["recall"], _share("recall", recall)])
    called = (f"{counts[one] + counts[other]:,}" for one, other in (("tn", "fn"), ("fp", "tp")))
    rows.append(["Total", *called, NAMES["accuracy"], _share("accuracy", of_confusion(**counts)["accuracy"])])
    heads = ["", ">Called normal", ">Called pneumonia", "Metric", ">Value (95 %)"]
    linked.table(heads, rows, key="confusion", caption="Confusion matrix with recall, specificity and accuracy")
    prevalence.show(counts)


def _measured(run: Run, evaluated: Run, side: sides.Side) -> str:
    """How the evaluation measured the run, and at which threshold if that is not the run's."""
    own = side.metrics.get(("threshold", sides.WHOLE))
    at = f" at threshold {wording.percent(own.value)}" if own and own.value != run.threshold else ""
    return f"{at}, from evaluation run {evaluated.id}: every file counts, intervals are over patients"


def _share(name: str, share: Interval) -> Cell:
    value, span = wording.percent(share.value), wording.interval(name, share.low, share.high)
    return Cell(f"{value} ({span})", tone="strong") if span else Cell(value, tone="muted")


def _precision(dataset: Dataset, metrics: Sequence[Metric]) -> None:
    from engine.charts import retrieval as charts
    from engine.charts import tables

    table, chance = tables.precision_at_k(metrics)
    if not table.empty:
        st.header("Results")
        figures.drawn(charts.precision_at_k(table, chance=chance, synthetic=dataset.synthetic), height=440)


def _audit(dataset: Dataset, run: Run, metrics: Sequence[Metric]) -> None:
    """Shortcut probes, stress tests and faithfulness of the heatmaps."""
    from engine.audit.faithfulness import MODES
    from engine.charts import audit as charts
    from engine.charts import tables

    with resources.reading() as session:
        steps = runs.metrics(session, run.id, curves=True)
    probes = tables.probes(metrics)
    curves = {group: tables.faithfulness(steps, group=group) for group in GROUPS}
    st.header("Results")
    verdicts = (run.summary or {}).get("verdicts") or {}
    if verdicts:
        rows = [[Cell(name.capitalize()), Cell(verdict)] for name, verdict in verdicts.items()]
        linked.table(["Question", "Answer"], rows, key="verdicts", caption="Questions and answers of the audit")
    if not probes.empty:
        figures.drawn(charts.shortcut_probes(probes, synthetic=dataset.synthetic))
    related = tables.correlations(metrics)
    if not related.empty:
        figures.drawn(charts.probe_correlations(related, synthetic=dataset.synthetic))
        st.caption(
            "Spearman's correlation of the classifier's output with each probe's score, among images of one label. "
            "It does not show that the classifier uses what the probe sees: severe disease can move both. Frame hidden "
            "is the reference: the same for the classifier's output when the frame is grey. More than that suggests "
            "use of the frame, but is no proof. Intervals are not adjusted for the number of probes."
        )
    stress_tests.show(dataset, run, metrics)
    shown = {group: GROUPS[group] for group, table in curves.items() if not table.empty}
    if shown:
        first = next(iter(shown))
        group = address.choice("Deletion and insertion", shown, name="group", default=first) or first
        for column, mode in zip(st.columns(2), MODES, strict=True):
            with column:
                figures.drawn(
                    charts.faithfulness_curves(
                        curves[group], group=GROUPS[group].lower(), modes=[mode], synthetic=dataset.synthetic
                    ),
                    height=SQUARE,
                )
