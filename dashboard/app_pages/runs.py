"""List of runs, and for one run its progress, curves, command, configuration, error, metrics and files."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, frame, wording
from dashboard.components.runs import run_list, run_view
from db.queries import runs

SIZE = 30

viewed = frame.open_dataset(stamps=False)
chosen = address.number("run")
dataset = run_view.whose(chosen, viewed)
frame.stamp(dataset)
seen = run_view.standing_of(chosen)
if chosen is not None and seen is not None:
    frame.entitle(f"Run {chosen}")


@st.fragment(run_every=2.0 if seen == "running" else 10.0)
def live() -> None:
    """The part that changes while jobs run; when a shown run starts or ends, the whole page is rerun."""
    if run_view.standing_of(chosen) != seen:
        st.rerun()
    if chosen is not None:
        run_view.one(dataset, chosen)
        return
    kind = address.get("kind") if address.get("kind") in run_view.KINDS else None
    with resources.reading() as session:
        total = runs.count(session, kind=kind)
        page = address.page(total, SIZE)
        rows = runs.page(session, kind=kind, limit=SIZE, offset=(page - 1) * SIZE)
    st.markdown(f"{wording.count(total, 'run')}. A run whose process has died is shown as lost.")
    run_list.show(dataset, rows)
    address.pages(total, SIZE)


if chosen is None:
    st.title("Runs")
    with st.sidebar:
        address.choice("Kind", {kind: kind.capitalize() for kind in run_view.KINDS}, name="kind")
live()
if chosen is not None:
    run_view.details(dataset, chosen, seen)
