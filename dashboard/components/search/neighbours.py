"""Nearest cases in a vector index, searched on request, and their display."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import address, filters, frame, grid, wording
from dashboard.components.reports import report_view
from db.models import Dataset, Run, VectorIndex
from db.queries import cases, indexes, reports, runs
from db.queries.cases import Case
from engine.commands import embed_again
from engine.errors import InputError
from engine.imaging.heat import leading_zones
from engine.retrieval.embedders import APART, OWN, spec
from engine.retrieval.index.vector_index import VectorIndex as OpenIndex
from engine.retrieval.neighbours import nearest, vote
from engine.retrieval.serving import ServedIndex, serve
from engine.tables import csv_text


@dataclass(frozen=True)
class Hit:
    """A hit and its cosine similarity in [-1, 1]."""

    image_id: int
    similarity: float


Served = ServedIndex[VectorIndex]
"""An index ready for search: its database row and its vectors."""


@dataclass(frozen=True)
class SearchResult:
    """The hits of an image or text query in an index, and the share of the query's heat in each lung zone if known."""

    hits: list[Hit]
    index: VectorIndex
    zones: Mapping[str, float] | None = None
    afterwards: Callable[[], None] | None = None
    """Draws what belongs to the query image, after the hits, because users wait for those."""


def caution(index: VectorIndex, view: filters.View) -> str:
    """A warning if the index was built from a trained classifier's features, else "".

    Features of the selected classifier, or of a member of that ensemble, are not a second opinion on it; for any other
    classifier, its train run is named.
    """
    try:
        known = spec(index.embedder)
        if not known.learnt:
            return ""
    except InputError:  # the embedder is no longer available
        return ""
    with resources.reading() as session:
        made = runs.find(session, index.run_id)
        trained = runs.find(session, made.config.get("train_run") or 0) if made else None
        asked = view.run and (view.run.id if view.run.kind == "train" else view.run.config.get("train_run"))
        seen = runs.find(session, asked or 0)
    apart = f" {APART}" if known.apart else ""
    if trained is None or (seen is not None and _members(trained) & _members(seen)):
        return f"{OWN}{apart}"
    named = f" ({wording.plain(trained.recipe)})" if trained.recipe else ""
    other = ", not of the selected one" if view.run else ""
    return f"This index uses features of train run {trained.id}'s classifier{named}{other}.{apart}"


def _members(run: Run) -> set[int]:
    """Ids of a train run and, for an ensemble, of the runs that it averages."""
    return {run.id, *(run.config.get("parts") or {}).values()}


def serve_index(index: VectorIndex) -> Served:
    """Load the index; if it is damaged, the last intact one before it, with a warning on the page. Raises InputError if
    there is none."""

    def load(one: VectorIndex) -> OpenIndex:
        return resources.vector_index(one.path, one.sha256)

    def earlier() -> list[VectorIndex]:
        with resources.reading() as session:
            return indexes.earlier(session, index)

    found = serve(index, load, earlier=earlier, rebuild=partial(rebuild, index))
    if found.damage is not None:
        st.warning(f"{wording.plain(found.damage)}\n\nThe index of run {found.index.run_id} is used instead.")
    return found


def rebuild(index: VectorIndex) -> str:
    """The command that rebuilds the index."""
    with resources.reading() as session:
        dataset = session.get_one(Dataset, index.dataset_id)
    return embed_again(dataset.name, index.embedder)


def nearest_to_image(
    served: Served,
    image_id: int,
    k: int,
    *,
    allowed: Collection[int] | None = None,
    exclude: Collection[int] | None = None,
) -> list[Hit]:
    """The k nearest images to an image in the index; needs no model. exclude: ids to leave out, by default the image
    itself. Raises InputError if the image is not in the index."""
    rows = served.vectors.rows([image_id])
    if not len(rows):
        raise InputError(
            f"image {image_id} is not in index '{served.index.embedder}'; add it with: {rebuild(served.index)}"
        )
    query = served.vectors.vectors[rows]
    return nearest_to_vectors(served, query, k, allowed=allowed, exclude=exclude or [image_id])


def nearest_to_vectors(
    served: Served, vectors: Any, k: int, *, allowed: Collection[int] | None, exclude: Collection[int] | None = None
) -> list[Hit]:
    """The k nearest to the first of `vectors`, float32 (1, d)."""
    found = nearest(served.vectors, vectors, k, held=held(served), allowed=allowed, exclude=exclude)
    return [Hit(*pair) for pair in found]


def held(served: Served) -> Callable[[Sequence[int]], Sequence[int]]:
    """Those of given images that the dataset still has; some may have been removed since the index was built."""

    def those(ids: Sequence[int]) -> Sequence[int]:
        with resources.reading() as session:
            return cases.of_dataset(session, served.index.dataset_id, ids)

    return those


def show(
    dataset: Dataset,
    result: SearchResult,
    view: filters.View,
    *,
    key: str,
    wanted: int,
    onwards: Mapping[str, object],
    back: str | None = None,
    narrowed: bool = False,
) -> None:
    """Draw a summary of the hits' labels and the hits, most similar first, with prediction, excerpt of the latest
    report and the lung zones shared with the query.

    wanted: number of hits requested. onwards: URL parameters of the search for cases similar to a hit. back: where a
    case links back to, see `address.back_to`; by default where the page itself does. narrowed: whether hits were
    filtered by label, cause or outcome, so that their labels carry no information.
    """
    hits, zones = result.hits, result.zones
    with resources.reading() as session:
        known = seen(session, [hit.image_id for hit in hits], view)
        latest = reports.latest_of(session, [case.sha256 for case in known.values()])
    found = [known[hit.image_id] for hit in hits if hit.image_id in known]
    if not found:
        st.info("No image matches.")
        return
    votes, download = st.columns([4, 1], vertical_alignment="center")
    with votes:
        fewer = f" Only {len(found)} match." if len(found) < wanted else ""
        matching = f"**{wording.count(len(found), 'case')}** that match the filters, most similar first."
        st.markdown(f"{matching if narrowed else vote_in_words([case.label for case in found])}{fewer}")
    if warning := caution(result.index, view):
        st.caption(warning)
    excerpts = {case.id: report_view.excerpt(latest[case.sha256].text) for case in found if case.sha256 in latest}
    drawn = []
    for hit in (hit for hit in hits if hit.image_id in known):
        case = known[hit.image_id]
        thumbnail = grid.Thumbnail(
            case,
            title=f"Similarity {hit.similarity:.3f}",
            lines=[*_reasons(case, zones), *([excerpts[case.id]] if case.id in excerpts else [])],
            link=_link(case, view, back),
            more=("Cases like this", frame.here("search", dataset, **{**onwards, "by": "image", "image": case.id})),
        )
        drawn.append(thumbnail)
    grid.show(dataset, drawn, key=key, width=180)
    with download:
        st.download_button(
            "Hits as CSV",
            _csv(hits, known, zones, excerpts),
            file_name=f"hits-{dataset.name}.csv",
            mime="text/csv",
            key=f"{key}_csv",
            on_click="ignore",
        )


def query(dataset: Dataset, case: Case, view: filters.View, *, width: int, whole: bool = False) -> None:
    """The query image as a card like those of the hits, linked to its case. case: from `seen`."""
    link, reasons = _link(case, view, address.back_to("search")), list(_reasons(case, None))
    thumbnail = grid.Thumbnail(case, title=f"Image {case.id}", lines=reasons, link=link)
    grid.show(dataset, [thumbnail], key="query", width=width, whole=whole)


def _link(case: Case, view: filters.View, back: str | None) -> dict[str, object]:
    """URL parameters of the link to a case: its page shows an out-of-fold prediction if that is the one shown here."""
    held_out = filters.held_out(view) if case.fold is not None else {}
    return held_out | ({address.BACK: back} if back else {})


def seen(session: Session, wanted: Sequence[int], view: filters.View) -> dict[int, Case]:
    """The images by id, with the prediction of the selected run or, for images that it did not score, the out-of-fold
    prediction of its train run."""
    question = view.question
    known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
    unscored = [number for number, case in known.items() if case.probability is None]
    if view.train_run and unscored:
        known |= cases.several(session, unscored, run_id=view.train_run.id, threshold=question.threshold)
    return known


def _reasons(case: Case, zones: Mapping[str, float] | None) -> Iterator[str]:
    """The prediction of a hit, and the lung zones that it shares with the query."""
    if case.probability is not None:
        held_out = "" if case.fold is None else " (out of fold)"
        yield f"Model{held_out}: {wording.percent(case.probability)} pneumonia"
    if zones and case.zones:
        both = shared(zones, case.zones)
        yield f"Shared zones: {', '.join(both)}" if both else "No shared zone"


def shared(one: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    """The lung zones with most heat in both, in words."""
    return [zone.replace("_", " ") for zone in leading_zones(one) if zone in leading_zones(other)]


def _csv(
    hits: Sequence[Hit], known: Mapping[int, Case], zones: Mapping[str, float] | None, excerpts: Mapping[int, str]
) -> str:
    """The hits, one line each, with the contents of their cards."""
    heads = ["rank", "similarity", "image", "split", "label", "cause", "probability", "held_out"]
    heads += ["shared_zones", "report", "path"]
    rows = []
    for rank, hit in enumerate(hits, start=1):
        case = known.get(hit.image_id)
        if case is None:
            continue
        both = "; ".join(shared(zones, case.zones)) if zones and case.zones else None
        held_out = None if case.probability is None else "no" if case.fold is None else "yes"
        facts = (case.id, case.split, cases.label_name(case.label), case.cause, case.probability, held_out)
        rows.append((rank, hit.similarity, *facts, both, excerpts.get(case.id), case.path))
    return csv_text(heads, rows)


def search_method(index: VectorIndex) -> str:
    """Search method of the index, in words."""
    if index.kind in ("exact", "IndexFlatIP"):
        return "cosine similarity, exact search"
    with resources.reading() as session:
        made = runs.find(session, index.run_id)
    recall = ((made.summary if made else None) or {}).get("recall_at_10")
    found = f", finds {wording.percent(recall)} of the 10 nearest" if recall is not None else ""
    return f"cosine similarity, approximate search ({index.kind}{found})"


def vote_in_words(labels: Sequence[int | None]) -> str:
    """Summary of the hits' labels."""
    counted = vote(labels)
    share = f"**{counted.pneumonia} of {counted.known}** nearest cases are labelled pneumonia"
    unknown = len(labels) - counted.known
    return f"{share} ({wording.percent(counted.share)}){f'; {unknown} have no label' if unknown else ''}."
