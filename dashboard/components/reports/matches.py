"""Which reports a question has, a page at a time: counted from tallies, or found once and then remembered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from dashboard import resources
from dashboard.components import address, wording
from db.queries import reports
from db.queries.reports import ReportQuestion, ReportRow

MOST = 1000
"""Reports that are looked for where no tally tells how many there are."""


@dataclass(frozen=True)
class Page:
    """The reports on the page that the URL names, and how many the list has; more: there are others, not listed."""

    rows: list[ReportRow]
    total: int
    more: bool = False

    def said(self, written: int) -> str:
        """How many of those written, in words, and that not all are listed where that is so."""
        found = wording.count(self.total, "report")
        listed = f"; the first {self.total:,} are listed" * self.more
        return f"{'More than ' * self.more}{found} of {written:,}{listed}."


def page(question: ReportQuestion, size: int) -> Page:
    """What the question has on its page."""
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
    """How many reports the question has; most + 1 where there are more than `most`."""
    return len(_found(resources.revision(), question, most + 1))


@st.cache_data(show_spinner="Looking through the reports.", max_entries=64)
def _found(revision: str, question: ReportQuestion, limit: int) -> Any:
    """The ids of the first that match, int64 (n,), n <= limit. revision: of the database that they are true of."""
    with resources.reading() as session:
        return np.array(reports.ids(session, question, limit=limit), dtype=np.int64)
