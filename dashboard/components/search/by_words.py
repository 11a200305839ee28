"""Search by text: of images, through an index that supports text, or of notes and reports."""

import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, panels, wording
from dashboard.components.reports import report_view
from dashboard.components.search import by_picture, neighbours
from dashboard.components.search.neighbours import SearchResult
from db.models import Dataset, VectorIndex
from db.queries import search
from db.queries.cases import Question
from engine.reporting.matching import OTHERWISE, ignored_denial, matcher, mention_matcher

PLACES = {"pictures": "Images", "texts": "Notes and reports"}


def ask(dataset: Dataset, index: VectorIndex | None, k: int, question: Question) -> SearchResult | None:
    """Search images or texts, as the URL says; by default images if an index supports text. Returns the image hits;
    hits in texts are drawn at once, and None is returned. index: one that supports text, or None."""
    where, typed = st.columns([1, 2], vertical_alignment="bottom")
    with where:
        place = address.choice("Search in", PLACES, name="in", default="pictures" if index else "texts")
    with typed:
        text = address.words("Text", name="q", placeholder="opacity in the right lower zone")
    if place == "texts":
        if text:
            texts(dataset, text, k, question)
    elif index is None:
        panels.missing(
            "No index supports text search yet. This one maps text to classifier features and needs no download:",
            panels.chain(dataset, "embed", "--embedder", "aligned", after="train"),
        )
    elif text:
        return pictures(index, text, k, question)
    return None


def pictures(index: VectorIndex, text: str, k: int, question: Question) -> SearchResult:
    """The images nearest to the text, with the embedder's caveat."""
    served = neighbours.serve_index(index)
    embedder = by_picture.model(served.index)
    vectors = served.vectors.project_texts(embedder.embed_texts([text]))
    st.caption(
        f"Searched the images through index {index.embedder} (run {served.index.run_id}). To search what was written "
        "about them, choose \u201cNotes and reports\u201d."
    )
    caveat = embedder.caveat(text, known=served.vectors.known)
    if caveat:
        st.warning(f"{caveat[0].upper()}{wording.plain(caveat[1:])}.", icon=":material/help:")
    return SearchResult(
        neighbours.nearest_to_vectors(served, vectors, k, allowed=by_picture.allowed(question)), served.index
    )


def texts(dataset: Dataset, text: str, k: int, question: Question) -> None:
    """Full-text search of notes and reports that respects negation."""
    with resources.reading() as session:
        found = search.answer(session, question, text, limit=k, passes=matcher(text), mentions=mention_matcher(text))
        written = search.any_text(session, Question(dataset.id))
    if not written:
        panels.missing("There are no notes or reports yet. Run:", panels.chain(dataset, "report"))
        return
    st.caption(
        "Full-text search in readers' notes and generated reports, best match first. To search the images themselves, "
        "choose \u201cImages\u201d."
    )
    number = len(found.hits)
    st.markdown(
        f"{wording.count(number, 'image')}{' or more' * (number == k)} with a text that contains any of these words "
        "and does not negate them. Images without a text cannot be found this way."
    )
    for other in found.otherwise:
        st.info(
            f"Texts contain these words, but {OTHERWISE}, such as: {wording.plain(' '.join(other.snippet.split()))}"
        )
    for caveat in filter(None, [ignored_denial(text), *found.limits]):
        st.warning(f"{caveat[0].upper()}{wording.plain(caveat[1:])}.", icon=":material/help:")
    report_view.found(dataset, found.hits, filters.view(dataset))
