"""Shortcut probes, on images where it is known which property separates the classes."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.audit.shortcuts import (
    PERCENTILES,
    STATISTICS,
    boosted,
    frame_mask,
    frame_pixels,
    linear,
    only_frame,
    probe,
    statistics,
    without_frame,
)
from engine.errors import InputError

SIDE, COUNT = 40, 240
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, COUNT)
PATIENTS = np.repeat(np.arange(COUNT // 2), 2)


def noise() -> np.ndarray:
    return RNG.integers(60, 120, (COUNT, SIDE, SIDE)).astype(np.uint8)


def marked() -> np.ndarray:
    """Pneumonia is only a bright marker in a corner of the image."""
    pixels = noise()
    pixels[:, :4, :4] += (100 * LABELS[:, None, None]).astype(np.uint8)
    return pixels


def diseased() -> np.ndarray:
    """Pneumonia is only a brighter centre."""
    pixels = noise()
    pixels[:, 15:25, 15:25] += (100 * LABELS[:, None, None]).astype(np.uint8)
    return pixels


def auc_of(rows: np.ndarray, model=linear) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    half = COUNT // 2
    found = probe(model, rows[:half], LABELS[:half], PATIENTS[:half], rows[half:], seed=0)
    return roc_auc_score(LABELS[:half], found.out_of_fold), roc_auc_score(LABELS[half:], found.test)


def test_a_marker_in_the_frame_is_found_by_the_frame_alone_and_disease_is_not() -> None:
    assert min(auc_of(frame_pixels(marked()))) > 0.99
    assert max(auc_of(frame_pixels(diseased()))) < 0.7


def test_brightness_is_found_by_statistics_and_size_by_size() -> None:
    assert min(auc_of(statistics(diseased()), boosted)) > 0.99
    sizes = np.column_stack([np.full(COUNT, 224.0), RNG.normal(10_000, 100, COUNT) + 500 * LABELS])
    assert min(auc_of(sizes, boosted)) > 0.95
    assert max(auc_of(RNG.normal(size=(COUNT, 3)), boosted)) < 0.75


def test_a_probe_never_scores_an_image_by_its_own_patient() -> None:
    person = np.repeat(np.arange(60), 4)
    truth = np.random.default_rng(5).integers(0, 2, 60)[person]
    fingerprints = np.eye(60)[person]  # tells who it is, and so the label, to whoever saw the patient
    found = probe(linear, fingerprints, truth, person, fingerprints, seed=0)
    assert roc_auc_score(truth, found.out_of_fold) < 0.6
    assert roc_auc_score(truth, found.test) == 1.0
    assert all(len(set(found.fold[person == one])) == 1 for one in range(60))


def test_too_few_patients_are_one_line() -> None:
    with pytest.raises(InputError, match="folds need at least 5"):
        probe(linear, np.zeros((8, 2)), [0, 1] * 4, [0, 1] * 4, np.zeros((0, 2)))


def test_frame_and_inside_make_the_whole_picture() -> None:
    pixels = noise()
    mask = frame_mask(SIDE)
    assert mask.sum() == SIDE**2 - (0.8 * SIDE) ** 2
    framed, inside = only_frame(pixels), without_frame(pixels)
    assert (framed[:, mask] == pixels[:, mask]).all() and (inside[:, ~mask] == pixels[:, ~mask]).all()
    assert (framed[:, ~mask] == np.rint(pixels[:, mask].mean(1))[:, None]).all()
    assert (np.ptp(inside[:, mask], axis=1) == 0).all()
    other = pixels.copy()
    other[:, ~mask] = 0
    assert (only_frame(other) == framed).all(), "what lies inside must not show, not even in its mean"


def test_statistics_are_those_of_numpy() -> None:
    pixels = noise()
    found = statistics(pixels)
    assert found.shape == (COUNT, len(STATISTICS))
    assert found[7] == pytest.approx([pixels[7].mean(), pixels[7].std(), *np.percentile(pixels[7], PERCENTILES)])


def test_frame_pixels_of_a_film_made_small_are_means_of_its_frame() -> None:
    pixels = RNG.integers(0, 256, (2, 80, 80)).astype(np.uint8)
    means = pixels.reshape(2, 40, 2, 40, 2).mean(axis=(2, 4))[:, frame_mask(40)] / 255
    assert frame_pixels(pixels) == pytest.approx(means, abs=1.1 / 255)  # Pillow rounds twice
    assert frame_pixels(pixels).shape == (2, 576)
