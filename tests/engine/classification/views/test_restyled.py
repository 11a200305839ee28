"""Restyled views have another image's grey levels and spectrum, but their own phases."""

import numpy as np
import pytest

from engine.classification.views import variations
from engine.classification.views.kinds import VARIATIONS
from engine.classification.views.variations import Variation, restyled_view

STILL = Variation(0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, 0.0, (1.0, 1.0), 0.0, 0.0)
"""No augmentation except mirroring, which half of the seeds draw."""


def films(count: int = 6, side: int = 32) -> np.ndarray:
    """Smooth pictures of different brightness."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, side // 8, side // 8))
    grey = coarse.repeat(8, axis=1).repeat(8, axis=2) * np.linspace(0.3, 1, count)[:, None, None]
    return (grey + rng.integers(0, 8, grey.shape)).clip(0, 255).astype(np.uint8)


def test_a_view_is_fixed_by_its_seed_and_its_batch() -> None:
    pixels = films()
    seeds = np.arange(len(pixels))
    first = VARIATIONS["restyled"].vary(pixels, seeds, 0)
    np.testing.assert_array_equal(first, VARIATIONS["restyled"].vary(pixels, seeds, 0))
    assert first.shape == pixels.shape and first.dtype == np.uint8
    assert (first != VARIATIONS["restyled"].vary(pixels, seeds + 100, 0)).mean() > 0.5
    assert restyled_view(pixels[:0], seeds=seeds[:0], variation=STILL).shape == (0, 32, 32)


def test_a_film_alone_keeps_its_style() -> None:
    pixels = films(1)
    view = restyled_view(pixels, seeds=np.array([3]), variation=STILL)
    either = np.stack([pixels[0], pixels[0, :, ::-1]]).astype(int)
    assert np.abs(either - view[0].astype(int)).max(axis=(1, 2)).min() <= 2


def test_matching_gives_the_donors_greys_and_keeps_their_order() -> None:
    film, donor = films(2)
    matched = variations._matched(film, donor)
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(matched, share) == pytest.approx(np.quantile(donor, share), abs=8)
    order = np.argsort(film.ravel(), kind="stable")
    assert (np.diff(matched.ravel()[order].astype(int)) >= 0).all()


def test_mixing_takes_amplitudes_and_leaves_phases() -> None:
    import torch

    pixels = films(2).astype(np.uint8)
    pixels = (pixels // 2 + 40).astype(np.uint8)  # so that nothing is clipped
    none = variations._remixed(pixels, pixels[::-1].copy(), torch.zeros(2))
    assert np.abs(none.astype(int) - pixels).max() <= 1
    whole = variations._remixed(pixels[:1], pixels[1:], torch.ones(1))
    ours, theirs, mixed = (np.fft.rfft2(each[0].astype(float)) for each in (pixels[:1], pixels[1:], whole))
    strong = np.abs(theirs) > np.quantile(np.abs(theirs), 0.9)
    np.testing.assert_allclose(np.abs(mixed)[strong], np.abs(theirs)[strong], rtol=0.25)
    turned = np.abs(np.angle(mixed[strong] / ours[strong]))
    assert np.median(turned) < 0.1


def test_most_views_take_another_style() -> None:
    pixels = np.stack([np.full((16, 16), 40), np.full((16, 16), 200)]).astype(np.uint8)
    pixels[:, :8] += 20
    views = [restyled_view(pixels, seeds=np.array([2 * n, 2 * n + 1]), variation=STILL)[0].mean() for n in range(200)]
    taken = np.mean(np.array(views) > 100)
    assert 0.6 < taken < 0.95
