"""What the trained classifier says of a picture that is not in the dataset, and the picture's vector."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dashboard import resources
from dashboard.components import filters, wording
from db.queries import runs
from engine.errors import InputError
from engine.heat import leading_zones, lung_zones
from engine.images import Pixels
from engine.retrieval.embedders import Embedder
from engine.retrieval.embedders.aligned import AlignedEmbedder
from engine.retrieval.embedders.features import ClassifierEmbedder
from engine.retrieval.embedders.protocol import Vectors, sized

MADE_OF_ONE = (ClassifierEmbedder, AlignedEmbedder)
"""Embedders that are made of a classifier, and take what it read."""


@dataclass(frozen=True)
class Reading:
    """vectors: of the embedder, float32 (1, d). zones: share of the classifier's heat in each lung zone, {} without
    heat, None where there is no classifier. said: what the classifier makes of the picture, a clause in
    Markdown, or None."""

    vectors: Vectors
    zones: Mapping[str, float] | None = None
    said: str | None = None


def read(view: filters.View, pixels: Pixels, embedder: Embedder) -> Reading:
    """Embed a grey picture, uint8 (h, w), and tell what the classifier of the run in view reads; the two in one pass
    where the embedder is made of that classifier."""
    classifier = classifier_of(view, embedder)
    if classifier is None:
        return Reading(embedder.embed_images(pixels[None]))
    said = classifier.run(sized(pixels[None], classifier.input_size), heatmaps=True)
    if isinstance(embedder, MADE_OF_ONE) and embedder.classifier is classifier:
        vectors = embedder.of(said)
    else:
        vectors = embedder.embed_images(pixels[None])
    zones = {} if said.heatmaps is None else lung_zones(said.heatmaps[0])
    probability, threshold, called = float(said.probabilities[0]), view.question.threshold, ""
    if threshold is not None:
        call = "pneumonia" if probability >= threshold else "normal"
        called = f", {call} at the threshold of {wording.percent(threshold)}"
    where = " and ".join(zone.replace("_", " ") for zone in leading_zones(zones))
    told = f"the classifier reads **{wording.percent(probability)} pneumonia**{called}"
    return Reading(vectors, zones, f"{told}{f'; most of its heat lies in the {where} zone' if where else ''}")


def classifier_of(view: filters.View, embedder: Embedder) -> Any:
    """The classifier behind the run in view, the embedder's own where it is that one; None where it cannot be read."""
    run = view.run
    if run is None:
        return None
    made_of_one = isinstance(embedder, MADE_OF_ONE)
    own = resources.classifier_within(embedder, embedder.revision) if made_of_one else None
    if own is not None and own.revision == run.checkpoint_sha256:
        return own
    with resources.reading() as session:
        checkpoint = runs.checkpoint(session, run)
    with suppress(InputError):
        return resources.classifier(checkpoint.path, checkpoint.sha256) if checkpoint else None
    return None
