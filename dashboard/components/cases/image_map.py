"""How the map of all images reads: the chart, a point that leads to its case, and what a box over it holds."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, frame, grid, wording
from dashboard.components.browser import linked, redirect
from dashboard.components.browser.linked import Cell
from dashboard.components.cases import exports, selection
from db.models import Dataset, Run
from db.queries import attributes, cases, columns, runs
from engine.commands import job
from engine.errors import InputError
from engine.map_points import OUTCOMES, Points, drawn, inside, most_wrong

BY = {"label": "Label", "outcome": "Outcome", "probability": "Probability", "cluster": "Cluster"}
NAMES = {"umap": "UMAP", "tsne": "t-SNE"}
SHOWN = 48
"""Images of a box that are shown; it is counted whole."""
WHOLE = 6_000
"""Images up to which all are drawn."""
DRAWN, FAILURES = 3_000, 1_000
"""Points drawn of more images, so that a browser shows them in half a second, and failures among them that come before
the rest."""

MOST_VALUES = 7
"""Values up to which an attribute has a colour for each."""
NAMED = 1_000
"""Points up to which each is an element of the page, with a name; more are painted, twice as quickly."""

DRAGGED = "map_dragged"
"""In the session: how often a box was dragged over the map, or cleared on it."""
TOLD = "map_told"
"""In the session: the chart that told the last of these, and what."""

HAIR = 0.01
"""Of the map's units: edges that differ by less are the same, since a pixel is more."""


def colours(dataset: Dataset, run: Run) -> dict[str, str]:
    """What the run's points can be coloured by; attributes of few values among it."""
    clustered = "clusters" in (run.summary or {})
    usual = {name: said for name, said in BY.items() if clustered or name != "cluster"}
    few = (name for name in filters.attributes_of(dataset) if len(dataset.attributes[name]) <= MOST_VALUES)
    return usual | {f"{filters.ATTRIBUTE}{name}": name.capitalize() for name in few}


def opened(dataset: Dataset, run: Run, method: str, view: filters.View, *, by: str) -> Points:
    """The run's map by that method with what is known of its images, and what its points are coloured by; images that
    are gone are left out. Raises InputError where a file is missing."""
    with resources.reading() as session:
        made = {one.name: (one.path, one.sha256) for one in runs.artifacts(session, run.id)}
        ingest = runs.in_force(session, "ingest", view.question.dataset_id)
    if method not in made or "ids" not in made:
        raise InputError(f"run {run.id} has no map by {method}; draw it: python -m jobs map")
    mark = [made["ids"][1], *(str((one.id, one.finished)) for one in (ingest, view.run) if one)]
    points = _points(
        made["ids"],
        made[method],
        made.get("clusters"),
        dataset_id=view.question.dataset_id,
        run_id=view.question.run_id,
        threshold=view.question.threshold,
        mark=mark,
    )
    if not len(points.ids):
        raise InputError(f"no image on the map of run {run.id} is there any more; draw it again: python -m jobs map")
    name = by.removeprefix(filters.ATTRIBUTE)
    if name == by:
        return points
    names = (attributes.UNKNOWN, *dataset.attributes[name])
    return replace(points, values=_values(points.ids, dataset.id, name, names, mark), value_names=names)


File = tuple[str, str]
"""Path below the artifact folder, and sha256."""


@st.cache_resource(show_spinner=False, max_entries=8)
def _points(
    ids: File,
    places: File,
    clusters: File | None,
    *,
    dataset_id: int,
    run_id: int | None,
    threshold: float | None,
    mark: list[str],
) -> Points:
    """The points, and what follows from them, for all sessions."""
    here, labels, probabilities = _known(*ids, dataset_id, run_id, mark)

    def left(file: File) -> Any:
        return _array(*file) if here.all() else _array(*file)[here]

    grouped = None if clusters is None else left(clusters)
    return Points(left(ids), left(places), labels, probabilities, threshold, grouped)


@st.cache_resource(show_spinner="Reading what is known of the images on the map.", max_entries=4)
def _values(_ids: Any, dataset_id: int, name: str, names: tuple[str, ...], mark: list[str]) -> Any:
    """Which of `names` each image's value of an attribute is, int16 (n,). mark: see `_known`, the map's file among it,
    which the ids follow from."""
    code = {value: number for number, value in enumerate(names)}
    with resources.reading() as session:
        parts = columns.attribute(session, dataset_id, name)
        coded = ([(number, code.get(value, 0)) for number, value in part] for part in parts)
        return _of(np.asarray(_ids), coded, 0.0).astype(np.int16)


@st.cache_resource(show_spinner=False, max_entries=8)
def _array(path: str, sha256: str) -> Any:
    """An array of the map, left on disk. sha256: of the file, so that a map drawn anew is read anew."""
    file = resources.artifacts() / path
    if not file.exists():
        raise InputError(f"{path} is missing; draw the map again: python -m jobs map")
    return np.load(file, mmap_mode="r", allow_pickle=False)


@st.cache_resource(show_spinner="Reading what is known of the images on the map.", max_entries=4)
def _known(path: str, sha256: str, dataset_id: int, run_id: int | None, mark: list[str]) -> tuple[Any, Any, Any]:
    """Which of the map's images are still there, (n,), and of those the labels and probabilities, (m,) each.

    mark: the ingest and the predictions behind them. The database's revision would do as well, but it changes with
    every heartbeat of a job, and a million rows take seconds.
    """
    wanted = np.asarray(_array(path, sha256))
    with resources.reading() as session:
        labels = _of(wanted, columns.labels(session, dataset_id), -2.0)
        said = columns.probabilities(session, run_id) if run_id is not None else []
        probabilities = _of(wanted, said, np.nan)
    here = labels > -2.0
    return here, labels[here].astype(np.int8), probabilities[here]


def _of(wanted: Any, parts: Iterable[columns.Part], missing: float) -> Any:
    """The value of each wanted id, float64 (n,), from parts of rows of id and value."""
    flat = (np.fromiter(chain.from_iterable(part), np.float64, 2 * len(part)).reshape(-1, 2) for part in parts)
    table = np.concatenate([np.empty((0, 2)), *flat])
    table = table[np.argsort(table[:, 0], kind="stable")]
    at = np.searchsorted(table[:, 0], wanted)
    at[at == len(table)] = 0
    hit = table[at, 0] == wanted if len(table) else np.zeros(len(wanted), dtype=bool)
    return np.where(hit, table[at, 1] if len(table) else missing, missing)


def chart(dataset: Dataset, points: Points, *, method: str, by: str, marked: int | None) -> None:
    """The map; a box that is dragged goes into the URL, a point that is clicked leads to its case. marked: the image
    that a ring makes out."""
    _chart(dataset, points, method=method, by=by, marked=marked, dragged=_dragged())


@st.fragment
def _chart(dataset: Dataset, points: Points, *, method: str, by: str, marked: int | None, dragged: int) -> None:
    """The map as a fragment: whatever the chart reports, also the box that it was drawn with, redraws the map alone.
    Only where a box was dragged since the page was drawn is the whole page run again.

    dragged: how often a box had been dragged when the page was drawn.
    """
    if _dragged() != dragged:
        st.rerun()
    import pandas as pd
    from altair.utils.schemapi import debug_mode

    from engine.charts.retrieval import image_map
    from engine.charts.style import for_page

    rows = drawn(points, most=WHOLE if len(points.ids) <= WHOLE else DRAWN, failures=FAILURES)
    rows = np.union1d(rows, np.flatnonzero(points.ids == marked))
    table = pd.DataFrame({"image_id": points.ids[rows], "x": points.places[rows, 0], "y": points.places[rows, 1]})
    table["probability"] = points.probabilities[rows]
    for name in {"label", "outcome", by} - {"probability"}:
        table[name] = points.column(name, rows)
    with debug_mode(False):  # its check of a specification that never changes would take half of the page's time
        made = image_map(
            table,
            method=NAMES.get(method, method),
            by=by,
            counts={} if by == "probability" else points.counts(by),
            total=len(points.ids),
            box=edges_in_url(),
            marked=marked,
            synthetic=dataset.synthetic,
        )
    said(points, rows)
    # Under a key that was there before, the browser may bring back the box that was dragged, after a step back as well.
    key = f"map_{method}_{by}_{address.get('box')}_{dragged}"
    shown = for_page(made, dark=st.context.theme.type == "dark")
    if len(rows) > NAMED:
        shown = shown.properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    selected = partial(_boxed, key, edges_in_url())
    event: Any = st.altair_chart(shown, on_select=selected, selection_mode=["box", "image"], key=key)
    _follow(dataset, event.selection)


def marked(dataset: Dataset, points: Points, run: Run) -> int | None:
    """The image that the URL names, with the way back to its case; of one that is not on the map, why it is not."""
    number = address.number("image")
    if number is None:
        return None
    name = f"image {number}"
    if not (points.ids == number).any():
        with resources.reading() as session:
            held = cases.of_dataset(session, dataset.id, [number])
        if not held:
            st.markdown(f"Dataset {wording.plain(dataset.name)} has no {name}.")
            return None
        again = job("map", dataset.name)
        st.markdown(f"Of {name} run {run.id} drew no point. Draw the map again: {wording.plain(again)}")
        return None
    back = frame.here("case", dataset, **filters.parameters(image=number))
    linked.row([Cell("The ring is around"), Cell(name, back)], key="marked", left=True)
    return number


def said(points: Points, rows: Any) -> None:
    """Which part of the images is drawn, where not all are."""
    total = len(points.ids)
    if len(rows) == total:
        return
    wrong, shown = int(points.failures.sum()), int(points.failures[rows].sum())
    st.caption(
        f"Drawn are {len(rows):,} of {total:,} images, always the same: {shown:,} of the {wrong:,} that the classifier "
        f"gets wrong, and {len(rows) - shown:,} of the others. So failures look more frequent than they are; the "
        "legend and a box count all images."
    )


def _follow(dataset: Dataset, selection: Any) -> None:
    """Go where the chart was clicked."""
    clicked = selection.get("image") or []
    if clicked:
        redirect.to(frame.here("case", dataset, **filters.parameters(image=int(clicked[0]["image_id"]))))


def _boxed(key: str, drawn: tuple[float, ...] | None) -> None:
    """Write the box that was dragged over the chart to the URL, or remove it where it was cleared.

    drawn: the box that the chart was drawn with. The chart reports that one too, perhaps after the URL has changed, so
    it is ignored.
    """
    selection = st.session_state[key].selection
    box = selection.get("box") or {}
    if not {"x", "y"} <= set(box):
        if not selection.get("image"):  # a click on a point clears the box as well
            _put(key, None)
        return
    edges = np.sort([box["x"], box["y"]]).ravel()
    if drawn is None or not np.allclose(edges, drawn, rtol=0, atol=HAIR):
        _put(key, ",".join(f"{edge:.3f}" for edge in edges))


def _put(key: str, box: str | None) -> None:
    """Write a box that the chart reported to the URL, once: after a quick step back the browser may report it again."""
    if st.session_state.get(TOLD) == (key, box):
        return
    st.session_state[TOLD] = (key, box)
    st.session_state[DRAGGED] = _dragged() + 1
    address.put(box=box)


def _dragged() -> int:
    return int(st.session_state.get(DRAGGED, 0))


def edges_in_url() -> tuple[float, float, float, float] | None:
    """The URL's box: left and right, lower and upper edge; None where it names none."""
    try:
        one, other, low, high = (float(edge) for edge in (address.get("box") or "").split(","))
    except ValueError:
        return None
    if not all(map(isfinite, (one, other, low, high))):
        return None
    return min(one, other), max(one, other), min(low, high), max(low, high)


def boxed(dataset: Dataset, points: Points, view: filters.View) -> None:
    """How many images the URL's box holds, how often the classifier is wrong on them, and the most wrong of them."""
    edges = edges_in_url()
    if edges is None:
        return
    rows = inside(points, edges)
    ill = int((points.labels[rows] == 1).sum())
    judged = int((points.outcomes[rows] != OUTCOMES.index("not judged")).sum())
    told = f"**{wording.count(len(rows), 'image')}** in the box, {ill:,} with the label pneumonia."
    if judged:
        wrong = int(points.failures[rows].sum())
        rate = wording.percent(wrong / judged)
        told += f" Run {view.question.run_id} judged {judged:,} and is wrong on **{rate}** ({wrong:,})."
    wrongest = partial(_wrongest, points, rows)
    selection.tell()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(told, width="content")
        st.button("Clear the box", on_click=partial(address.put, box=None))
        if len(rows):
            selection.take_away(dataset, view, partial(wrongest, limit=exports.MOST), len(rows))
    ids = wrongest(limit=SHOWN)
    if len(rows) > len(ids):
        st.caption(f"Shown are {len(ids)} of them, those on which the classifier is most wrong first.")
    with resources.reading() as session:
        found = cases.several(session, ids, run_id=view.question.run_id, threshold=view.question.threshold)
    grid.show(dataset, [found[number] for number in ids if number in found], key="boxed")


def _wrongest(points: Points, rows: Any, *, limit: int) -> list[int]:
    """Ids of the images of these rows, those on which the classifier is most wrong first."""
    return list(points.ids[most_wrong(points, rows, limit=limit)].tolist())
