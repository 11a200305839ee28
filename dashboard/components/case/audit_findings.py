"""What an audit found: its slices, and of one case the slice it stands in, how far its heatmap can be trusted, and the
training images that it resembles."""

import streamlit as st

from dashboard import resources
from dashboard.components import filters, frame, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import audit, cases
from db.queries.cases import Case
from engine.heat import EVEN_IN_FRAME
from engine.metrics.names import display_name

MEASURES = ("frame_heat", "deletion_gain", "insertion_gain")
"""Measures of single images; the glossary tells what each means."""


def facts(dataset: Dataset, case: Case, view: filters.View) -> None:
    """Slice and measures, as a table; nothing where the run was not audited or the audit did not judge the case."""
    with resources.reading() as session:
        run = audit.latest(session, view.run.id) if view.run else None
        part = audit.slice_of(session, run.id, case.id) if run else None
        found = audit.measures(session, run.id, case.id) if run else {}
    rows: list[list[Cell | str]] = []
    if part is not None:
        href = frame.here("cases", dataset, slice=part.id, run=view.question.run_id)
        wrong = f"{part.failures:,} of {part.images:,} wrong ({wording.percent(part.rate)})"
        rows.append([Cell(part.name, href), Cell(wrong, help=part.description)])
    rows += [
        [display_name(name), f"{found[name]:+.3f}" if wording.is_score(name) else _beside_even(found[name])]
        for name in MEASURES
        if name in found
    ]
    if run is not None and rows:
        heads = [f"Audit, run {run.id}", ">This case"]
        linked.table(heads, rows, key="audited", caption="What the audit found of this case")


def _beside_even(share: float) -> str:
    """The share of the heat in the outer frame beside that of an even heatmap: less is no lean towards the frame."""
    return f"{wording.percent(share)} (even heat: {wording.percent(EVEN_IN_FRAME)})"


def slices(dataset: Dataset, run: Run) -> None:
    """The run's slices, those that fail most first, with what marks them and the way to their cases; nothing where it
    found none. dataset: the run's."""
    with resources.reading() as session:
        found = audit.slices(session, run.id)
        predicted = run.config.get("predict_run")
        last = audit.latest(session, predicted) if predicted else None
    if not found:
        return
    st.header("Slices")
    st.caption(
        "Films of one label that look alike; higher and lower are against the other films of that label, in standard "
        "deviations. p: how likely so many failures would be if the slice failed like the rest "
        "of its label, corrected for the number of slices (Holm)."
    )
    rows: list[list[Cell | str]] = []
    for part in found:
        # an earlier audit's slices are no filter any more
        href = frame.here("cases", dataset, slice=part.id, run=predicted) if last and last.id == run.id else None
        share, span = wording.percent(part.rate), wording.interval("error_rate", part.low, part.high)
        counts: list[Cell | str] = [f"{part.images:,}", f"{part.failures:,}", Cell(f"{share} ({span})", tone="strong")]
        rows.append([Cell(part.name, href), part.description, *counts, f"{part.p_value:.2g}"])
    heads = ["Slice", "What marks it", ">Images", ">Wrong", ">Error rate (95 %)", ">p"]
    linked.table(heads, rows, key="slices", caption="Slices of the audit")


def neighbours(dataset: Dataset, case: Case, view: filters.View) -> None:
    """The training images nearest to the case in the classifier's features, where the audit kept them: it does for
    failures, and for near-duplicates of training images."""
    with resources.reading() as session:
        run = audit.latest(session, view.run.id) if view.run else None
        found = audit.neighbours(session, run.id, case.id) if run else []
        found = [near for near in found if near.image.dataset_id == dataset.id]  # a classifier may be of another one
        wanted = [near.image.id for near in found]
        source, threshold = view.behind or view.run, view.question.threshold
        known = cases.several(session, wanted, run_id=source.id if source else None, threshold=threshold)
    if run is None or not found:
        return
    same = sum(near.image.label == case.label for near in found)
    st.subheader("Training images it resembles", anchor=False)
    st.caption(
        f"Found by audit run {run.id}. {same} of {len(found)} carry its label. What the classifier learned from these "
        "it may have applied here; probabilities and outcomes under them are out of fold."
    )
    titles = {near.image.id: f"Similarity {near.neighbour.similarity:.3f}" for near in found}
    lines = {
        near.image.id: [
            _said(known[near.image.id].probability),
            *(["near-duplicate"] if near.neighbour.verdict == audit.NEAR_DUPLICATE else []),
        ]
        for near in found
    }
    learned = [known[number] for number in wanted]
    instead = dict.fromkeys(wanted, filters.held_out(view))
    grid.show(dataset, learned, key="learned", titles=titles, lines=lines, width=180, instead=instead)


def _said(probability: float | None) -> str:
    return "not predicted" if probability is None else f"held out: {wording.percent(probability)} pneumonia"
