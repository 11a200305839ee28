import numpy as np
import pytest
import torch

from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.statistics import Statistics, contributions, describe

PIXELS = np.random.default_rng(0).integers(0, 256, size=(3, 224, 224), dtype=np.uint8)


def tapped_maps(seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(2, 5, 8, 8), torch.rand(2, 3, 4, 4)]


def test_a_description_holds_mean_and_population_standard_deviation_of_every_map() -> None:
    maps = tapped_maps()
    described = describe(maps).numpy()
    expected = [f(tap.numpy(), axis=(2, 3)) for tap in maps for f in (np.mean, np.std)]
    assert described == pytest.approx(np.concatenate(expected, axis=1), abs=1e-6)


def test_contributions_add_up_to_the_score_to_the_last_place() -> None:
    maps = tapped_maps()
    described = describe(maps)
    weights, centre = torch.randn(described.shape[1]), torch.randn(described.shape[1])
    places = contributions(maps, weights, centre)
    assert places.shape == (2, 8, 8)
    assert torch.allclose(places.sum((1, 2)), (described - centre) @ weights, atol=1e-4)


def test_evidence_lies_where_the_map_is_high() -> None:
    maps = [torch.zeros(1, 1, 4, 4)]
    maps[0][0, 0, 1, 2] = 1.0
    places = contributions(maps, torch.tensor([1.0, 0.0]), torch.zeros(2))
    assert places.flatten().argmax() == 6 and places.sum() == pytest.approx(1 / 16)


def test_a_backbone_describes_as_its_float32_stages_do() -> None:
    backbone = load_backbone("efficientnet_lite0")
    describer = Statistics(backbone)
    flowing, exact = backbone.normalise(torch.from_numpy(PIXELS)), []
    with torch.inference_mode():
        for number, stage in enumerate([*backbone.trunk, *backbone.tail]):
            flowing = stage(flowing)
            if number in backbone.spec.taps:
                exact.append(flowing)
    described = torch.from_numpy(describer.describe(PIXELS)).float()
    assert described.shape == (3, 2 * (192 + 320))
    assert torch.cosine_similarity(described, describe(exact)).min() > 0.999
