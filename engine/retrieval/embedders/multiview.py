"""The embedder for searching a classifier's training images with others: training images as the mean of their views."""

import hashlib
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

import numpy as np

from engine.classification import versions
from engine.imaging.images import Pixels
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders.features import ClassifierFeatures, trained_classifier
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Sources, sized, unit

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier

COPIES = 4
"""Augmented copies of a training image; its vector is the mean of their vectors and its own."""
VERSION = 1
"""Increased when the vectors of training images change."""


class MultiviewEmbedder(ClassifierFeatures):
    """Penultimate features of a trained classifier, as those of `classifier`; but an image that the classifier was
    trained on is also seen in strongly augmented copies.

    The classifier knows its training images: their features lie further from the other class than those of images that
    it has not seen, so that among them the nearest to an unseen normal image are mostly pneumonias. Copies that it has
    not seen bring them back to where unseen images lie (docs/decisions/0026).
    """

    def __init__(self, name: str, classifier: "AnyClassifier") -> None:
        mark = f"{classifier.revision} {COPIES} {VERSION} {versions.VIEWS}"
        super().__init__(name, hashlib.sha256(mark.encode()).hexdigest(), classifier)

    def embed_collection(self, pixels: Pixels, sha256: Sequence[str], *, learnt: Set[str]) -> Vectors:
        """See Embedder."""
        known = np.array([one in learnt for one in sha256], dtype=bool)
        made = np.empty((len(pixels), self.dimension), np.float32)
        made[~known] = self.embed_images(pixels[~known])
        made[known] = self.embed_training(pixels[known], [one for one in sha256 if one in learnt])
        return made

    def embed_training(self, pixels: Pixels, sha256: Sequence[str]) -> Vectors:
        """The vectors of training images, float32 (n, dimension), each of length 1.

        pixels: uint8 (n, h, w). sha256: (n,), of the images' files, which determine their copies.
        """
        from engine.classification.views.kinds import seeds
        from engine.classification.views.variations import STRONG, varied_view

        plain = sized(pixels, self.input_size)
        total = self.embed_images(plain).astype(np.float64)
        for copy in range(1, COPIES + 1):
            drawn = seeds(sha256, view=copy, seed=0)
            total += self.embed_images(varied_view(plain, seeds=drawn, variation=STRONG))
        return unit(total)


def multiview(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """See MultiviewEmbedder."""
    return MultiviewEmbedder(wanted.name, trained_classifier(wanted, sources))
