"""Deletion and insertion curves of classifiers whose evidence is known."""

import numpy as np
import pytest

from engine.audit.faithfulness import MODES, ORDERS, STEPS, area, centre, curves, places, stages

SIDE = 28
HEATMAP, RANDOM, CENTRE = range(len(ORDERS))
DELETION, INSERTION = range(len(MODES))


def spotted(rows: slice, columns: slice) -> np.ndarray:
    """Noise with a bright square."""
    picture = np.random.default_rng(3).integers(60, 90, (SIDE, SIDE)).astype(np.uint8)
    picture[rows, columns] = 250
    return picture


CORNER = spotted(slice(0, 8), slice(0, 8))


def brightness(pixels: np.ndarray) -> np.ndarray:
    """A classifier that sees only the upper left corner: the fraction of it that is bright."""
    return np.asarray((pixels[:, :8, :8] > 200).mean(axis=(1, 2)))


def heat_at(row: int, column: int) -> np.ndarray:
    heat = np.full((7, 7), 0.01)
    heat[row : row + 2, column : column + 2] = 1.0
    return heat


def measured(heatmap: np.ndarray) -> np.ndarray:
    found = curves(brightness, CORNER[None], heatmap[None], rng=np.random.default_rng(0))
    assert found.shape == (1, len(ORDERS), len(MODES), STEPS + 1)
    return np.asarray(found[0])


def test_a_map_of_the_evidence_deletes_it_first_and_inserts_it_first() -> None:
    found = area(measured(heat_at(0, 0)))
    assert found[HEATMAP, DELETION] < 0.1 < found[RANDOM, DELETION]
    assert found[HEATMAP, INSERTION] > 0.9 > found[RANDOM, INSERTION]
    assert found[CENTRE, DELETION] > found[RANDOM, DELETION], "the corner is what the centre prior reaches last"


def test_a_map_of_something_else_is_worse_than_a_random_one() -> None:
    found = area(measured(heat_at(5, 5)))
    assert found[HEATMAP, DELETION] > found[RANDOM, DELETION]
    assert found[HEATMAP, INSERTION] < found[RANDOM, INSERTION]


def test_curves_run_between_the_picture_the_grey_and_the_blurred_one() -> None:
    found = measured(heat_at(0, 0))
    assert (found[:, DELETION, 0] == found[:, INSERTION, -1]).all()
    assert (found[:, DELETION, 0] == 1.0).all()
    assert (found[:, DELETION, -1] == 0.0).all()


def test_each_step_changes_a_twentieth_of_the_pixels_hottest_first() -> None:
    heat = np.arange(400.0).reshape(20, 20)
    place = places(heat, np.random.default_rng(0))
    assert (place.ravel() == np.arange(399, -1, -1) / 400).all()
    picture = np.random.default_rng(1).integers(0, 100, (20, 20)).astype(np.uint8)
    picture[0, 0] = 255
    deleted = stages(picture, place)[: STEPS + 1]
    grey = np.rint(picture.mean())
    assert [int((stage == grey).sum() - (picture == grey).sum()) for stage in deleted][:2] == [0, 20]
    assert (deleted[1][-1] == grey).all() and (deleted[1][:-1] == picture[:-1]).all()
    assert (deleted[-1] == grey).all()


def test_equal_heat_goes_in_an_order_that_the_generator_draws() -> None:
    first, again, other = (places(np.ones((9, 9)), np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert sorted(first.ravel()) == pytest.approx(np.arange(81) / 81)
    assert abs(np.corrcoef(first.ravel(), np.arange(81))[0, 1]) < 0.3


def test_areas_are_those_of_known_curves() -> None:
    assert area(np.ones(STEPS + 1)) == pytest.approx(1.0)
    assert area(np.linspace(0, 1, STEPS + 1)) == pytest.approx(0.5)
    assert area(np.linspace(0, 1, STEPS + 1) ** 2) == pytest.approx(1 / 3, abs=1e-3)


def test_the_centre_prior_is_hottest_in_the_middle_and_falls_evenly_to_the_corners() -> None:
    heat = centre(7, 7)
    assert heat[3, 3] == heat.max() == 1.0
    assert heat[0, 0] == heat[6, 6] == pytest.approx(0.0)
    assert np.allclose(heat, heat[::-1]) and np.allclose(heat, heat.T)
    assert centre(1, 1).tolist() == [[1.0]]
