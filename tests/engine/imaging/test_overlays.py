"""Heatmap overlays have colour where there is heat, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.imaging.overlays import COLOURS, enlarge, layer, overlay

GREY = np.linspace(0, 255, 96 * 80).reshape(96, 80).astype(np.uint8)


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours uint8 (n, 3) (CIE 15:2004, IEC 61966-2-1)."""
    linear = np.where(colours <= 10, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    luminance: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_colours_grow_evenly_lighter_with_heat() -> None:
    light = lightness(COLOURS)
    assert (np.diff(light) >= 0).all()
    assert np.abs(light - np.linspace(light[0], light[-1], 256)).max() < 7  # even in CAM02-UCS, near it in L*


def test_a_cold_heatmap_leaves_the_radiograph_as_it_is() -> None:
    drawn = overlay(GREY, np.zeros((7, 7)))
    assert drawn.shape == (96, 80, 3)
    assert (drawn == GREY[..., None]).all()


def test_colour_appears_in_the_hot_corner_and_not_in_the_opposite_one() -> None:
    heat = np.zeros((7, 7))
    heat[0, 6] = 1.0
    change = np.abs(overlay(np.full((140, 140), 90, np.uint8), heat, opacity=0.8).astype(int) - 90).sum(axis=2)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert row < 20
    assert column >= 120
    assert change[70:, :70].max() == 0


@given(opacity=st.floats(0, 1), heat=st.floats(-1, 2))
def test_a_constant_heatmap_mixes_radiograph_and_colour_by_opacity(opacity: float, heat: float) -> None:
    level = min(max(heat, 0.0), 1.0)
    expected = (1 - opacity * level) * 100 + opacity * level * COLOURS[round(level * 255)].astype(float)
    drawn = overlay(np.full((8, 8), 100, np.uint8), np.full((7, 7), heat), opacity=opacity)
    assert np.abs(drawn - expected).max() <= 3  # resampling may move a level by one step of the table


@given(opacity=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_layer_over_the_radiograph_is_the_overlay(opacity: float, seed: int) -> None:
    heat = np.random.default_rng(seed).random((5, 5))
    above = layer(heat, *GREY.shape).astype(float)
    weight = opacity * above[..., 3:] / 255
    over = weight * above[..., :3] + (1 - weight) * GREY[..., None]
    assert np.abs(over - overlay(GREY, heat, opacity=opacity)).max() <= 1.5  # alpha has 256 levels


def test_enlarging_keeps_values_in_range_beside_steep_edges() -> None:
    heat = np.zeros((7, 7))
    heat[3:, :] = 1.0
    large = enlarge(heat, 224, 200)
    assert large.shape == (224, 200)
    assert (large.min(), large.max()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("pixels", "heat", "opacity", "named"),
    [
        (np.zeros((8, 8, 3), np.uint8), np.zeros((7, 7)), 0.4, "radiograph"),
        (np.zeros((8, 8)), np.zeros((7, 7)), 0.4, "radiograph"),
        (GREY, np.full((7, 7), np.nan), 0.4, "heatmap"),
        (GREY, np.zeros((0, 7)), 0.4, "heatmap"),
        (GREY, np.zeros(7), 0.4, "heatmap"),
        (GREY, np.zeros((7, 7)), 1.4, "opacity"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(
    pixels: np.ndarray, heat: np.ndarray, opacity: float, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        overlay(pixels, heat, opacity=opacity)
