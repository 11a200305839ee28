"""What the trained classifier says of a picture that is not in the dataset."""

from dataclasses import dataclass

import streamlit as st

from dashboard import resources
from dashboard.components import filters, wording
from db.models import Dataset
from db.queries import runs
from engine.errors import InputError
from engine.heat import leading_zones, lung_zones
from engine.images import Pixels, resize


@dataclass(frozen=True)
class Reading:
    """probability: calibrated, of pneumonia, in [0, 1]. zones: share of the heat in each lung zone, {} without heat."""

    probability: float
    zones: dict[str, float]


def read(dataset: Dataset, pixels: Pixels) -> Reading | None:
    """What the dataset's classifier says of a grey picture, uint8 (h, w), in words below it; None where there is none
    that can be read."""
    view = filters.view(dataset)
    trained = view.run.config.get("train_run") if view.run else None
    with resources.reading() as session:
        checkpoint = runs.artifact(session, int(trained), "checkpoint") if trained else None
    if view.run is None or checkpoint is None:
        return None
    try:
        classifier = resources.classifier(checkpoint.path, checkpoint.sha256)
    except InputError:
        return None
    said = classifier.run(resize(pixels, classifier.input_size)[None], heatmaps=True)
    zones = lung_zones(said.heatmaps[0]) if said.heatmaps is not None else {}
    reading = Reading(float(said.probabilities[0]), zones)
    threshold = view.question.threshold
    called = ""
    if threshold is not None:
        call = "pneumonia" if reading.probability >= threshold else "normal"
        called = f", {call} at the threshold of {wording.percent(threshold)}"
    where = " and ".join(zone.replace("_", " ") for zone in leading_zones(zones))
    st.markdown(
        f"The classifier reads **{wording.percent(reading.probability)} pneumonia**{called}"
        f"{f'; its evidence leads to the {where} zone' if where else ''}."
    )
    return reading
