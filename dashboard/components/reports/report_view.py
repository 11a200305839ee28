"""A report on a page: its text with findings highlighted, its source, its scores and its problems."""

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
from engine.reporting.findings import read
from engine.reporting.phrases import Polarity
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
QUEUES = {"against": "Contradicts the classifier, most confident first"}
"""Reports whose stance is the opposite of the classifier's call, most confident call first."""
PROBLEMS = {
    "label": "disagrees with the label",
    "classifier": "contradicts the classifier",
    "undecided": "uncertain, unlike the classifier",
    "unsupported": "unsupported claims",
    "contradiction": "contradicts itself",
    "side": "side disagrees with the heatmap",
    "form": "not in the required format",
    "repetition": "repeats itself",
    "truncated": "truncated",
}
OF_A_RUN = ("classifier", "undecided", "side")
"""Problems that depend on a predict run: lists use the run that the report was scored against, notes below a report use
the selected run."""
SHARES = ("keyword_alignment", "format", "laterality", "repetition", "bleu", "rouge_l", "chrf")
"""Scores that can be filtered by a range in [0, 1]."""
SLOW = 0.1
"""Minimum generation time that is shown, in seconds."""
LONG, BOX = 1_500, 420
"""Length in characters above which a report is shown in a scrolling box, and the box's height in pixels."""
EXCERPT = 110
"""Maximum length of an excerpt, in characters."""
COLOURS: dict[Polarity, str] = {
    "present": "red",
    "absent": "green",
    "uncertain": "orange",
    "historical": "violet",
    "hypothetical": "gray",
}
"""Highlight colour of a finding by its polarity."""
SIGNS: dict[Polarity, str] = {"present": "**", "absent": "", "uncertain": "*", "historical": "*", "hypothetical": "*"}
"""Marks that do not rely on colour: bold if present, italic if uncertain, historical or hypothetical."""


REASONS: dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "unsupported": lambda detail: detail.get("claims", ()),
    "contradiction": lambda detail: (f"{name.replace('_', ' ')}: both" for name in detail.get("findings", ())),
    "side": lambda detail: (
        f"{wording.percent(share)} of the heat is on the {side}" for side, share in detail.get("heat", {}).items()
    ),
    "form": lambda detail: (f"{name}: missing" for name in detail.get("missing", ())),
}
"""Problem -> the reasons in the detail of its score, in words."""
MOST_REASONS = 4
"""Maximum number of reasons listed for a problem."""


def coloured(text: str) -> str:
    """The report as Markdown that shows its text verbatim, with each finding highlighted by its polarity, except words
    for normality."""
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
    """Legend of the highlighting."""
    samples = " ".join(_marked(polarity, polarity) for polarity in COLOURS)
    st.markdown(f":small[Extracted findings: {samples}. Research use only.]")


def show(row: ReportRow, view: filters.View, *, brief: bool = False) -> None:
    """One report in a box. view: if its run is not the one that the report was based on, that is noted. brief: without
    model, strategy and facts, which are shown around it."""
    report = row.report
    with st.container(border=True):
        if not brief:
            st.markdown(f"**{wording.plain(named(report.strategy))}** · {wording.plain(report.model)}")
        with folded(report.text):
            st.markdown(coloured(report.text))
        wrong = (f"**{PROBLEMS[name]}**{wording.plain(_grounds(row, name))}" for name in row.problems)
        judged = "; ".join([STANCES[row.stance].capitalize(), *wrong])
        st.caption(" · ".join([judged, *_source(row, view), *([] if brief else _facts(row))]))


@contextmanager
def folded(text: str) -> Iterator[None]:
    """Put what is drawn inside a scrolling box with the text length below it, if the text is long."""
    if len(text) <= LONG:
        yield
        return
    with st.container(height=BOX, border=False):
        yield
    st.caption(f"{len(text):,} characters; scroll to read all of it.")


def of_run(row: ReportRow, case: Case, threshold: float | None) -> ReportRow:
    """The report with its classifier-dependent scores computed for the selected run. case: its image with that run's
    prediction. threshold: the run's, None if it has none."""
    called = None if case.probability is None or threshold is None else case.probability >= threshold
    found = against_classifier(row.scores.get("stance"), called)
    sides = row.details.get("laterality", {}).get("sides")
    if sides is not None:
        found.append(sides_of_heat(sides, case.zones or {}))
    scores, details = {one.metric: one.value for one in found}, {one.metric: one.detail for one in found}
    return replace(row, scores=row.scores | scores, details=row.details | details)


def scored_otherwise(dataset: Dataset, problem: str | None, score: str | None, view: filters.View) -> None:
    """Say if the list may be filtered by scores against other predictions than the selected ones."""
    if view.run is None or (problem not in OF_A_RUN and score != "laterality"):
        return
    with resources.reading() as session:
        others = [number for number in runs.scored_against(session, dataset.id) if number != view.run.id]
    if others:
        named = " and ".join(map(str, others))
        again = wording.plain(job("score", dataset.name, "--predict-run", str(view.run.id)))
        command = f" To filter by run {view.run.id}, run: {again}" if view.run.kind == "predict" else ""
        basis = f"Filtered by scores against the predictions of run {named}; the notes below each report are about run"
        st.caption(f"{basis} {view.run.id}.{command}")


def not_scored(dataset: Dataset, number: int) -> None:
    """Say that the dataset has not scored this number of reports, and how to; nothing if it is 0."""
    if number:
        what = f"{wording.count(number, 'report')} {'is' if number == 1 else 'are'} not scored for this dataset"
        again = wording.plain(job("score", dataset.name))
        st.caption(f"{what}, and only what the text alone shows is known. To score all, run: {again}")


def problems(row: ReportRow) -> list[str]:
    """Each problem of the report with its reasons, as text."""
    return [PROBLEMS[name] + _grounds(row, name) for name in row.problems]


def _grounds(row: ReportRow, problem: str) -> str:
    """The reasons for a problem, in parentheses; empty if there are none."""
    reasons = list(dict.fromkeys(REASONS[problem](row.grounds(problem)))) if problem in REASONS else []
    more = [f"and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return f" ({'; '.join([*reasons[:MOST_REASONS], *more])})" if reasons else ""


def _source(row: ReportRow, view: filters.View) -> Iterator[str]:
    """The run whose probability the report was based on, if it is not the selected one."""
    if row.predict_run is not None and view.run is not None and row.predict_run != view.run.id:
        yield f"based on the probability of run {row.predict_run}"


def _facts(row: ReportRow) -> Iterator[str]:
    """The facts below a report: keyword alignment, and generation time if it is long."""
    aligned, seconds = row.scores.get("keyword_alignment"), row.report.seconds
    if wording.known(aligned):
        yield f"{NAMES['keyword_alignment'].lower()} {wording.percent(aligned)}"
    if seconds >= SLOW:
        yield f"generated in {wording.duration(seconds)}"


def beside_images(dataset: Dataset, rows: Sequence[ReportRow], view: filters.View) -> None:
    """The reports of a list, each next to its image, whose case page links back to the list."""
    known = _cases([row.image.id for row in rows], view)
    back = address.back_to("reports")
    for row in rows:
        with _beside(dataset, known[row.image.id], key=f"film_{row.report.id}_{row.image.id}", back=back):
            show(of_run(row, known[row.image.id], view.question.threshold), view)


def found(dataset: Dataset, hits: Sequence[TextHit], view: filters.View) -> None:
    """Full-text hits with matching words in bold, each next to its image, whose case page links back to the search."""
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
    """The case's thumbnail on the left; the body draws on the right. back: where the case page links back to."""
    film, text = st.columns([1, 5], gap="medium")
    with film:
        grid.show(dataset, [grid.Thumbnail(case, link={address.BACK: back})], key=key, width=120)
    with text:
        yield


def _cases(ids: Sequence[int], view: filters.View) -> dict[int, Case]:
    with resources.reading() as session:
        return cases.several(session, ids, run_id=view.question.run_id, threshold=view.question.threshold)


def excerpt(text: str) -> str:
    """A report's conclusion in one line: the first sentence of its impression, or else of the whole text."""
    text = answered(text)
    parts = [part for part in sections(text) if part.name == "impression"]
    conclusion = " ".join((text[parts[-1].body : parts[-1].end] if parts else text).split())
    first = next(iter(sentences(conclusion)), "")
    return first if len(first) <= EXCERPT else f"{first[:EXCERPT].rpartition(' ')[0]} \N{HORIZONTAL ELLIPSIS}"


def named(strategy: str) -> str:
    """Display name of a prompt strategy."""
    return strategy.replace("_", " ").capitalize()
