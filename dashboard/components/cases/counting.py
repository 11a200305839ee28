"""Counts of cases, cached per state of the database, because counts without a tally go through all rows."""

from dataclasses import replace

import streamlit as st

from dashboard import resources
from dashboard.components import filters
from db.models import Run
from db.queries import cases
from db.queries.cases import Outcome, Question


def total(question: Question) -> int:
    """Number of distinct images that match."""
    return _total(resources.revision(), question)


def outcomes(question: Question) -> dict[Outcome, int] | None:
    """Number of images with each outcome, ignoring the outcome filter; None without a run or a threshold."""
    return _outcomes(resources.revision(), question)


def elsewhere(view: filters.View) -> Run | None:
    """If the selected run has no predictions for the matching images, a run that has, preferably its train run; else
    None."""
    asked = filters.ignoring_predictions(view.question)
    for run in filter(None, (view.run, view.train_run, *view.runs)):
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
