"""What an embedder is: its vectors, its weights' revision, and what is known of it before it is loaded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.images import resize
from engine.retrieval.alignment import NOTHING_KNOWN, Known

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A loaded embedder. Its vectors compare only with those of the same name and revision."""

    name: str
    revision: str
    """First 16 digits of the weights' sha256; of `aligned`, of one over both its networks' and how it joins them; of a
    model of open_clip's, of one over the weights' and how it takes pictures, unless as `engine.images.resize` does."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def fit(self, picture: Pixels) -> Pixels:
        """A grey picture, uint8 (h, w), scaled to what the embedder takes, and cut or filled where it asks for that;
        one that fits already is returned as it is."""
        ...

    def embed_images(self, pixels: Pixels) -> Vectors:
        """Grey pictures, uint8 (n, h, w), which need not fit yet -> float32 (n, dimension), each of length 1."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> float32 (n, d), each of length 1: d is `dimension`, or the index maps them into its space, see
        `VectorIndex.project_texts`. Raises InputError where the embedder reads no text."""
        ...

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """What to know before the hits for a text are believed, in a sentence, or None. known: what the index's words
        were learnt from."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where an embedder's weights may come from; see engine.weights.locate for the order."""

    models: Path | None = None
    weights: Path | None = None
    checkpoint: Path | None = None
    """Folder of a train run's checkpoint, which `classifier` and `aligned` are made of."""


@dataclass(frozen=True)
class EmbedderSpec:
    """What is known of an embedder before it is loaded."""

    name: str
    load: Callable[["EmbedderSpec", Sources], Embedder]
    reads_text: bool
    dimension: int | None
    """None where the train run or the model decides."""
    revision: str
    """Which weights these are."""
    licence: str
    own_weights: str | None = None
    """In words, whose weights it has where no others can be given."""
    mapped: bool = False
    """Whether its texts lie in a space of their own, which an index maps to the images'."""
    learnt: bool = False
    """Whether it is made of a trained classifier, and so knows the labels of that one's training images."""


def unit(vectors: NDArray[Any]) -> Vectors:
    """Rows scaled to length 1, float32 (n, d). Raises InputError where a row is 0 or not finite."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError("an embedding is 0 or not finite; are these the right weights?")
    return np.asarray(vectors / lengths, dtype=np.float32)


def sized(pixels: Pixels, size: int) -> Pixels:
    """Grey pictures squashed to size x size. Raises InputError where they are no uint8 (n, h, w)."""
    return fitted(pixels, partial(resize, size=size)).reshape(len(pixels), size, size)


def fitted(pixels: Pixels, fit: Callable[[Pixels], Pixels]) -> Pixels:
    """Grey pictures as `fit` makes each. Raises InputError where they are no uint8 (n, h, w)."""
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise InputError(f"an embedder takes uint8 (n, h, w); got {pixels.dtype} {pixels.shape}")
    made = np.stack([fit(picture) for picture in pixels]) if len(pixels) else pixels
    return np.require(made, requirements=["C", "W"])  # torch shares memory with what it is given
