"""The test set for text search: forty queries, none of them a training sentence, and the images relevant to each."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.imaging.heat import LEVELS, SIDES
from engine.retrieval.text.facts import Facts


@dataclass(frozen=True)
class WrittenQuery:
    """A query text, and the facts of an image that is relevant to it; "" means any."""

    text: str
    kind: str
    """normal, pneumonia, cause or zone."""
    label: int
    cause: str = ""
    side: str = ""
    level: str = ""


def _queries() -> tuple[WrittenQuery, ...]:
    normal = (
        "normal chest", "lungs look fine", "there is nothing wrong with this chest film", "no signs of infection",
        "no pneumonia seen on this x-ray", "clear lungs bilaterally", "free of consolidation and infiltrates",
        "healthy patient", "unremarkable study", "no opacities",
    )  # fmt: skip
    ill = (
        "chest infection", "pneumonia present", "opacified lung", "film showing consolidation",
        "patient suffering from pneumonia", "diffuse infiltrates", "abnormal film with airspace opacities",
        "inflammation of the lung", "dense consolidation", "pneumonia is likely",
    )  # fmt: skip
    causes = {
        "bacterial": ("bacterial pneumonia", "lung infection due to bacteria", "pneumonia, most likely bacterial"),
        "viral": ("viral pneumonia", "lung infection due to a virus", "pneumonia, most likely viral"),
    }
    places = (
        ("opacity in the right lower zone", "right", "lower"), ("consolidation at the right base", "right", "lower"),
        ("left lower lobe pneumonia", "left", "lower"), ("left basal infiltrate", "left", "lower"),
        ("right upper lobe consolidation", "right", "upper"), ("opacity at the right apex", "right", "upper"),
        ("left upper zone opacity", "left", "upper"), ("right middle lobe pneumonia", "right", "middle"),
        ("left mid zone shadowing", "left", "middle"), ("pneumonia of the right lung", "right", ""),
        ("left-sided consolidation", "left", ""), ("upper zone infiltrates", "", "upper"),
        ("pneumonia in the lower lung", "", "lower"), ("perihilar opacity in the mid zones", "", "middle"),
    )  # fmt: skip
    return (
        *(WrittenQuery(text, "normal", 0) for text in normal),
        *(WrittenQuery(text, "pneumonia", 1) for text in ill),
        *(WrittenQuery(text, "cause", 1, cause) for cause, texts in causes.items() for text in texts),
        *(WrittenQuery(text, "zone", 1, side=side, level=level) for text, side, level in places),
    )


QUERIES = _queries()
QUERIES_SHA256 = hashlib.sha256("\n".join(query.text for query in QUERIES).encode()).hexdigest()
"""Identifies the queries that stored vectors belong to."""


def answering(query: WrittenQuery, facts: Facts) -> NDArray[np.bool_]:
    """The images relevant to a query: bool (n,).

    Zones are where more of the classifier's evidence lies than in most pneumonias, which no reader has confirmed. A
    side without a level means any level, and vice versa.
    """
    holds = facts.labels == query.label
    if query.cause:
        holds = holds & (facts.causes == query.cause)
    if query.side or query.level:
        columns = [
            3 * across + down
            for across, side in enumerate(SIDES)
            for down, level in enumerate(LEVELS)
            if query.side in ("", side) and query.level in ("", level)
        ]
        holds = holds & facts.zones[:, columns].any(axis=1)
    return np.asarray(holds)
