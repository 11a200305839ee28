from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.classification import trunk_cache
from engine.classification.augment import augmented_view
from engine.classification.backbones import Backbone, load_backbone
from engine.classification.variations import MILD, STRONG, Variation, varied_view

PIXELS = np.random.default_rng(0).integers(0, 256, size=(5, 224, 224), dtype=np.uint8)
NAMES = [f"sha{row}" for row in range(len(PIXELS))]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", cut=16)


def read(rows: Sequence[int], size: int) -> np.ndarray:
    return PIXELS[list(rows)]


def never(rows: Sequence[int], size: int) -> np.ndarray:
    raise AssertionError("the cache computed what it had")


def test_a_second_build_computes_nothing_and_holds_the_same(tmp_path: Path, backbone: Backbone) -> None:
    first = trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0, batch_size=2)
    second = trunk_cache.build(tmp_path, backbone, NAMES, never, views=2, variation="augmented", seed=0)
    assert first.views[0].shape == (5, 192, 7, 7)
    for one, other in zip(first.views, second.views, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(first.views[0], first.views[1])


def test_a_damaged_view_is_computed_again(tmp_path: Path, backbone: Backbone) -> None:
    whole = np.array(
        trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0).views[0]
    )
    (path,) = tmp_path.glob("*/film.npy")
    path.write_bytes(path.read_bytes()[:-7])
    assert np.array_equal(
        trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0).views[0], whole
    )


def test_a_build_that_breaks_off_leaves_no_half_view(tmp_path: Path, backbone: Backbone) -> None:
    def breaks(rows: Sequence[int], size: int) -> np.ndarray:
        if 2 in rows:
            raise KeyboardInterrupt
        return read(rows, size)

    with pytest.raises(KeyboardInterrupt):
        trunk_cache.build(tmp_path, backbone, NAMES, breaks, views=2, variation="augmented", seed=0, batch_size=2)
    assert not list(tmp_path.glob("*/*.npy"))
    trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0)


def test_other_images_get_another_cache(tmp_path: Path, backbone: Backbone) -> None:
    trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0)
    trunk_cache.build(tmp_path, backbone, NAMES[:4], read, views=2, variation="augmented", seed=0)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_mirrored_view_is_what_the_describer_says_of_the_mirror_image(tmp_path: Path, backbone: Backbone) -> None:
    def corner(pixels: np.ndarray) -> np.ndarray:
        return pixels[:, :2, :3].astype(np.float16)

    built = trunk_cache.build(tmp_path, backbone, NAMES, read, views=4, variation="varied", seed=0, describe=corner)
    assert np.array_equal(built.views[0], PIXELS[:, :2, :3])
    assert np.array_equal(built.views[1], PIXELS[:, :2, :-4:-1])
    assert not np.array_equal(built.views[2], built.views[3])


def test_statistics_and_maps_of_the_same_images_are_kept_apart(tmp_path: Path, backbone: Backbone) -> None:
    trunk_cache.build(tmp_path, backbone, NAMES, read, views=2, variation="augmented", seed=0)
    trunk_cache.build(
        *(tmp_path, backbone, NAMES, read),
        **{"views": 2, "variation": "augmented", "seed": 0, "kept": "a corner"},
        describe=lambda pixels: pixels[:, 0, :2],
    )
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("variation", [MILD, STRONG])
def test_every_variation_changes_every_film_and_keeps_its_type(variation: Variation) -> None:
    varied = varied_view(PIXELS, seeds=np.arange(5), variation=variation)
    assert varied.dtype == np.uint8 and varied.shape == PIXELS.shape
    assert all(not np.array_equal(one, other) for one, other in zip(varied, PIXELS, strict=True))


def test_a_variation_without_extent_mirrors_or_leaves_a_film_as_it_is() -> None:
    none = Variation(0, (1, 1), 0, 0, 0, 0, (0, 0), 0, 0, (1, 1), 0, 0)
    varied = varied_view(PIXELS, seeds=np.arange(5), variation=none).astype(int)
    for made, film in zip(varied, PIXELS.astype(int), strict=True):
        assert min(abs(made - film).max(), abs(made - film[:, ::-1]).max()) <= 1


def test_an_augmented_view_depends_on_its_seed_alone() -> None:
    one = augmented_view(PIXELS, seeds=np.arange(5))
    assert np.array_equal(one[2:3], augmented_view(PIXELS[2:3], seeds=np.array([2])))
    assert not np.array_equal(one, augmented_view(PIXELS, seeds=np.arange(5) + 10))
    assert one.shape == PIXELS.shape and one.dtype == np.uint8
