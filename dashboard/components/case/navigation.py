"""Where a reader goes from a case: to the parts of its page, to a search with it, to its place on the map."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import runs
from db.queries.cases import Case

REPORTS, REVIEWS, SIMILAR, TWINS = "reports", "reviews", "similar-cases", "near-duplicates"
"""Anchors of the page's parts."""


def show(dataset: Dataset, case: Case, view: filters.View, *, reports: int) -> None:
    """The links, in a row. reports: how many describe the case."""
    with resources.reading() as session:
        drawn = runs.in_force(session, "map", dataset.id)
    cells = [
        Cell(f"Reports ({reports})", f"#{REPORTS}"),
        Cell("Reviews", f"#{REVIEWS}"),
        Cell("Similar cases", f"#{SIMILAR}"),
        Cell("Near-duplicates", f"#{TWINS}"),
        Cell("Search with it", frame.here("search", dataset, by="image", image=case.id, run=view.question.run_id)),
    ]
    if drawn:
        cells.append(Cell("On the map", frame.here("map", dataset, **filters.parameters(image=case.id))))
    linked.row(cells, key="ways", left=True)


def in_run(run: Run) -> str:
    """Where the case is as another run sees it, at that run's own threshold."""
    return address.link("case", **st.query_params.to_dict() | {"run": run.id, "threshold": None, "moved": None})
