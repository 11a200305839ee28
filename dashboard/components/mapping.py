"""How the map of all images reads: the chart, and what a part of it that was boxed holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from dashboard import resources
from dashboard.components import address, filters, grid, wording
from db.models import Dataset, Run
from db.queries import cases, runs
from db.queries.cases import Case
from engine.errors import InputError

BY = {"label": "Label", "outcome": "Outcome", "probability": "Probability"}
NAMES = {"umap": "UMAP", "tsne": "t-SNE"}
SHOWN = 48
"""Images of a box that are shown; it is counted whole."""


@st.cache_data(show_spinner=False, max_entries=4)
def places(points: str, sha256: str, ids: str) -> tuple[Any, Any]:
    """The map's points, float32 (n, 2), and their images' ids, (n,), from files below the artifact folder; sha256: of
    the points, so that a map drawn anew is read anew. Raises InputError where a file is missing."""
    found = []
    for path in (points, ids):
        file = resources.artifacts() / path
        if not file.exists():
            raise InputError(f"{path} is missing; draw the map again: python -m jobs map")
        found.append(np.load(file, allow_pickle=False))
    return found[0], found[1]


def opened(run: Run, method: str) -> tuple[Any, Any]:
    """The run's map by that method."""
    with resources.reading() as session:
        made, ids = runs.artifact(session, run.id, method), runs.artifact(session, run.id, "ids")
    if made is None or ids is None:
        raise InputError(f"run {run.id} has no map by {method}; draw it: python -m jobs map")
    return places(made.path, made.sha256, ids.path)


def table(points: Any, ids: Any, known: dict[int, Case]) -> Any:
    """The points with what is known of their images, as a data frame; images that are gone are left out."""
    import pandas as pd

    rows = [
        {
            "image_id": int(number),
            "x": float(x),
            "y": float(y),
            "label": case.label,
            "split": case.split,
            "outcome": case.outcome or "not judged",
            "probability": case.probability,
        }
        for (x, y), number in zip(points, ids, strict=True)
        if (case := known.get(int(number))) is not None
    ]
    return pd.DataFrame(rows)


def chart(points: Any, *, method: str, by: str, synthetic: bool) -> None:
    """The map; dragging a box puts it into the URL."""
    from engine.charts import for_page, image_map

    drawn = image_map(points, method=NAMES[method], by=by, box=edges_in_url(), synthetic=synthetic)
    drawn = for_page(drawn, dark=st.context.theme.type == "dark")
    event: Any = st.altair_chart(drawn, on_select="rerun", selection_mode="box", key=f"map_{method}_{by}")
    box = event.selection.get("box") or {}
    if {"x", "y"} <= set(box):
        edges = ",".join(f"{edge:.3f}" for edge in (*box["x"], *box["y"]))
        if edges != address.get("box"):
            address.put(box=edges)
            st.rerun()


def edges_in_url() -> tuple[float, float, float, float] | None:
    """The URL's box: left and right, lower and upper edge; None where it names none."""
    try:
        one, other, low, high = (float(edge) for edge in (address.get("box") or "").split(","))
    except ValueError:
        return None
    return min(one, other), max(one, other), min(low, high), max(low, high)


def boxed(points: Any) -> Any | None:
    """The rows inside the URL's box, or None where it names none."""
    edges = edges_in_url()
    if edges is None:
        return None
    inside = points["x"].between(*edges[:2]) & points["y"].between(*edges[2:])
    return points[inside]


def slice_of(dataset: Dataset, rows: Any, known: dict[int, Case], view: filters.View) -> None:
    """How many images a box holds, how often the classifier is wrong on them, and the most wrong of them."""
    held = [known[int(number)] for number in rows["image_id"]]
    judged = [case for case in held if case.outcome]
    wrong = [case for case in judged if case.outcome in ("FP", "FN")]
    ill = sum(case.label == 1 for case in held)
    said = f"**{wording.count(len(held), 'image')}** in the box, {ill:,} with the label pneumonia."
    if judged:
        rate = wording.percent(len(wrong) / len(judged))
        said += f" Run {view.question.run_id} judged {len(judged):,} and is wrong on **{rate}** ({len(wrong):,})."
    st.markdown(said)
    grid.show(dataset, _most_wrong(held)[:SHOWN], key="boxed")


def _most_wrong(held: Sequence[Case]) -> list[Case]:
    def error(case: Case) -> float:
        return -1.0 if case.probability is None or case.label is None else abs(case.probability - case.label)

    return sorted(held, key=lambda case: (-error(case), case.id))


def known(view: filters.View, ids: Any) -> dict[int, Case]:
    """What the run in view makes of each image."""
    question = view.question
    found: dict[int, Case] = {}
    numbers = [int(number) for number in ids]
    with resources.reading() as session:
        for start in range(0, len(numbers), 500):
            part = numbers[start : start + 500]
            found |= cases.several(session, part, run_id=question.run_id, threshold=question.threshold)
    return found
