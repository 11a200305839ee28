"""List of reviews, filtered by reader, verdict and tag, with a CSV download."""

from functools import partial

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reviews import revealed
from db.models import Dataset
from db.queries import reviews
from db.queries.cases import label_name
from db.queries.reviews import ListedReview, ReviewQuestion
from db.review_rules import VERDICTS
from engine.tables import csv_text

SIZE = 25
EXCERPT = 160
"""Maximum length of a note in the list; the full note is the cell's tooltip."""
HEADS = (
    *("dataset", "image", "file", "sha256", "reviewer", "verdict", "tags", "note", "time", "label", "probability"),
    *("superseded", "unblinded_by"),
)


def show(dataset: Dataset, view: filters.View) -> None:
    """Draw the filters, the list and the download button."""
    listed = _asked(dataset)
    with resources.reading() as session:
        total = reviews.count(session, listed)
        page = address.page(total, SIZE)
        rows = reviews.page(session, listed, limit=SIZE, offset=(page - 1) * SIZE)
    summary, download = st.columns([4, 1], vertical_alignment="center")
    with summary:
        st.markdown(f"{wording.count(total, 'review')}. This list reveals labels and other readers' verdicts.")
    if not rows:
        st.info("No review matches." if listed != ReviewQuestion(dataset.id) else "No image has been reviewed yet.")
        return
    with download:
        st.download_button(
            "Reviews as CSV",
            partial(csv, dataset, listed, view.question.run_id),
            file_name=f"reviews-{dataset.name}.csv",
            mime="text/csv",
            on_click="ignore",
        )
    heads = ["Image", "Reader", "Verdict", "Label", "When", "Shown before", "Tags", "Note"]
    table = [_row(dataset, one, view.question.run_id) for one in rows]
    linked.table(heads, table, key="listed", caption="Reviews, latest first")
    address.pages(total, SIZE)


def csv(dataset: Dataset, listed: ReviewQuestion, run_id: int | None) -> str:
    """All reviews that match, one line each, latest first, with the run's probability."""
    with resources.reading() as session:
        found = reviews.page(session, listed)
        probabilities = reviews.probabilities(session, run_id, listed)
    rows = []
    for one in found:
        review, image = one.review, one.image
        which = (dataset.name, image.id, image.path, image.sha256)
        given = (review.reviewer, review.verdict, "; ".join(one.tags), review.note, review.created.isoformat())
        known = (label_name(image.label), probabilities.get(image.id), "yes" if one.superseded else "no")
        rows.append((*which, *given, *known, _shown_before(one)))
    return csv_text(HEADS, rows)


def _shown_before(one: ListedReview) -> str:
    """What the reader had been shown about the image; "" for nothing."""
    return "unknown" if one.review.unblinded_by is None else one.review.unblinded_by


def _asked(dataset: Dataset) -> ReviewQuestion:
    """Draw the list's filters in the sidebar; unused values are not offered."""
    with resources.reading() as session:
        names, tags = reviews.reviewers(session, dataset.id), reviews.tags_in_use(session, dataset.id)
    with st.sidebar:
        reviewer = address.menu("Reader", {name: name for name in names}, name="by")
        verdict = address.menu("Verdict", VERDICTS, name="verdict")
        tag = address.menu("Tag", {name: name for name in tags}, name="tagged") if tags else None
    return ReviewQuestion(dataset.id, reviewer=reviewer, verdict=verdict, tag=tag)


def _row(dataset: Dataset, one: ListedReview, run_id: int | None) -> list[Cell | str]:
    review, tone = one.review, "muted" if one.superseded else ""
    note = review.note if len(review.note) <= EXCERPT else f"{review.note[:EXCERPT]} \N{HORIZONTAL ELLIPSIS}"
    superseded = ", superseded" if one.superseded else ""
    return [
        Cell(f"{one.image.id}", frame.here("case", dataset, image=one.image.id, run=run_id)),
        Cell(review.reviewer, tone=tone),
        Cell(f"{revealed.in_words(one)}{superseded}", tone=tone),
        Cell(wording.LABELS[one.image.label], tone=tone),
        Cell(wording.ago(review.created), tone=tone, help=f"{review.created:%Y-%m-%d %H:%M} UTC"),
        Cell(_shown_before(one) or "nothing", tone=tone),
        Cell(", ".join(one.tags), tone=tone),
        Cell(note, tone=tone, help=review.note if note != review.note else ""),
    ]
