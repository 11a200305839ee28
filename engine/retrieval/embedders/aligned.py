"""The embedder that words reach without a download: a trained classifier's features beside where its evidence lies."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from engine.heat import ZONES, evidence, lung_zones
from engine.images import resize
from engine.retrieval import alignment, sentences
from engine.retrieval.alignment import NOTHING_KNOWN, Known
from engine.retrieval.embedders.features import reduced, trained_classifier, trained_revision
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Pixels, Sources, Vectors, sized, unit

if TYPE_CHECKING:
    from engine.classification.checkpoints import AnyClassifier
    from engine.classification.inference import Inference


class AlignedEmbedder:
    """Images: the classifier's pooled features, and by how much the heat in each lung zone departs from an even spread,
    weighted by the probability of pneumonia. Texts: sentence embeddings, which an index maps into that space by what
    `alignment.fit` learnt from its training images."""

    def __init__(self, name: str, classifier_revision: str, load: Callable[[], "AnyClassifier"]) -> None:
        """load: opens the classifier of that revision, when the first picture is asked for; words need none."""
        self.name, self._load = name, load
        self.revision = revision_over(classifier_revision)

    @cached_property
    def classifier(self) -> "AnyClassifier":
        """The classifier, loaded on first use. Raises InputError where it cannot be read."""
        return self._load()

    @property
    def dimension(self) -> int:
        """See Embedder."""
        return self.classifier.feature_dim + len(ZONES)

    def fit(self, picture: Pixels) -> Pixels:
        """See Embedder: squashed to a square."""
        return resize(picture, self.classifier.input_size)

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        autocast = reduced(self.classifier.device)
        return self.of(self.classifier.run(sized(pixels, self.classifier.input_size), heatmaps=True, autocast=autocast))

    def of(self, said: "Inference") -> Vectors:
        """The vectors, float32 (n, dimension), of n pictures that the classifier has read, with their heatmaps."""
        if said.heatmaps is None:
            return np.empty((0, self.dimension), np.float32)
        even = dict.fromkeys(ZONES, 1 / len(ZONES))
        shares = np.array([[(lung_zones(heat) or even)[zone] for zone in ZONES] for heat in said.heatmaps])
        placed = alignment.ZONE_WEIGHT * evidence(shares, said.probabilities)
        return unit(np.concatenate([unit(said.features), placed], axis=1))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder: float32 (n, 384), to be mapped by the index."""
        return sentences.embedded(texts)

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """See Embedder."""
        return alignment.caveat(text, known=known)


def revision_over(classifier_revision: str) -> str:
    """The revision of `aligned` over the classifier whose weights have that sha256."""
    mark = f"{classifier_revision} {sentences.SHA256} {alignment.VERSION}"
    return hashlib.sha256(mark.encode()).hexdigest()[:16]


def without_zones(vectors: Vectors) -> Vectors:
    """The classifier's own vectors, (n, d), out of those that `aligned` over it made, (n, d + zones), not centred."""
    return unit(vectors[:, : -len(ZONES)])


def aligned(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """See AlignedEmbedder."""
    revision = trained_revision(wanted, sources)

    def load() -> "AnyClassifier":
        return trained_classifier(wanted, sources)

    return AlignedEmbedder(wanted.name, revision, load)
