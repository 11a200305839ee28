"""The map of all images: the chart, points that open their case, and a box that lists the images inside it."""

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
from engine.retrieval.map.points import OUTCOMES, Points, drawn, inside, most_wrong

BY = {"label": "Label", "outcome": "Outcome", "probability": "Probability", "cluster": "Cluster"}
NAMES = {"umap": "UMAP", "tsne": "t-SNE"}
SHOWN = 48
"""Maximum number of images shown of a box; counts cover the whole box."""
WHOLE = 6_000
"""Up to this number of images, all are drawn."""
DRAWN, FAILURES = 3_000, 1_000
"""Points drawn if there are more images, so that a browser needs half a second, and how many of them are reserved for
failures."""

MOST_VALUES = 7
"""Maximum number of values of an attribute that can be used as colours."""
NAMED = 1_000
"""Up to this number, points are SVG elements with accessible names; more are drawn on a canvas, twice as fast."""

DRAGGED = "map_dragged"
"""Session key: how often a box was dragged on the map or cleared."""
REPORTED = "map_reported"
"""Session key: the chart that reported the last of these, and the box."""

HAIR = 0.01
"""In map units: edges that differ by less are equal, because a pixel is larger."""


def run_of(dataset: Dataset) -> Run | None:
    """The map run that the URL names, else the current one; None if there is none. It is pinned: a box on another map
    holds other images."""
    with resources.reading() as session:
        named = runs.find(session, address.number("map") or 0)
        usable = named and (named.kind, named.status, named.dataset_id) == ("map", "finished", dataset.id)
        run = named if usable else runs.current(session, "map", dataset.id)
    address.pin(map=run.id if run else None)
    return run


def newer(dataset: Dataset, run: Run) -> None:
    """Link to the current map, if the page shows an earlier one."""
    with resources.reading() as session:
        current = runs.current(session, "map", dataset.id)
    if current is not None and current.id != run.id:
        link = frame.here("map", dataset, **filters.parameters())
        cells = [Cell(f"Map of run {run.id}."), Cell(f"Current map, run {current.id}", link)]
        linked.row(cells, key="newer", left=True)


def colours(dataset: Dataset, run: Run) -> dict[str, str]:
    """What the run's points can be coloured by, including attributes with few values."""
    clustered = "clusters" in (run.summary or {})
    usual = {name: shown for name, shown in BY.items() if clustered or name != "cluster"}
    few = (name for name in filters.attributes_of(dataset) if len(dataset.attributes[name]) <= MOST_VALUES)
    return usual | {f"{filters.ATTRIBUTE}{name}": name.capitalize() for name in few}


def opened(dataset: Dataset, run: Run, method: str, view: filters.View, *, by: str) -> Points:
    """The run's map by this method, with the data of its images and the values for colouring; images that were removed
    are left out. Raises InputError if a file is missing."""
    with resources.reading() as session:
        made = {one.name: (one.path, one.sha256) for one in runs.artifacts(session, run.id)}
        ingest = runs.current(session, "ingest", view.question.dataset_id)
    if method not in made or "ids" not in made:
        raise InputError(f"run {run.id} has no {method} map; create it: python -m jobs map")
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
        raise InputError(
            f"none of the images on the map of run {run.id} exists any more; create it again: python -m jobs map"
        )
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
    """The points and values derived from them, shared by all sessions."""
    here, labels, probabilities = _known(*ids, dataset_id, run_id, mark)

    def left(file: File) -> Any:
        return _array(*file) if here.all() else _array(*file)[here]

    grouped = None if clusters is None else left(clusters)
    return Points(left(ids), left(places), labels, probabilities, threshold, grouped)


@st.cache_resource(show_spinner="Loading the image data of the map.", max_entries=4)
def _values(_ids: Any, dataset_id: int, name: str, names: tuple[str, ...], mark: list[str]) -> Any:
    """Index into `names` of each image's attribute value, int16 (n,). mark: see `_known`; includes the map's file,
    which determines the ids."""
    code = {value: number for number, value in enumerate(names)}
    with resources.reading() as session:
        parts = columns.attribute(session, dataset_id, name)
        coded = ([(number, code.get(value, 0)) for number, value in part] for part in parts)
        return _of(np.asarray(_ids), coded, 0.0).astype(np.int16)


@st.cache_resource(show_spinner=False, max_entries=8)
def _array(path: str, sha256: str) -> Any:
    """A memory-mapped array of the map. sha256: of the file, so that a new map is loaded again."""
    file = resources.artifacts() / path
    if not file.exists():
        raise InputError(f"{path} is missing; create the map again: python -m jobs map")
    return np.load(file, mmap_mode="r", allow_pickle=False)


@st.cache_resource(show_spinner="Loading the image data of the map.", max_entries=4)
def _known(path: str, sha256: str, dataset_id: int, run_id: int | None, mark: list[str]) -> tuple[Any, Any, Any]:
    """Mask of the map's images that still exist, (n,), and their labels and probabilities, (m,) each.

    mark: identifies the ingest and the predictions. The database's revision would work too, but it changes with every
    heartbeat of a job, and loading a million rows takes seconds.
    """
    wanted = np.asarray(_array(path, sha256))
    with resources.reading() as session:
        labels = _of(wanted, columns.labels(session, dataset_id), -2.0)
        stored = columns.probabilities(session, run_id) if run_id is not None else []
        probabilities = _of(wanted, stored, np.nan)
    here = labels > -2.0
    return here, labels[here].astype(np.int8), probabilities[here]


def _of(wanted: Any, parts: Iterable[columns.Part], missing: float) -> Any:
    """The value of each wanted id, float64 (n,), from batches of (id, value) rows."""
    flat = (np.fromiter(chain.from_iterable(part), np.float64, 2 * len(part)).reshape(-1, 2) for part in parts)
    table = np.concatenate([np.empty((0, 2)), *flat])
    table = table[np.argsort(table[:, 0], kind="stable")]
    at = np.searchsorted(table[:, 0], wanted)
    at[at == len(table)] = 0
    hit = table[at, 0] == wanted if len(table) else np.zeros(len(wanted), dtype=bool)
    return np.where(hit, table[at, 1] if len(table) else missing, missing)


def chart(dataset: Dataset, points: Points, *, method: str, by: str, marked: int | None) -> None:
    """Draw the map; a dragged box is written to the URL, a clicked point opens its case. marked: the image highlighted
    with a ring."""
    _chart(dataset, points, method=method, by=by, marked=marked, dragged=_dragged())


@st.fragment
def _chart(dataset: Dataset, points: Points, *, method: str, by: str, marked: int | None, dragged: int) -> None:
    """The map as a fragment: events of the chart, including the box that it was drawn with, redraw only the map. The
    whole page is rerun only if a box was dragged since the page was drawn.

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
    with debug_mode(False):  # validating an unchanging specification would take half of the page's time
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
    describe_sample(points, rows)
    # If a key is reused, the browser may restore the dragged box, also after a step back.
    key = f"map_{method}_{by}_{address.get('box')}_{dragged}"
    shown = for_page(made, dark=st.context.theme.type == "dark")
    if len(rows) > NAMED:
        shown = shown.properties(usermeta={"embedOptions": {"renderer": "canvas"}})
    selected = partial(_boxed, key, edges_in_url())
    event: Any = st.altair_chart(shown, on_select=selected, selection_mode=["box", "image"], key=key)
    _follow(dataset, event.selection)


def marked(dataset: Dataset, points: Points, run: Run) -> int | None:
    """The image that the URL names, with a link to its case; if it is not on the map, say why and return None."""
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
        st.markdown(f"I{name[1:]} is not on the map of run {run.id}. Create the map again: {wording.plain(again)}")
        return None
    back = frame.here("case", dataset, **filters.parameters(image=number))
    linked.row([Cell("The ring marks"), Cell(name, back)], key="marked", left=True)
    return number


def describe_sample(points: Points, rows: Any) -> None:
    """Say which images are drawn, if not all are."""
    total = len(points.ids)
    if len(rows) == total:
        return
    wrong, shown = int(points.failures.sum()), int(points.failures[rows].sum())
    st.caption(
        f"The map shows a fixed sample of {len(rows):,} of {total:,} images: {shown:,} of the {wrong:,} that the "
        f"classifier gets wrong and {len(rows) - shown:,} of the others. Failures therefore look more frequent than "
        "they are; the counts in the legend and of a box cover all images."
    )


def _follow(dataset: Dataset, selection: Any) -> None:
    """Open the case of a clicked point."""
    clicked = selection.get("image") or []
    if clicked:
        redirect.to(frame.here("case", dataset, **filters.parameters(image=int(clicked[0]["image_id"]))))


def _boxed(key: str, drawn: tuple[float, ...] | None) -> None:
    """Write a dragged box to the URL, or remove it from the URL if it was cleared.

    drawn: the box that the chart was drawn with, which is ignored: the chart reports it too, perhaps after the URL has
    changed.
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
    """Write a reported box to the URL once: after a quick step back the browser may report it again."""
    if st.session_state.get(REPORTED) == (key, box):
        return
    st.session_state[REPORTED] = (key, box)
    st.session_state[DRAGGED] = _dragged() + 1
    address.put(box=box)


def _dragged() -> int:
    return int(st.session_state.get(DRAGGED, 0))


def edges_in_url() -> tuple[float, float, float, float] | None:
    """The box in the URL: left, right, lower and upper edge; None if there is none."""
    try:
        one, other, low, high = (float(edge) for edge in (address.get("box") or "").split(","))
    except ValueError:
        return None
    if not all(map(isfinite, (one, other, low, high))):
        return None
    return min(one, other), max(one, other), min(low, high), max(low, high)


def boxed(dataset: Dataset, points: Points, view: filters.View) -> None:
    """The number of images in the URL's box, the classifier's error rate on them, and the most wrong of them."""
    edges = edges_in_url()
    if edges is None:
        return
    rows = inside(points, edges)
    ill = int((points.labels[rows] == 1).sum())
    judged = int((points.outcomes[rows] != OUTCOMES.index("no outcome")).sum())
    summary = f"**{wording.count(len(rows), 'image')}** in the box, {ill:,} labelled pneumonia."
    if judged:
        wrong = int(points.failures[rows].sum())
        rate = wording.percent(wrong / judged)
        summary += f" Run {view.question.run_id} is wrong on **{rate}** ({wrong:,} of {judged:,} with an outcome)."
    wrongest = partial(_wrongest, points, rows)
    selection.show_message()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(summary, width="content")
        st.button("Clear box", on_click=partial(address.put, box=None))
        if len(rows):
            selection.take_away(dataset, view, partial(wrongest, limit=exports.MOST), len(rows))
    ids = wrongest(limit=SHOWN)
    if len(rows) > len(ids):
        st.caption(f"Showing {len(ids)} of them, most wrong first.")
    with resources.reading() as session:
        found = cases.several(session, ids, run_id=view.question.run_id, threshold=view.question.threshold)
    grid.show(dataset, [grid.Thumbnail(found[number]) for number in ids if number in found], key="boxed")


def _wrongest(points: Points, rows: Any, *, limit: int) -> list[int]:
    """Ids of the images of these rows, most wrong first."""
    return list(points.ids[most_wrong(points, rows, limit=limit)].tolist())
