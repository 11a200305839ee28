"""Randomising weights, and similarity of maps, against scipy and the definitions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from torch import nn

from engine.audit.sanity import holders, randomised, rank_correlation, structural_similarity
from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.fusing import quick

MAPS = arrays(np.float32, (4, 5, 5), elements=st.floats(0, 1, width=16))


@given(MAPS, MAPS)
def test_rank_correlation_is_scipys_and_unknown_for_even_maps(ours: np.ndarray, theirs: np.ndarray) -> None:
    found = rank_correlation(ours, theirs)
    for row, value in enumerate(found):
        first, second = ours[row].ravel(), theirs[row].ravel()
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


@given(MAPS, MAPS)
def test_structural_similarity_is_its_definition_and_one_for_equal_maps(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert structural_similarity(ours, ours) == pytest.approx(1.0)
    found = structural_similarity(ours, theirs)
    assert found == pytest.approx(structural_similarity(theirs, ours))
    for row, value in enumerate(found):
        x, y = ours[row].ravel().astype(float), theirs[row].ravel().astype(float)
        (vx, vxy), (_, vy) = np.cov(x, y, bias=True)
        mx, my = x.mean(), y.mean()
        expected = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
        assert value == pytest.approx(expected, abs=1e-9)


@dataclass
class Holder:
    """Weights where a classifier has them: in an attribute, a list, a mapping."""

    trunk: nn.Sequential
    members: list[nn.Linear]
    state: dict[str, Any]

    @property
    def convolution(self) -> nn.Conv2d:
        """The trunk's only layer."""
        (layer,) = self.trunk
        assert isinstance(layer, nn.Conv2d)
        return layer


def test_modules_and_mappings_are_found_wherever_they_are_held() -> None:
    held = Holder(nn.Sequential(nn.Conv2d(1, 2, 3)), [nn.Linear(2, 2)], {"quick": nn.Conv2d(2, 2, 1)})
    found = [one for one in holders(held) if isinstance(one, nn.Module)]
    wanted = [held.trunk, held.trunk[0], held.members[0], held.state["quick"]]
    assert {id(module) for module in found} == {id(module) for module in wanted}
    assert len(found) == len(wanted)
    assert held.state in list(holders(held))


def test_drawing_anew_leaves_the_original_and_everything_above_the_part_as_it_was() -> None:
    state = {"net.weights": torch.ones(500), "net/0.weight": torch.ones(3), "net.centre": torch.ones(3)}
    held = Holder(nn.Sequential(nn.Conv2d(8, 64, 3)), [nn.Linear(512, 64)], state)
    before = [held.convolution.weight.clone(), held.members[0].weight.clone()]
    head, network = randomised(held, "head", seed=1), randomised(held, "network", seed=1)
    assert torch.equal(held.convolution.weight, before[0]) and torch.equal(held.members[0].weight, before[1])
    assert (held.state["net.weights"] == 1).all()
    assert torch.equal(head.convolution.weight, before[0])
    assert not torch.equal(head.members[0].weight, before[1])
    assert not torch.equal(network.convolution.weight, before[0])
    assert head.state["net.weights"].std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.1)
    assert (head.state["net/0.weight"] == 1).all() and (head.state["net.centre"] == 1).all()
    drawn: list[tuple[nn.Conv2d | nn.Linear, int]] = [(network.convolution, 8 * 9), (head.members[0], 512)]
    for layer, fan_in in drawn:
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        assert layer.bias is not None and (layer.bias == 0).all()
    assert torch.equal(randomised(held, "network", seed=1).convolution.weight, network.convolution.weight)
    assert not torch.equal(randomised(held, "network", seed=2).convolution.weight, network.convolution.weight)


def test_what_was_derived_from_the_weights_before_changes_no_draw() -> None:
    torch.manual_seed(0)
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    fresh = randomised(backbone, "network", seed=0)
    assert backbone.exact_trunk is not None and backbone.quick_trunk is not None
    again = randomised(backbone, "network", seed=0)
    assert all(torch.equal(one, other) for one, other in zip(fresh.parameters(), again.parameters(), strict=True))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(again.exact_trunk(images), again.trunk(images), rtol=1e-3, atol=1e-2)


def test_a_fused_backbone_with_random_weights_still_gives_finite_maps() -> None:
    torch.manual_seed(0)
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    drawn = randomised(quick(nn.Sequential(backbone.trunk, backbone.tail)), "network", seed=0)
    with torch.inference_mode():
        maps = drawn(torch.rand(2, 3, 64, 64).bfloat16())
    assert torch.isfinite(maps).all() and maps.float().std() > 0
