"""How many cases there are, counted once for each state of the database: what no tally tells is counted row by row."""

from dataclasses import replace

import streamlit as st

from dashboard import resources
from dashboard.components import filters
from db.models import Run
from db.queries import cases
from db.queries.cases import Outcome, Question


def total(question: Question) -> int:
    """How many distinct images match."""
    return _total(resources.revision(), question)


def outcomes(question: Question) -> dict[Outcome, int] | None:
    """How many of each outcome, whichever the question asks for; None where there is no run or no threshold."""
    return _outcomes(resources.revision(), question)


def elsewhere(view: filters.View) -> Run | None:
    """Where the run in view predicted none of the question's images: a run that did, the one behind it before others;
    None where there is none."""
    asked = filters.whichever(view.question)
    for run in filter(None, (view.run, view.behind, *view.runs)):
        threshold = filters.threshold_of(run)
        found = outcomes(replace(asked, run_id=run.id, threshold=threshold, own_threshold=threshold))
        if found and any(found.values()):
            return None if run is view.run else run
    return None


@st.cache_data(show_spinner=False, max_entries=256)
def _total(revision: str, question: Question) -> int:
    with resources.reading() as session:
        return cases.count(session, question)


@st.cache_data(show_spinner=False, max_entries=256)
def _outcomes(revision: str, question: Question) -> dict[Outcome, int] | None:
    with resources.reading() as session:
        return cases.confusion(session, question)
