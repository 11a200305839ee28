"""How reports read on a page: the text as it was written, who wrote it, its scores and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, grid, wording
from db.models import Dataset
from db.queries import cases
from db.queries.cases import Case
from db.queries.reports import ReportRow
from db.queries.search import CLOSE, OPEN, TextHit
from engine.metrics.names import NAMES
from engine.reporting.context import Polarity
from engine.reporting.findings import Mention, read
from engine.reporting.prompts import sentences
from engine.reporting.sections import sections

STANCES = {
    "pneumonia": "says pneumonia",
    "uncertain": "is uncertain",
    "normal": "says normal",
    "none": "takes no stance",
}
QUEUES = {"against": "Report against classifier"}
"""Reports whose stance is the opposite of the classifier's call, the most confident call first."""
PROBLEMS = {
    "label": "not what the label says",
    "classifier": "not what the classifier says",
    "unsupported": "claims without support",
    "contradiction": "contradicts itself",
    "side": "side against the heatmap",
    "form": "not in the form asked for",
    "repetition": "repeats itself",
    "truncated": "breaks off",
}
SHARES = ("keyword_alignment", "format", "laterality", "repetition", "bleu", "rouge_l", "chrf")
"""Scores that a range in [0, 1] can be asked of."""
EXCERPT = 110
"""Characters of a report's excerpt."""
COLOURS: dict[Polarity, str] = {
    "present": "red",
    "absent": "green",
    "uncertain": "orange",
    "historical": "violet",
    "hypothetical": "gray",
}
"""How a finding is coloured by what the report says of it."""
SIGNS: dict[Polarity, str] = {"present": "**", "absent": "", "uncertain": "*", "historical": "*", "hypothetical": "*"}
"""What sets it apart without colour: bold where present, slanted where it is not said of now for certain."""


def coloured(text: str) -> str:
    """The report as Markdown that shows its text as it is, each finding marked by its polarity."""
    parts, at = [], 0
    for mention in read(text):
        parts.append(wording.plain(text[at : mention.start]))
        parts.append(_marked(wording.plain(mention.term), _read_as(mention)))
        at = mention.end
    return wording.lines("".join([*parts, wording.plain(text[at:])]))


def _read_as(mention: Mention) -> Polarity:
    """Health that is said to be there is no finding."""
    turned: dict[Polarity, Polarity] = {"present": "absent", "absent": "present"}
    polarity = mention.polarity
    return turned.get(polarity, polarity) if mention.tier == "normality" else polarity


def _marked(term: str, polarity: Polarity) -> str:
    return f":{COLOURS[polarity]}-background[{SIGNS[polarity]}{term}{SIGNS[polarity]}]"


def legend() -> None:
    """Which colour and which letters mean what."""
    said = " ".join(_marked(polarity, polarity) for polarity in COLOURS)
    st.markdown(
        f":small[Findings as they are read: {said}. Bold: present. Slanted: not said of now for certain. Health that "
        "is denied is marked as present. Research use only.]"
    )


def show(row: ReportRow, *, brief: bool = False) -> None:
    """One report in a box; brief where model and strategy stand around it."""
    report = row.report
    with st.container(border=True):
        if not brief:
            st.markdown(f"**{wording.plain(named(report.strategy))}** · {wording.plain(report.model)}")
        st.markdown(coloured(report.text))
        wrong = ", ".join(PROBLEMS[name] for name in row.problems)
        st.caption(f"{STANCES[row.stance].capitalize()}{wrong and f'; **{wrong}**'}.")
        if not brief:
            names = ("keyword_alignment", "stance_agreement", "format")
            said = [f"{NAMES[name].lower()} {wording.percent(row.scores.get(name))}" for name in names]
            st.caption(" · ".join([*said, f"written in {wording.duration(report.seconds)}"]))


def beside_images(dataset: Dataset, rows: Sequence[ReportRow], view: filters.View) -> None:
    """The reports of a list under each other, each beside the image it describes, which leads back to the list."""
    known = _cases([row.image.id for row in rows], view)
    listed = address.onwards(page=address.get("page"), via="reports")
    for row in rows:
        with _beside(dataset, known[row.image.id], key=f"film_{row.report.id}_{row.image.id}", kept=listed):
            show(row)


def found(dataset: Dataset, hits: Sequence[TextHit], view: filters.View) -> None:
    """What a full-text search found, each beside its image, the found words bold."""
    known = _cases([hit.image.id for hit in hits], view)
    for hit in hits:
        with _beside(dataset, known[hit.image.id], key=f"found_{hit.kind}_{hit.text_id}"), st.container(border=True):
            what = "Reader's note" if hit.strategy is None else named(hit.strategy)
            st.markdown(f"**{wording.plain(what)}** · {wording.plain(hit.author)}")
            snippet = " ".join(wording.plain(hit.snippet).split())
            st.markdown(snippet.replace(OPEN, "**").replace(CLOSE, "**"))


@contextmanager
def _beside(dataset: Dataset, case: Case, *, key: str, kept: Mapping[str, object] | None = None) -> Iterator[None]:
    """The case's thumbnail at the left; the body draws at the right. kept: what the link to the case takes along."""
    film, text = st.columns([1, 5], gap="medium")
    with film:
        grid.show(dataset, [case], key=key, width=120, instead={case.id: kept or {}})
    with text:
        yield


def _cases(ids: Sequence[int], view: filters.View) -> dict[int, Case]:
    with resources.reading() as session:
        return cases.several(session, ids, run_id=view.question.run_id, threshold=view.question.threshold)


def excerpt(text: str) -> str:
    """A report's conclusion in one line: the first sentence of its impression, or of all of it."""
    parts = [part for part in sections(text) if part.name == "impression"]
    said = " ".join((text[parts[-1].body : parts[-1].end] if parts else text).split())
    first = next(iter(sentences(said)), "")
    return first if len(first) <= EXCERPT else f"{first[:EXCERPT].rpartition(' ')[0]} \N{HORIZONTAL ELLIPSIS}"


def named(strategy: str) -> str:
    """A prompt strategy in words."""
    return strategy.replace("_", " ").capitalize()
