"""Perceptual hashes against a plain implementation, and on images that were re-saved, darkened and rotated."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from engine.datasets.phantom_chest import Anatomy, Finding, radiograph
from engine.retrieval.duplicates import BITS, NEAR, distances, near_pairs, perceptual_hash, verdict


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.stack([radiograph(draw, Anatomy.draw(draw), Finding()) for _ in range(12)])


def test_the_hash_is_the_sign_of_the_lowest_frequencies_about_their_median(chests: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(chests[0]).resize((64, 64), Image.Resampling.LANCZOS), dtype=float)
    at = np.arange(64)
    waves = np.cos(np.pi * (at[None] + 0.5) * np.arange(16)[:, None] / 64)  # DCT-II, summed by hand
    low = waves @ small @ waves.T
    wanted = (low > np.median(low)).ravel()
    assert (np.unpackbits(perceptual_hash(chests[:1])[0]).astype(bool) == wanted).all()


@given(arrays(np.uint8, (3, 32)), arrays(np.uint8, (4, 32)))
def test_distances_count_differing_bits(ours: np.ndarray, theirs: np.ndarray) -> None:
    expected = [[sum(int(a ^ b).bit_count() for a, b in zip(x, y, strict=True)) for y in theirs] for x in ours]
    assert distances(ours, theirs).tolist() == expected


@given(st.integers(0, BITS))
def test_a_verdict_turns_at_the_limit(distance: int) -> None:
    assert verdict(distance) == ("near-duplicate" if distance <= NEAR else "different")


def changed(picture: Image.Image, how: str) -> Image.Image:
    width, height = picture.size
    match how:
        case "saved again":
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=40)
            return Image.open(stream).convert("L")
        case "darker":
            return picture.point(lambda grey: grey * 0.8)
        case "smaller":
            return picture.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
        case _:
            edge = width // 100
            return picture.crop((edge, edge, width - edge, height - edge))


@pytest.mark.parametrize("how", ["saved again", "darker", "smaller", "cropped"])
def test_a_changed_copy_is_near_its_original_and_to_nothing_else(chests: np.ndarray, how: str) -> None:
    copies = [np.asarray(changed(Image.fromarray(chest), how)) for chest in chests]
    hashes = np.concatenate([perceptual_hash(copy[None]) for copy in copies])
    near = distances(hashes, perceptual_hash(chests)) <= NEAR
    assert (near == np.eye(len(chests), dtype=bool)).all()


def test_no_pictures_have_no_hashes() -> None:
    assert perceptual_hash(np.empty((0, 8, 8), np.uint8)).shape == (0, BITS // 8)


def test_all_close_pairs_are_found_once_and_in_order() -> None:
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 256, (300, 32), dtype=np.uint8)
    hashes[200] = hashes[10]
    hashes[250] = hashes[10] ^ np.uint8(1)
    told: list[int] = []
    found = near_pairs(hashes, within=100, advance=told.append)
    apart = distances(hashes, hashes)
    expected = [(a, b, apart[a, b]) for a in range(300) for b in range(a + 1, 300) if apart[a, b] <= 100]
    assert list(zip(found.one, found.other, found.distance, strict=True)) == expected
    assert sum(told) == 300
    assert len(near_pairs(hashes[:1], within=48).one) == 0


def test_a_possible_pair_needs_features_that_agree() -> None:
    assert [verdict(32), verdict(33), verdict(48, 0.99), verdict(49, 0.99), verdict(40, 0.5)] == [
        *("near-duplicate", "different", "possible", "different", "different")
    ]
