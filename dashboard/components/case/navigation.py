"""Links from a case to the sections of its page, to a search with it and to the map."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import runs
from db.queries.cases import Case

REPORTS, REVIEWS, SIMILAR, TWINS = "reports", "reviews", "similar-cases", "near-duplicates"
"""Anchors of the page's sections."""


def show(dataset: Dataset, case: Case, view: filters.View, *, reports: int) -> None:
    """The links, in a row. reports: the number of reports on the case."""
    with resources.reading() as session:
        drawn = runs.current(session, "map", dataset.id)
    cells = [
        Cell(f"Reports ({reports})", f"#{REPORTS}"),
        Cell("Reviews", f"#{REVIEWS}"),
        Cell("Similar cases", f"#{SIMILAR}"),
        Cell("Near-duplicates", f"#{TWINS}"),
        Cell(
            "Search with this image", frame.here("search", dataset, by="image", image=case.id, run=view.question.run_id)
        ),
    ]
    if drawn:
        cells.append(Cell("Show on map", frame.here("map", dataset, **filters.parameters(image=case.id))))
    linked.row(cells, key="ways", left=True)


def in_run(run: Run) -> str:
    """URL of the case with another run's prediction, at that run's own threshold."""
    return address.link("case", **st.query_params.to_dict() | {"run": run.id, "threshold": None, "moved": None})
