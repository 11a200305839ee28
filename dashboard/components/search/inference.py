"""Classifier prediction and embedding of an image that is not in the dataset."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dashboard import resources
from dashboard.components import filters, wording
from db.queries import runs
from engine.errors import InputError
from engine.imaging.heat import leading_zones, lung_zones
from engine.imaging.images import Pixels
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders import Embedder
from engine.retrieval.embedders.protocol import OfClassifier, sized


@dataclass(frozen=True)
class Reading:
    """vectors: of the embedder, float32 (1, d). zones: share of the heatmap in each lung zone, {} without heat, None
    without a classifier. summary: the classifier's prediction as a clause in Markdown, or None."""

    vectors: Vectors
    zones: Mapping[str, float] | None = None
    summary: str | None = None


def read(view: filters.View, pixels: Pixels, embedder: Embedder) -> Reading:
    """Embed a grey image, uint8 (h, w), and predict it with the classifier of the selected run, in one pass if the
    embedder is built on that classifier."""
    classifier = classifier_of(view, embedder)
    if classifier is None:
        return Reading(embedder.embed_images(pixels[None]))
    output = classifier.run(sized(pixels[None], classifier.input_size), heatmaps=True)
    if isinstance(embedder, OfClassifier) and embedder.classifier is classifier:
        vectors = embedder.of(output)
    else:
        vectors = embedder.embed_images(pixels[None])
    zones = {} if output.heatmaps is None else lung_zones(output.heatmaps[0])
    probability, threshold, called = float(output.probabilities[0]), view.question.threshold, ""
    if threshold is not None:
        call = "pneumonia" if probability >= threshold else "normal"
        called = f" ({call} at threshold {wording.percent(threshold)})"
    where = " and ".join(zone.replace("_", " ") for zone in leading_zones(zones))
    summary = f"the classifier predicts **{wording.percent(probability)} pneumonia**{called}"
    return Reading(vectors, zones, f"{summary}{f', with most heat in the {where} zone' if where else ''}")


def classifier_of(view: filters.View, embedder: Embedder) -> Any:
    """The classifier of the selected run, reusing the embedder's if it is the same; None if it cannot be loaded."""
    run = view.run
    if run is None:
        return None
    own = resources.classifier_within(embedder, embedder.revision) if isinstance(embedder, OfClassifier) else None
    if own is not None and own.revision == run.checkpoint_sha256:
        return own
    with resources.reading() as session:
        checkpoint = runs.checkpoint(session, run)
    with suppress(InputError):
        return resources.classifier(checkpoint.path, checkpoint.sha256) if checkpoint else None
    return None
