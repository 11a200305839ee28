"""What a reader should look at first, each a link to it: failures, undescribed failures, runs, left-out files."""

from dataclasses import replace

import streamlit as st

from dashboard import resources
from dashboard.components import filters, frame, linked, running
from dashboard.components.linked import Cell
from db.models import Dataset
from db.queries import case_order, cases, duplicates, overview, runs

FAILURES = (
    ("Pneumonia that the model missed (FN)", "FN", None),
    ("False alarms (FP)", "FP", None),
    ("Failures that no report describes", "wrong", "no"),
)
RUNS, MOST = 3, 1000


def show(dataset: Dataset) -> None:
    """Each kind of thing with its number; what is in order is left out."""
    view = filters.view(dataset)
    rows: list[list[Cell | str]] = []

    def add(text: str, number: int, href: str, *, known: bool = True) -> None:
        if number:
            said = f"{number:,}" if number <= MOST or known else f"more than {MOST:,}"
            rows.append([Cell(text, href), Cell(said, tone="strong")])

    with resources.reading() as session:
        for run in overview.running(session)[:RUNS]:
            name = Cell(f"Run {run.id}, {run.kind}, is running", frame.here("runs", dataset, run=run.id))
            rows.append([name, Cell(running.progress(run, "running"), tone="strong")])
        if view.run is not None:
            for text, outcome, reported in FAILURES:
                asked = replace(view.question, outcome=outcome, reported=reported)
                href = frame.here("cases", dataset, outcome=outcome, reported=reported)
                if reported is None:
                    add(text, cases.count(session, asked), href)
                else:  # no tally tells, so that no more are looked for than a reader would
                    add(text, len(case_order.listed(session, asked, limit=MOST + 1)), href, known=False)
        number = cases.count(session, replace(view.question, label="unknown"))
        add("Images without a label", number, frame.here("cases", dataset, label="unknown"))
        compared = duplicates.latest(session, dataset.id)
        if compared is not None:
            pairs = _across(resources.revision(), compared.id)
            add("Near-duplicate pairs across splits", pairs, frame.here("cases", dataset, twins="apart", sort="file"))
        ingest = runs.latest_finished(session, "ingest", dataset.id)
        if ingest is not None:
            number = sum(overview.skipped(session, ingest.id).values())
            add("Files that ingest left out", number, frame.here("runs", dataset, run=ingest.id))
        for run in overview.unfinished(session)[:RUNS]:
            name = Cell(f"Run {run.id}, {run.kind}", frame.here("runs", dataset, run=run.id))
            rows.append([name, Cell(runs.status(run), tone="wrong")])
    if rows:
        linked.table(["What", ">How many"], rows, key="attention", caption="What needs attention")
    else:
        st.markdown("Nothing: no failures, no unlabelled images, no left-out files, no broken runs.")


@st.cache_data(show_spinner=False, max_entries=8)
def _across(revision: str, run_id: int) -> int:
    """How many near-duplicate pairs of the run stand in two splits."""
    with resources.reading() as session:
        return duplicates.across(session, run_id)
