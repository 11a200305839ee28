"""The embedders `aligned`, for offline text search, which is a trained classifier's features and the location of its
evidence, and `classifier`, the features alone."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engine.imaging.heat import ZONES, evidence, lung_zones
from engine.imaging.images import Pixels, resize
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders.features import ClassifierFeatures, reduced, trained_classifier, trained_revision
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Lender, OfClassifier, Sources, sized, unit
from engine.retrieval.text import alignment, caveats, sentences
from engine.retrieval.text.alignment import NOTHING_KNOWN, Known

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.classification.classifiers.inference import Inference


class AlignedEmbedder(OfClassifier):
    """Images become the classifier's pooled features, followed by the zone evidence (`imaging.heat.evidence`). Texts
    become sentence embeddings, which an index maps into that space by `alignment.fit` on its training images."""

    def __init__(self, name: str, classifier_revision: str, load: Callable[[], "AnyClassifier"]) -> None:
        """load: opens the classifier of that revision; called for the first image, since texts do not need it."""
        self.name, self._load = name, load
        self.revision = revision_over(classifier_revision)

    @cached_property
    def classifier(self) -> "AnyClassifier":
        """See OfClassifier; loaded on first use."""
        return self._load()

    @property
    def dimension(self) -> int:
        """See Embedder."""
        return self.classifier.feature_dim + len(ZONES)

    def fit(self, picture: Pixels) -> Pixels:
        """See Embedder: resized to a square, without keeping the aspect ratio."""
        return resize(picture, self.classifier.input_size)

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        autocast = reduced(self.classifier.device)
        return self.of(self.classifier.run(sized(pixels, self.classifier.input_size), heatmaps=True, autocast=autocast))

    def of(self, inference: "Inference") -> Vectors:
        """See OfClassifier."""
        if inference.heatmaps is None:
            return np.empty((0, self.dimension), np.float32)
        even = dict.fromkeys(ZONES, 1 / len(ZONES))
        shares = np.array([[(lung_zones(heat) or even)[zone] for zone in ZONES] for heat in inference.heatmaps])
        zones = alignment.ZONE_WEIGHT * evidence(shares, inference.probabilities)
        return unit(np.concatenate([unit(inference.features), zones], axis=1))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder: float32 (n, 384), to be mapped by the index."""
        return sentences.embedded(texts)

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """See Embedder."""
        return caveats.caveat(text, known=known)


def revision_over(classifier_revision: str) -> str:
    """The revision of `aligned` for the classifier whose weights have that sha256."""
    mark = f"{classifier_revision} {sentences.SHA256} {alignment.VERSION}"
    return hashlib.sha256(mark.encode()).hexdigest()[:16]


class ClassifierEmbedder(ClassifierFeatures):
    """The embedder `classifier`: the features as they are, which the vectors of `aligned` contain."""

    def __init__(self, name: str, classifier: "AnyClassifier") -> None:
        super().__init__(name, classifier.revision, classifier)
        self.lender = Lender("aligned", revision_over(classifier.revision), without_zones)


def without_zones(vectors: Vectors) -> Vectors:
    """The classifier's own vectors, (n, d), from uncentred vectors of `aligned`, (n, d + 6)."""
    return unit(vectors[:, : -len(ZONES)])


def classifier(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Penultimate features of the trained classifier."""
    return ClassifierEmbedder(wanted.name, trained_classifier(wanted, sources))


def aligned(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """See AlignedEmbedder."""
    revision = trained_revision(wanted, sources)

    def load() -> "AnyClassifier":
        return trained_classifier(wanted, sources)

    return AlignedEmbedder(wanted.name, revision, load)
