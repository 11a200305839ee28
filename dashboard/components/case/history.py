"""Predictions of all runs for one image."""

import streamlit as st

from dashboard import resources
from dashboard.components import filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.case import navigation
from db.models import Dataset
from db.queries import cases
from db.queries.cases import Case

LATEST = 8
"""Maximum number of runs listed besides the selected one."""


def show(dataset: Dataset, case: Case, view: filters.View) -> None:
    """A table of the latest predictions of the case, with the selected run highlighted, and the number of further runs;
    nothing if there is only one prediction."""
    with resources.reading() as session:
        found = cases.predictions(session, case.id)
    if len(found) < 2:
        return
    others = [run.id for run, _ in found if run.id != view.question.run_id]
    rows: list[list[Cell | str]] = []
    for run, prediction in found:
        if run.id in others[LATEST:]:
            continue
        threshold = filters.threshold_of(run)
        outcome = cases.outcome(case.label, prediction.probability, threshold)
        held_out = "" if prediction.fold is None else f", held out in fold {prediction.fold}"
        rows.append(
            [
                Cell(f"{run.id}", navigation.in_run(run), tone="chosen" if run.id == view.question.run_id else ""),
                f"{wording.classifier(run) or run.kind}{held_out}",
                wording.percent(prediction.probability),
                wording.percent(threshold),
                Cell(outcome or "", tone="wrong" if outcome in ("FP", "FN") else ""),
            ]
        )
    st.markdown("**Predictions by run**")
    heads = [">Run", "Classifier", ">Probability", ">Threshold", "Outcome"]
    linked.table(heads, rows, key="history", caption="Predictions of this case by run")
    if others[LATEST:]:
        more = f"and {len(others) - LATEST} more"
        linked.row([Cell(more, frame.here("runs", dataset))], key="more", left=True)
