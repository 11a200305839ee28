"""How reports read on a page: the text as it was written, who wrote it, its scores, and how writers compare."""

from collections.abc import Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import filters, frame, grid, wording
from dashboard.components.linked import Cell
from db.models import Dataset
from db.queries import cases
from db.queries.reports import ReportRow, Standing

STANCES = {
    "pneumonia": "says pneumonia",
    "uncertain": "is uncertain",
    "normal": "says normal",
    "none": "takes no stance",
}


def show(row: ReportRow) -> None:
    """One report in a box."""
    report = row.report
    with st.container(border=True):
        st.markdown(f"**{wording.plain(named(report.strategy))}** · {wording.plain(report.model)}")
        st.markdown(wording.plain(report.text).replace("\n", "  \n"))
        scores = (
            ("keyword alignment", row.keyword_alignment),
            ("stance agreement", row.stance_agreement),
            ("format", row.format),
        )
        said = " · ".join(f"{name} {wording.percent(value)}" for name, value in scores)
        st.caption(f"{STANCES[row.stance]} · {said} · written in {wording.duration(report.seconds)}")


def beside_images(dataset: Dataset, rows: Sequence[ReportRow], view: filters.View) -> None:
    """Reports under each other, each beside the image it describes."""
    question = view.question
    with resources.reading() as session:
        ids = [row.image.id for row in rows]
        known = cases.several(session, ids, run_id=question.run_id, threshold=question.threshold)
    for row in rows:
        film, text = st.columns([1, 5], gap="medium")
        with film:
            grid.show(dataset, [known[row.image.id]], key=f"film_{row.report.id}_{row.image.id}", width=120)
        with text:
            show(row)


def named(strategy: str) -> str:
    """A prompt strategy in words."""
    return strategy.replace("_", " ").capitalize()


def compared(dataset: Dataset, standings: Sequence[Standing]) -> tuple[list[str], list[list[Cell | str]]]:
    """Heads and rows of a table of mean scores, each row a link to its reports."""
    rows: list[list[Cell | str]] = []
    for one in standings:
        href = frame.here("reports", dataset, strategy=one.strategy, model=one.model)
        means = [wording.percent(one.means.get(name)) for name in ("keyword_alignment", "stance_agreement", "format")]
        rows.append([Cell(f"{one.model} / {named(one.strategy)}", href), f"{one.reports:,}", *means])
    return ["Model / strategy", ">Reports", ">Keyword alignment", ">Stance agreement", ">Format"], rows
