"""Reviews of one image with reader, time, note and tags, and a link to review it."""

import streamlit as st

from dashboard import resources
from dashboard.components import frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reviews import blind_queue, revealed
from db.queries import reviews
from db.queries.reviews import ListedReview


def show(image_id: int) -> None:
    """A table of reviews, latest first; superseded ones are muted."""
    with resources.reading() as session:
        found = reviews.of_image(session, image_id)
        tags = reviews.tags_alone(session, image_id)
    if found:
        heads = ["Reader", "Verdict", "When", "Tags", "Note"]
        linked.table(heads, [_row(one) for one in found], key="reviews", caption="Reviews of this image")
    else:
        st.caption("No reader has reviewed this image yet.")
    if tags:
        st.caption(f"Image tags: {', '.join(map(wording.plain, tags))}")
    st.page_link(
        frame.FOLDER / "reviews.py",
        label="Review this case",
        icon=":material/rate_review:",
        query_params=blind_queue.of_image(image_id),
    )


def _row(one: ListedReview) -> list[Cell | str]:
    tone, superseded = ("muted", ", superseded") if one.superseded else ("", "")
    moment = one.review.created
    return [
        Cell(one.review.reviewer, tone=tone),
        Cell(f"{revealed.in_words(one)}{superseded}", tone=tone),
        Cell(wording.ago(moment), tone=tone, help=f"{moment:%Y-%m-%d %H:%M} UTC"),
        Cell(", ".join(one.tags), tone=tone),
        Cell(one.review.note, tone=tone),
    ]
