"""How a search is asked by words: of the pictures, by an index that reads text, or of the notes and reports."""

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

PLACES = {"pictures": "The pictures", "texts": "Notes and reports"}


def ask(dataset: Dataset, index: VectorIndex | None, k: int, question: Question) -> SearchResult | None:
    """Ask with words, of whichever of the two the URL names; the pictures where an index reads text. The hits of
    pictures, or None where texts answered, which are shown at once. index: one that reads text, None where none
    does."""
    where, typed = st.columns([1, 2], vertical_alignment="bottom")
    with where:
        place = address.choice("Look in", PLACES, name="in", default="pictures" if index else "texts")
    with typed:
        text = address.words("Words", name="q", placeholder="opacity in the right lower zone")
    if place == "texts":
        if text:
            texts(dataset, text, k, question)
    elif index is None:
        panels.missing(
            "No index reads words yet. This one maps them to the classifier's features, with nothing to download:",
            panels.chain(dataset, "embed", "--embedder", "aligned", after="train"),
        )
    elif text:
        return pictures(index, text, k, question)
    return None


def pictures(index: VectorIndex, text: str, k: int, question: Question) -> SearchResult:
    """The images nearest to the words, with what the embedder cannot tell."""
    served = neighbours.serve_index(index)
    embedder = by_picture.model(served.index)
    vectors = served.vectors.project_texts(embedder.embed_texts([text]))
    st.caption(
        f"Answered by the pictures, through {index.embedder} (run {served.index.run_id}). What was written about them "
        "is searched under \u201cNotes and reports\u201d."
    )
    caveat = embedder.caveat(text, known=served.vectors.known)
    if caveat:
        st.warning(f"{caveat[0].upper()}{wording.plain(caveat[1:])}.", icon=":material/help:")
    return SearchResult(
        neighbours.nearest_to_vectors(served, vectors, k, allowed=by_picture.allowed(question)), served.index
    )


def texts(dataset: Dataset, text: str, k: int, question: Question) -> None:
    """What notes and reports say, negation heeded."""
    with resources.reading() as session:
        found = search.answer(session, question, text, limit=k, passes=matcher(text), mentions=mention_matcher(text))
        written = search.any_text(session, dataset.id)
    if not written:
        panels.missing("No report has been written yet:", panels.chain(dataset, "report"))
        return
    st.caption(
        "Answered by full-text search in readers' notes and generated reports, best first. The films themselves are "
        "searched under \u201cThe pictures\u201d."
    )
    number = len(found.hits)
    st.markdown(
        f"{wording.count(number, 'image')}{', or more,' * (number == k)} with a text that holds any of these words and "
        "does not deny what they name. Images without a text cannot be found so."
    )
    for other in found.otherwise:
        st.info(f"Texts hold these words, but {OTHERWISE}, such as: {wording.plain(' '.join(other.snippet.split()))}")
    for told in filter(None, [ignored_denial(text), *found.limits]):
        st.warning(f"{told[0].upper()}{wording.plain(told[1:])}.", icon=":material/help:")
    report_view.found(dataset, found.hits, filters.view(dataset))
