"""The embedder interface, the properties of an embedder before it is loaded, and helpers for its vectors and images."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.imaging.images import Pixels, resize
from engine.retrieval.arrays import Vectors
from engine.retrieval.text.alignment import NOTHING_KNOWN, Known

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.classification.classifiers.inference import Inference


@dataclass(frozen=True)
class Lender:
    """Another embedder, by name and revision, whose vectors contain this one's. extract: uncentred vectors of the other
    -> this one's, float32 (n, dimension)."""

    name: str
    revision: str
    extract: Callable[[Vectors], Vectors]


class Embedder(Protocol):
    """A loaded embedder. Vectors are comparable only if name and revision are the same."""

    name: str
    revision: str
    """First 16 hex digits of a sha256: that of the weights; for `aligned`, of both networks' hashes and the alignment's
    version; for open_clip models, of the weights' hash and the image preprocessing, unless that is the same as
    `engine.imaging.images.resize`."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def fit(self, picture: Pixels) -> Pixels:
        """A greyscale image, uint8 (h, w), resized and if necessary cropped or padded to the embedder's input size; an
        image that fits already is returned unchanged."""
        ...

    def embed_images(self, pixels: Pixels) -> Vectors:
        """Greyscale images, uint8 (n, h, w) of any size -> float32 (n, dimension), each of length 1."""
        ...

    def embed_collection(self, pixels: Pixels, sha256: Sequence[str], *, learnt: Set[str]) -> Vectors:
        """As `embed_images`, of a collection's files with these hashes, (n,). learnt: the hashes of the images that the
        embedder's classifier was trained on, which some embedders treat in another way."""
        ...

    @property
    def lender(self) -> Lender | None:
        """The embedder whose indexes spare embedding images again, if there is one."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> float32 (n, d), each of length 1. d is `dimension`, unless the index maps them into its space, see
        `VectorIndex.project_texts`. Raises InputError if the embedder takes images only."""
        ...

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """A warning about the hits for a text, in a sentence, or None. known: what the index's text mapping was learnt
        from."""
        ...


class Plain(ABC):
    """What most embedders have in common: all images are embedded alike, and no other embedder's vectors are used."""

    lender: Lender | None = None

    @abstractmethod
    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""

    def embed_collection(self, pixels: Pixels, sha256: Sequence[str], *, learnt: Set[str]) -> Vectors:
        """See Embedder."""
        return self.embed_images(pixels)


class OfClassifier(Plain):
    """An embedder made from a trained classifier, which can use the classifier's results for images."""

    @property
    @abstractmethod
    def classifier(self) -> "AnyClassifier":
        """The classifier. Raises InputError if it cannot be read."""

    @abstractmethod
    def of(self, inference: "Inference") -> Vectors:
        """The vectors, float32 (n, dimension), from the classifier's results for n images, with heatmaps."""


@dataclass(frozen=True)
class Sources:
    """Where an embedder's weights may come from; see engine.pretrained.weights.locate for the order."""

    models: Path | None = None
    weights: Path | None = None
    checkpoint: Path | None = None
    """Folder of a train run's checkpoint, which `classifier` and `aligned` are made from."""


@dataclass(frozen=True)
class EmbedderSpec:
    """An embedder's properties, known before it is loaded."""

    name: str
    load: Callable[["EmbedderSpec", Sources], Embedder]
    reads_text: bool
    dimension: int | None
    """None if it depends on the train run or model."""
    revision: str
    """Name of the weights."""
    licence: str
    own_weights: str | None = None
    """Why no other weights can be given, as a clause; None if they can."""
    mapped: bool = False
    """Whether text embeddings are in a separate space, which an index maps to the images'."""
    learnt: bool = False
    """Whether it is made from a trained classifier, whose features know the labels of its training images."""
    apart: bool = False
    """Whether it embeds these training images otherwise than all others, whose nearest are then each other."""


def unit(vectors: NDArray[Any]) -> Vectors:
    """Rows scaled to length 1, float32 (n, d). Raises InputError if a row is 0 or not finite."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError("an embedding is 0 or not finite; are these the right weights?")
    return np.asarray(vectors / lengths, dtype=np.float32)


def sized(pixels: Pixels, size: int) -> Pixels:
    """Greyscale images resized to size x size, ignoring aspect ratio. Raises InputError unless uint8 (n, h, w)."""
    return fitted(pixels, partial(resize, size=size)).reshape(len(pixels), size, size)


def fitted(pixels: Pixels, fit: Callable[[Pixels], Pixels]) -> Pixels:
    """Greyscale images, each preprocessed by `fit`. Raises InputError unless they are uint8 (n, h, w)."""
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise InputError(f"an embedder takes uint8 (n, h, w); got {pixels.dtype} {pixels.shape}")
    made = np.stack([fit(picture) for picture in pixels]) if len(pixels) else pixels
    return np.require(made, requirements=["C", "W"])  # torch shares memory with what it is given
