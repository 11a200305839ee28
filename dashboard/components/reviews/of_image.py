"""What readers said of one image: who, when, with which note and tags; and the way to judge it."""

import streamlit as st

from dashboard import resources
from dashboard.components import frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reviews import blind_queue, revealed
from db.queries import reviews
from db.queries.reviews import ListedReview


def show(image_id: int) -> None:
    """A table of reviews, the latest first, those that their reader has superseded muted."""
    with resources.reading() as session:
        found = reviews.of_image(session, image_id)
        tags = reviews.tags_alone(session, image_id)
    if found:
        heads = ["Reader", "Verdict", "When", "Tags", "Note"]
        linked.table(heads, [_row(said) for said in found], key="reviews", caption="Reviews of this image")
    else:
        st.caption("No reader has judged this image yet.")
    if tags:
        st.caption(f"Tags of the image: {', '.join(map(wording.plain, tags))}")
    st.page_link(
        frame.FOLDER / "reviews.py",
        label="Review this case",
        icon=":material/rate_review:",
        query_params=blind_queue.of_image(image_id),
    )


def _row(said: ListedReview) -> list[Cell | str]:
    tone, superseded = ("muted", ", superseded") if said.superseded else ("", "")
    moment = said.review.created
    return [
        Cell(said.review.reviewer, tone=tone),
        Cell(f"{revealed.in_words(said)}{superseded}", tone=tone),
        Cell(wording.ago(moment), tone=tone, help=f"{moment:%Y-%m-%d %H:%M} UTC"),
        Cell(", ".join(said.tags), tone=tone),
        Cell(said.review.note, tone=tone),
    ]
