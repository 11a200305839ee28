"""Audit results: the slices of a run and, for one case, its slice, the faithfulness of its heatmap and the most similar
training images."""

from collections.abc import Mapping

import streamlit as st

from dashboard import resources
from dashboard.components import filter_words, filters, frame, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import audit, cases
from db.queries.audit import CHANGES, UNDER
from db.queries.cases import Case
from engine.imaging.heat import EVEN_IN_FRAME
from engine.metrics.names import display_name

MEASURES = ("frame_heat", "deletion_gain", "insertion_gain")
"""Metrics of single images; see the glossary for definitions."""


def facts(dataset: Dataset, case: Case, view: filters.View) -> None:
    """Slice and metrics as a table; nothing if the run was not audited or the audit did not cover the case."""
    with resources.reading() as session:
        run = audit.latest(session, view.run.id) if view.run else None
        part = audit.slice_of(session, run.id, case.id) if run else None
        found = audit.measures(session, run.id, case.id) if run else {}
    rows: list[list[Cell | str]] = []
    if part is not None:
        href = frame.here("cases", dataset, slice=part.id, run=view.question.run_id)
        wrong = f"{part.failures:,} of {part.images:,} misclassified ({wording.percent(part.rate)})"
        rows.append([Cell(f"Slice {part.name}", href), Cell(wrong, help=part.description)])
    rows += [
        [display_name(name), f"{found[name]:+z.3f}" if wording.is_score(name) else _with_uniform(found[name])]
        for name in MEASURES
        if name in found
    ]
    if CHANGES in found:
        rows += _under_stress(dataset, view, found)
    if run is not None and rows:
        heads = ["Audit", ">This case"]
        rows.insert(0, ["Run", Cell(f"{run.id}", frame.here("runs", dataset, run=run.id))])
        linked.table(heads, rows, key="audited", caption="Audit results of this case")


def _under_stress(dataset: Dataset, view: filters.View, found: Mapping[str, float]) -> list[list[Cell | str]]:
    """How many stresses change the call, and the probability under each of these, linked to other such cases."""
    at = filter_words.own_threshold(view.question)
    rows: list[list[Cell | str]] = [[display_name(CHANGES), f"{found[CHANGES]:.0f}{at}"]]
    for name, value in sorted(found.items()):
        if name.startswith(UNDER):
            stress = name.removeprefix(UNDER)
            href = frame.here("cases", dataset, stress=stress, run=view.question.run_id)
            rows.append([Cell(f"– {stress}", href), f"{wording.percent(value)} pneumonia"])
    return rows


def _with_uniform(share: float) -> str:
    """The share of heat in the outer frame next to that of a uniform heatmap: less shows no bias towards the frame."""
    return f"{wording.percent(share)} (uniform: {wording.percent(EVEN_IN_FRAME)})"


def slices(dataset: Dataset, run: Run) -> None:
    """The run's slices with their characteristics and links to their cases, highest error rate first; nothing if there
    are none. dataset: the run's."""
    with resources.reading() as session:
        found = audit.slices(session, run.id)
        predicted = run.config.get("predict_run")
        last = audit.latest(session, predicted) if predicted else None
    if not found:
        return
    st.header("Slices")
    st.caption(
        "Groups of similar-looking images with the same label. Higher and lower are relative to the other images of "
        "that label, in standard deviations. p: probability of this many errors if the slice had the error rate of the "
        "rest of its label, adjusted for the number of slices (Holm)."
    )
    rows: list[list[Cell | str]] = []
    for part in found:
        # only the latest audit's slices can be used as filters
        href = frame.here("cases", dataset, slice=part.id, run=predicted) if last and last.id == run.id else None
        share, span = wording.percent(part.rate), wording.interval("error_rate", part.low, part.high)
        counts: list[Cell | str] = [f"{part.images:,}", f"{part.failures:,}", Cell(f"{share} ({span})", tone="strong")]
        rows.append([Cell(part.name, href), part.description, *counts, f"{part.p_value:.2g}"])
    heads = ["Slice", "Characteristics", ">Images", ">Errors", ">Error rate (95 %)", ">p"]
    linked.table(heads, rows, key="slices", caption="Audit slices", sortable=True)


def neighbours(dataset: Dataset, case: Case, view: filters.View) -> None:
    """The training images nearest to the case in the classifier's feature space, if the audit stored them: it does so
    for failures and for near-duplicates of training images."""
    with resources.reading() as session:
        run = audit.latest(session, view.run.id) if view.run else None
        found = audit.neighbours(session, run.id, case.id) if run else []
        found = [
            near for near in found if near.image.dataset_id == dataset.id
        ]  # the classifier may be from another dataset
        wanted = [near.image.id for near in found]
        source, threshold = view.train_run or view.run, view.question.threshold
        known = cases.several(session, wanted, run_id=source.id if source else None, threshold=threshold)
    if run is None or not found:
        return
    same = sum(near.image.label == case.label for near in found)
    st.subheader("Most similar training images", anchor=False)
    st.caption(
        f"From audit run {run.id}, by the classifier's features. {same} of {len(found)} have the label of this case. "
        "The classifier may have applied here what it learned from them. Their probabilities and outcomes are out of "
        "fold."
    )
    drawn = []
    for near in found:
        training = known[near.image.id]
        duplicate = ["near-duplicate"] if near.neighbour.verdict == audit.NEAR_DUPLICATE else []
        thumbnail = grid.Thumbnail(
            training,
            title=f"Similarity {near.neighbour.similarity:.3f}",
            lines=[_out_of_fold(training.probability), *duplicate],
            link=filters.held_out(view),
        )
        drawn.append(thumbnail)
    grid.show(dataset, drawn, key="learned", width=180)


def _out_of_fold(probability: float | None) -> str:
    return "not predicted" if probability is None else f"out of fold: {wording.percent(probability)} pneumonia"
