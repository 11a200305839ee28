"""Which cases are nearest in a vector index, found live, and how they look."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import address, filters, grid, wording
from dashboard.components.reports import report_view
from db.models import Dataset, Run, VectorIndex
from db.queries import cases, evaluation, reports, runs
from db.queries.cases import Case
from engine.commands import embed_again
from engine.errors import InputError
from engine.heat import leading_zones
from engine.retrieval.embedders import spec
from engine.retrieval.neighbours import nearest, vote
from engine.retrieval.serving import ServedIndex, serve
from engine.retrieval.vector_index import VectorIndex as OpenIndex
from engine.tables import csv_text


@dataclass(frozen=True)
class Hit:
    """A found image and its cosine similarity in [-1, 1]."""

    image_id: int
    similarity: float


Served = ServedIndex[VectorIndex]
"""An index that answers: what the database knows of it, and its vectors."""


@dataclass(frozen=True)
class SearchResult:
    """The hits of a picture or text by an index, and the share of the query's heat in each lung zone where that is
    known."""

    hits: list[Hit]
    index: VectorIndex
    zones: Mapping[str, float] | None = None
    film: Callable[[], None] | None = None
    """Draws the query's picture, which comes after its hits: they are what is waited for."""


OWN = "These are the classifier's own features: neighbours tend to share its errors, so no second opinion."


def caution(index: VectorIndex, view: filters.View) -> str:
    """A warning where the index was built from a trained classifier's features, else "".

    Features of the classifier in view, or of a part of that ensemble, are no second opinion on it; of any other
    classifier its train run is named.
    """
    try:
        if not spec(index.embedder).learnt:
            return ""
    except InputError:  # of an embedder that is not known here any more
        return ""
    with resources.reading() as session:
        made = runs.find(session, index.run_id)
        trained = runs.find(session, made.config.get("train_run") or 0) if made else None
        asked = view.run and (view.run.id if view.run.kind == "train" else view.run.config.get("train_run"))
        seen = runs.find(session, asked or 0)
    if trained is None or (seen is not None and _members(trained) & _members(seen)):
        return OWN
    named = f" ({wording.plain(trained.recipe)})" if trained.recipe else ""
    other = ", not of the one in view" if view.run else ""
    return f"These are features of train run {trained.id}'s classifier{named}{other}."


def _members(run: Run) -> set[int]:
    """A train run, and of an ensemble those that it averages."""
    return {run.id, *(run.config.get("parts") or {}).values()}


def serve_index(index: VectorIndex) -> Served:
    """The index's folder; where it is damaged, the last whole one before it, with a word on the page. Raises InputError
    where there is none."""

    def load(one: VectorIndex) -> OpenIndex:
        return resources.vector_index(one.path, one.sha256)

    def earlier() -> list[VectorIndex]:
        with resources.reading() as session:
            return evaluation.earlier_indexes(session, index)

    found = serve(index, load, earlier=earlier, rebuild=partial(rebuild, index))
    if found.damage is not None:
        st.warning(f"{wording.plain(found.damage)}\n\nThe index of run {found.index.run_id} answers instead.")
    return found


def rebuild(index: VectorIndex) -> str:
    """The command that brings the index up to date."""
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
    """The k nearest to an image that is in the index; no model is needed. exclude: what is left out, by default the
    image itself. Raises InputError where it is not in it."""
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
    with resources.reading() as session:
        held = partial(cases.of_dataset, session, served.index.dataset_id)
        found = nearest(served.vectors, vectors, k, held=held, allowed=allowed, exclude=exclude)
    return [Hit(*pair) for pair in found]


def show(
    dataset: Dataset,
    hits: Sequence[Hit],
    view: filters.View,
    *,
    key: str,
    wanted: int,
    caution: str,
    zones: Mapping[str, float] | None = None,
    onwards: Mapping[str, object],
    back: str | None = None,
    narrowed: bool = False,
) -> None:
    """What the neighbours' labels say together, and the neighbours, nearest first, with what the classifier and the
    latest report say of each, and which lung zones they share with the query.

    wanted: how many were asked for. caution: what to know of the vectors, see `caution`. zones: share of the
    query's heat in each lung zone. onwards: what the search for cases like a hit takes along in its URL. back:
    as `grid.show` takes it. narrowed: whether label, cause or outcome were asked for: the neighbours' labels tell
    nothing then.
    """
    with resources.reading() as session:
        known = seen(session, [hit.image_id for hit in hits], view)
        said = reports.latest_of(session, [case.sha256 for case in known.values()])
    found = [known[hit.image_id] for hit in hits if hit.image_id in known]
    if not found:
        st.info("No image of the dataset matches.")
        return
    votes, download = st.columns([4, 1], vertical_alignment="center")
    with votes:
        fewer = f" No more than {len(found)} match." if len(found) < wanted else ""
        matching = f"**{wording.count(len(found), 'case')}** of those that match the filters, nearest first."
        st.markdown(f"{matching if narrowed else vote_in_words([case.label for case in found])}{fewer}")
    if caution:
        st.caption(caution)
    titles = {hit.image_id: f"Similarity {hit.similarity:.3f}" for hit in hits}
    excerpts = {case.id: report_view.excerpt(said[case.sha256].text) for case in found if case.sha256 in said}
    lines = {case.id: [*_reasons(case, zones), *([excerpts[case.id]] if case.id in excerpts else [])] for case in found}
    instead = _instead(found, view)
    grid.show(
        dataset, found, key=key, titles=titles, lines=lines, onwards=onwards, width=180, instead=instead, back=back
    )
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
    """An image of the dataset that is searched with, as a card like the hits', which leads to its case. case: as `seen`
    gives it."""
    titles, lines = {case.id: f"Image {case.id}"}, {case.id: list(_reasons(case, None))}
    instead, back = _instead([case], view), address.back_to("search")
    grid.show(
        dataset, [case], key="query", titles=titles, lines=lines, width=width, instead=instead, back=back, whole=whole
    )


def _instead(found: Sequence[Case], view: filters.View) -> dict[int, dict[str, object]]:
    """By image id, the URL parameters of the link to a case that was scored out of fold: its page then shows
    that prediction."""
    return {case.id: filters.held_out(view) for case in found if case.fold is not None}


def seen(session: Session, wanted: Sequence[int], view: filters.View) -> dict[int, Case]:
    """The images by id, with the prediction of the run in view; images that it did not score have the out-of-fold
    prediction of the train run behind it."""
    question = view.question
    known = cases.several(session, wanted, run_id=question.run_id, threshold=question.threshold)
    unscored = [number for number, case in known.items() if case.probability is None]
    if view.behind and unscored:
        known |= cases.several(session, unscored, run_id=view.behind.id, threshold=question.threshold)
    return known


def _reasons(case: Case, zones: Mapping[str, float] | None) -> Iterator[str]:
    """What the classifier says of a hit, and where its evidence lies in the query as well."""
    if case.probability is not None:
        held_out = "" if case.fold is None else " (held out)"
        yield f"Model{held_out}: {wording.percent(case.probability)} pneumonia"
    if zones and case.zones:
        both = shared(zones, case.zones)
        yield f"Both: {', '.join(both)}" if both else "No zone in common"


def shared(one: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    """The lung zones that hold the evidence in both, in words."""
    return [zone.replace("_", " ") for zone in leading_zones(one) if zone in leading_zones(other)]


def _csv(
    hits: Sequence[Hit], known: Mapping[int, Case], zones: Mapping[str, float] | None, excerpts: Mapping[int, str]
) -> str:
    """The hits, a line each, with all that stands on their cards."""
    heads = ["rank", "similarity", "image", "split", "label", "cause", "probability", "held_out"]
    heads += ["shared_zones", "report", "path"]
    rows = []
    for rank, hit in enumerate(hits, start=1):
        case = known.get(hit.image_id)
        if case is None:
            continue
        both = "; ".join(shared(zones, case.zones)) if zones and case.zones else None
        held_out = None if case.probability is None else "no" if case.fold is None else "yes"
        told = (case.id, case.split, cases.label_name(case.label), case.cause, case.probability, held_out)
        rows.append((rank, hit.similarity, *told, both, excerpts.get(case.id), case.path))
    return csv_text(heads, rows)


def search_method(index: VectorIndex) -> str:
    """How the index is searched, in words."""
    exact = index.kind in ("exact", "IndexFlatIP")
    return f"cosine similarity, {'exact search' if exact else f'approximate search ({index.kind})'}"


def vote_in_words(labels: Sequence[int | None]) -> str:
    """What the neighbours' labels say."""
    counted = vote(labels)
    share = f"**{counted.pneumonia} of {counted.known}** nearest cases carry the label pneumonia"
    unknown = len(labels) - counted.known
    return f"{share} ({wording.percent(counted.share)}){f'; {unknown} have no label' if unknown else ''}."
