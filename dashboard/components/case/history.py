"""What every classifier said of one image, run after run."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.queries import cases
from db.queries.cases import Case


def show(case: Case, view: filters.View) -> None:
    """A table of the predictions of the case, the latest first, the run in view marked; nothing where there is one."""
    with resources.reading() as session:
        found = cases.predictions(session, case.id)
    if len(found) < 2:
        return
    rows: list[list[Cell | str]] = []
    for run, prediction in found:
        threshold = filters.threshold_of(run)
        outcome = cases.outcome(case.label, prediction.probability, threshold)
        here = address.link("case", **st.query_params.to_dict() | {"run": run.id, "threshold": None, "moved": None})
        held_out = "" if prediction.fold is None else f", fold {prediction.fold} held it out"
        rows.append(
            [
                Cell(f"{run.id}", here, tone="chosen" if run.id == view.question.run_id else ""),
                f"{run.recipe or run.kind}{held_out}",
                wording.percent(prediction.probability),
                wording.percent(threshold),
                Cell(outcome or "", tone="wrong" if outcome in ("FP", "FN") else ""),
            ]
        )
    st.markdown("**Predictions, run by run**")
    heads = [">Run", "Classifier", ">Probability", ">Threshold", "Outcome"]
    linked.table(heads, rows, key="history", caption="Predictions of this case by run")
