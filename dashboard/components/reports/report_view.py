"""How reports read on a page: the text as it was written, who wrote it, its scores and what is wrong with it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, grid, wording
from db.models import Dataset
from db.queries import cases, runs
from db.queries.cases import Case
from db.queries.reports import ReportRow
from db.queries.search import CLOSE, OPEN, TextHit
from engine.commands import job
from engine.metrics.names import NAMES
from engine.reporting.context import Polarity
from engine.reporting.findings import read
from engine.reporting.prompts import answered, sentences
from engine.reporting.scores.claims import sides_of_heat
from engine.reporting.scores.stance import against_classifier
from engine.reporting.sections import sections

STANCES = {
    "pneumonia": "says pneumonia",
    "uncertain": "is uncertain",
    "normal": "says normal",
    "none": "takes no stance",
}
QUEUES = {"against": "Contradicts, surest call first"}
"""Reports whose stance is the opposite of the classifier's call, the most confident call first."""
PROBLEMS = {
    "label": "not what the label says",
    "classifier": "contradicts the classifier",
    "undecided": "uncertain where the classifier decides",
    "unsupported": "claims without support",
    "contradiction": "contradicts itself",
    "side": "side against the heatmap",
    "form": "not in the form asked for",
    "repetition": "repeats itself",
    "truncated": "breaks off",
}
OF_A_RUN = ("classifier", "undecided", "side")
"""Problems that a report has with a predict run: a list finds them by that which it was scored against, and remarks are
about the one in view."""
SHARES = ("keyword_alignment", "format", "laterality", "repetition", "bleu", "rouge_l", "chrf")
"""Scores that a range in [0, 1] can be asked of."""
SLOW = 0.1
"""Seconds from which it is worth telling how long a report took."""
LONG, BOX = 1_500, 420
"""Characters from which on a report has a box that scrolls, and the box's height in pixels."""
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


REASONS: dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "unsupported": lambda detail: detail.get("claims", ()),
    "contradiction": lambda detail: (f"{name.replace('_', ' ')}: both" for name in detail.get("findings", ())),
    "side": lambda detail: (
        f"the heat lies {wording.percent(share)} {side}" for side, share in detail.get("heat", {}).items()
    ),
    "form": lambda detail: (f"{name}: missing" for name in detail.get("missing", ())),
}
"""Problem -> what the detail of its score names, in words."""
MOST_REASONS = 4
"""Reasons that are named of one problem."""


def coloured(text: str) -> str:
    """The report as Markdown that shows its text as it is, each finding marked by its polarity; words for health, which
    name none, are not."""
    parts, at = [], 0
    for mention in read(text):
        if mention.tier != "normality":
            parts.append(wording.plain(text[at : mention.start]))
            parts.append(_marked(wording.plain(mention.term), mention.polarity))
            at = mention.end
    return wording.lines("".join([*parts, wording.plain(text[at:])]))


def _marked(term: str, polarity: Polarity) -> str:
    return f":{COLOURS[polarity]}-background[{SIGNS[polarity]}{term}{SIGNS[polarity]}]"


def legend() -> None:
    """Which colour and which letters mean what."""
    said = " ".join(_marked(polarity, polarity) for polarity in COLOURS)
    st.markdown(f":small[Findings as they are read: {said}. Research use only.]")


def show(row: ReportRow, view: filters.View, *, brief: bool = False) -> None:
    """One report in a box; brief where model and strategy stand around it. view: where its run is not the one that the
    report was written from, that is told."""
    report = row.report
    with st.container(border=True):
        if not brief:
            st.markdown(f"**{wording.plain(named(report.strategy))}** · {wording.plain(report.model)}")
        with folded(report.text):
            st.markdown(coloured(report.text))
        wrong = (f"**{PROBLEMS[name]}**{wording.plain(_grounds(row, name))}" for name in row.problems)
        judged = "; ".join([STANCES[row.stance].capitalize(), *wrong])
        st.caption(" · ".join([judged, *_source(row, view), *([] if brief else _told(row))]))


@contextmanager
def folded(text: str) -> Iterator[None]:
    """Around what is drawn of a text: of a long one a box that scrolls by itself, with its length under it."""
    if len(text) <= LONG:
        yield
        return
    with st.container(height=BOX, border=False):
        yield
    st.caption(f"{len(text):,} characters: scroll the text to read all of it.")


def of_run(row: ReportRow, case: Case, threshold: float | None) -> ReportRow:
    """The report with those of its scores that rest on a classifier as the run is in view has them. case: its image as
    that run sees it. threshold: the run's, None where it has none."""
    called = None if case.probability is None or threshold is None else case.probability >= threshold
    found = against_classifier(row.scores.get("stance"), called)
    sides = row.details.get("laterality", {}).get("sides")
    if sides is not None:
        found.append(sides_of_heat(sides, case.zones or {}))
    scores, details = {one.metric: one.value for one in found}, {one.metric: one.detail for one in found}
    return replace(row, scores=row.scores | scores, details=row.details | details)


def scored_otherwise(dataset: Dataset, problem: str | None, score: str | None, view: filters.View) -> None:
    """Tell that a list was found by other predictions than those in view, where it may have been."""
    if view.run is None or (problem not in OF_A_RUN and score != "laterality"):
        return
    with resources.reading() as session:
        others = [number for number in runs.scored_against(session, dataset.id) if number != view.run.id]
    if others:
        named = " and ".join(map(str, others))
        again = wording.plain(job("score", dataset.name, "--predict-run", str(view.run.id)))
        by_it = f" To find by it: {again}" if view.run.kind == "predict" else ""
        told = f"Found by the predictions that reports were scored against, of run {named}; remarks are about run"
        st.caption(f"{told} {view.run.id}.{by_it}")


def problems(row: ReportRow) -> list[str]:
    """Each problem of the report, with what it rests on, as text."""
    return [PROBLEMS[name] + _grounds(row, name) for name in row.problems]


def _grounds(row: ReportRow, problem: str) -> str:
    """What the problem rests on, in parentheses, where something is told."""
    reasons = list(dict.fromkeys(REASONS[problem](row.grounds(problem)))) if problem in REASONS else []
    more = [f"and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return f" ({'; '.join([*reasons[:MOST_REASONS], *more])})" if reasons else ""


def _source(row: ReportRow, view: filters.View) -> Iterator[str]:
    """Which run's probability the report was written from, where that is not the one in view."""
    if row.predict_run is not None and view.run is not None and row.predict_run != view.run.id:
        yield f"written from run {row.predict_run}'s probability"


def _told(row: ReportRow) -> Iterator[str]:
    """The facts below a report that differ from report to report: keyword alignment, and a long writing time."""
    aligned, seconds = row.scores.get("keyword_alignment"), row.report.seconds
    if wording.known(aligned):
        yield f"{NAMES['keyword_alignment'].lower()} {wording.percent(aligned)}"
    if seconds >= SLOW:
        yield f"written in {wording.duration(seconds)}"


def beside_images(dataset: Dataset, rows: Sequence[ReportRow], view: filters.View) -> None:
    """The reports of a list under each other, each beside the image it describes, which leads back to the list."""
    known = _cases([row.image.id for row in rows], view)
    back = address.back_to("reports")
    for row in rows:
        with _beside(dataset, known[row.image.id], key=f"film_{row.report.id}_{row.image.id}", back=back):
            show(of_run(row, known[row.image.id], view.question.threshold), view)


def found(dataset: Dataset, hits: Sequence[TextHit], view: filters.View) -> None:
    """What a full-text search found, each beside its image, which leads back to the search, the found words bold."""
    known, back = _cases([hit.image.id for hit in hits], view), address.back_to("search")
    for hit in hits:
        beside = _beside(dataset, known[hit.image.id], key=f"found_{hit.kind}_{hit.text_id}", back=back)
        with beside, st.container(border=True):
            what = "Reader's note" if hit.strategy is None else named(hit.strategy)
            st.markdown(f"**{wording.plain(what)}** · {wording.plain(hit.author)}")
            snippet = " ".join(wording.plain(hit.snippet).split())
            st.markdown(snippet.replace(OPEN, "**").replace(CLOSE, "**"))


@contextmanager
def _beside(dataset: Dataset, case: Case, *, key: str, back: str) -> Iterator[None]:
    """The case's thumbnail at the left; the body draws at the right. back: where the case leads back to."""
    film, text = st.columns([1, 5], gap="medium")
    with film:
        grid.show(dataset, [case], key=key, width=120, back=back)
    with text:
        yield


def _cases(ids: Sequence[int], view: filters.View) -> dict[int, Case]:
    with resources.reading() as session:
        return cases.several(session, ids, run_id=view.question.run_id, threshold=view.question.threshold)


def excerpt(text: str) -> str:
    """A report's conclusion in one line: the first sentence of its impression, or of all of it."""
    text = answered(text)
    parts = [part for part in sections(text) if part.name == "impression"]
    said = " ".join((text[parts[-1].body : parts[-1].end] if parts else text).split())
    first = next(iter(sentences(said)), "")
    return first if len(first) <= EXCERPT else f"{first[:EXCERPT].rpartition(' ')[0]} \N{HORIZONTAL ELLIPSIS}"


def named(strategy: str) -> str:
    """A prompt strategy in words."""
    return strategy.replace("_", " ").capitalize()
