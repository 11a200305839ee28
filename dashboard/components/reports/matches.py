"""The reports that match a query, one page at a time: counted from tallies, or searched once and cached."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from dashboard import resources
from dashboard.components import address, wording
from db.queries import reports
from db.queries.reports import ReportQuestion, ReportRow

MOST = 1000
"""Maximum number of reports searched for if no tally has the count."""


@dataclass(frozen=True)
class Page:
    """The reports on the current page and the length of the list; more: there are others that are not listed."""

    rows: list[ReportRow]
    total: int
    more: bool = False

    def summary(self, written: int) -> str:
        """How many of all reports match, in words, and whether only some of them are listed."""
        listed = f"; the first {self.total:,} are listed" * self.more
        return f"{'More than ' * self.more}{self.total:,} of {wording.count(written, 'report')}{listed}."


def page(question: ReportQuestion, size: int) -> Page:
    """The current page of the reports that match."""
    with resources.reading() as session:
        total = reports.tallied(session, question)
        if total is not None:
            offset = (address.page(total, size) - 1) * size
            found = reports.page(session, question, limit=size, offset=offset, total=total) if total else []
            return Page(found, total)
    ids = _found(resources.revision(), question, MOST + 1)
    total = min(len(ids), MOST)
    offset = (address.page(total, size) - 1) * size
    with resources.reading() as session:
        found = reports.rows(session, question.dataset_id, ids[offset : min(offset + size, total)].tolist())
    return Page(found, total, more=len(ids) > MOST)


def up_to(question: ReportQuestion, most: int) -> int:
    """Number of reports that match; most + 1 if there are more than `most`."""
    return len(_found(resources.revision(), question, most + 1))


@st.cache_data(show_spinner="Searching the reports.", max_entries=64)
def _found(revision: str, question: ReportQuestion, limit: int) -> Any:
    """Ids of the first reports that match, int64 (n,), n <= limit. revision: of the database, as cache key."""
    with resources.reading() as session:
        return np.array(reports.ids(session, question, limit=limit), dtype=np.int64)
