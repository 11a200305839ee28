"""The embedder that words reach without a download: a trained classifier's features beside where its evidence lies."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.heat import ZONES, evidence, lung_zones
from engine.retrieval import alignment, sentences
from engine.retrieval.embedders.features import trained_classifier
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Pixels, Sources, Vectors, sized, unit

if TYPE_CHECKING:
    from engine.classification.checkpoints import AnyClassifier
    from engine.classification.inference import Inference


class AlignedEmbedder:
    """Images: the classifier's pooled features, and by how much the heat in each lung zone departs from an even spread,
    weighted by the probability of pneumonia. Texts: sentence embeddings, which an index maps into that space by what
    `alignment.fit` learnt from its training images."""

    def __init__(self, name: str, classifier: "AnyClassifier") -> None:
        self.name, self.classifier = name, classifier
        mark = f"{classifier.revision} {sentences.SHA256} {alignment.VERSION}"
        self.revision = hashlib.sha256(mark.encode()).hexdigest()[:16]
        self.dimension = classifier.feature_dim + len(ZONES)
        self.input_size = classifier.input_size

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        return self.of(self.classifier.run(sized(pixels, self.input_size), heatmaps=True))

    def of(self, said: "Inference") -> Vectors:
        """The vectors of pictures that the classifier has read already, with their heatmaps."""
        if said.heatmaps is None:
            return np.empty((0, self.dimension), np.float32)
        even = dict.fromkeys(ZONES, 1 / len(ZONES))
        shares = np.array([[(lung_zones(heat) or even)[zone] for zone in ZONES] for heat in said.heatmaps])
        placed = alignment.ZONE_WEIGHT * evidence(shares, said.probabilities)
        return unit(np.concatenate([unit(said.features), placed], axis=1))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder: float32 (n, 384), to be mapped by the index."""
        return sentences.embedded(texts)

    def caveat(self, text: str) -> str | None:
        """See Embedder."""
        return alignment.caveat(text)


def aligned(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """See AlignedEmbedder."""
    return AlignedEmbedder(wanted.name, trained_classifier(wanted, sources))
