import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from engine.classification.classifiers.explain import grad_cam, normalised
from engine.imaging.heat import EVEN_IN_FRAME, ZONES, frame_share, lung_zones


def test_grad_cam_of_a_linear_head_is_the_class_activation_map() -> None:
    torch.manual_seed(0)
    maps, head = torch.randn(3, 8, 5, 5), nn.Linear(8, 2)
    weights = (head.weight[1] - head.weight[0]).detach() / 25
    expected = torch.einsum("c,nchw->nhw", weights, maps).clamp_min(0)
    assert torch.allclose(grad_cam(maps, head), expected, atol=1e-6)


def test_grad_cam_works_inside_inference_mode() -> None:
    head = nn.Linear(8, 2).requires_grad_(False)
    with torch.inference_mode():
        heat = grad_cam(torch.rand(2, 8, 4, 4), head)
    assert heat.shape == (2, 4, 4)


def test_other_head_weights_give_another_map() -> None:
    torch.manual_seed(0)
    maps = torch.rand(1, 16, 7, 7)
    assert not torch.allclose(grad_cam(maps, nn.Linear(16, 2)), grad_cam(maps, nn.Linear(16, 2)))


def test_an_image_without_heat_stays_without_heat() -> None:
    heat = np.stack([np.zeros((7, 7)), np.eye(7) * 4]).astype(np.float32)
    assert normalised(heat).max(axis=(1, 2)).tolist() == [0.0, 1.0]
    assert lung_zones(heat[0]) == {}


@pytest.mark.parametrize(
    ("row", "column", "zone"),
    [(0, 0, "right_upper"), (0, 6, "left_upper"), (6, 0, "right_lower"), (3, 6, "left_middle")],
)
def test_the_left_half_of_the_image_is_the_patients_right_lung(row: int, column: int, zone: str) -> None:
    heat = np.zeros((7, 7))
    heat[row, column] = 1.0
    zones = lung_zones(heat)
    assert max(zones, key=lambda name: zones[name]) == zone


@given(arrays(np.float32, (7, 7), elements=st.floats(0, 1, width=32)))
def test_zone_shares_sum_to_one(heat: np.ndarray) -> None:
    zones = lung_zones(heat)
    assert zones == {} if not heat.sum() > 0 else sum(zones.values()) == pytest.approx(1.0)
    assert zones == {} or tuple(zones) == ZONES


def test_an_even_map_has_the_frames_own_area_in_the_frame() -> None:
    assert frame_share(np.ones((7, 7))) == pytest.approx(1 - 0.8**2) == pytest.approx(EVEN_IN_FRAME)
    assert frame_share(np.ones((5, 9))) == pytest.approx(EVEN_IN_FRAME)


@given(arrays(np.float32, (7, 7), elements=st.floats(0, 1, width=32)))
def test_the_frames_share_is_that_of_the_map_drawn_pixel_by_pixel(heat: np.ndarray) -> None:
    drawn = heat.repeat(10, axis=0).repeat(10, axis=1).astype(np.float64)  # 70 x 70: the frame is 7 pixels wide
    share = frame_share(heat)
    if not heat.sum() > 0:
        assert np.isnan(share)
    else:
        assert share == pytest.approx(1 - drawn[7:-7, 7:-7].sum() / drawn.sum(), abs=1e-6)
