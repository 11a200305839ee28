from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.classification import versions
from engine.classification.networks.backbones import Backbone, load_backbone
from engine.classification.views import trunk_cache
from engine.classification.views.augment import augmented_view
from engine.classification.views.descriptions import MapStatistics, TrunkMaps
from engine.classification.views.kinds import PixelReader, Source
from engine.classification.views.trunk_cache import TrunkCache
from engine.classification.views.variations import MILD, STRONG, Variation, varied_view
from engine.digests import json_sha256

PIXELS = np.random.default_rng(0).integers(0, 256, size=(5, 224, 224), dtype=np.uint8)
NAMES = [f"sha{row}" for row in range(len(PIXELS))]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", cut=16)


def read(rows: Sequence[int], size: int) -> np.ndarray:
    return PIXELS[list(rows)]


def never(rows: Sequence[int], size: int) -> np.ndarray:
    raise AssertionError("the cache computed what it had")


def built(folder: Path, backbone: Backbone, reader: PixelReader = read, *, batch_size: int = 64) -> TrunkCache:
    source = Source(NAMES, reader, "augmented", seed=0)
    return trunk_cache.build(folder, source, TrunkMaps(backbone), views=range(2), batch_size=batch_size)


class Corner:
    """Stores a corner of the pixels, and whether it was to be exact."""

    def key(self) -> Mapping[str, object]:
        return {"kept": "a corner"}

    def __call__(self, pixels: np.ndarray, *, exact: bool) -> np.ndarray:
        return np.append(pixels[:, 0, :3], np.full((len(pixels), 1), exact), axis=1).astype(np.float16)


def test_a_second_build_computes_nothing_and_holds_the_same(tmp_path: Path, backbone: Backbone) -> None:
    first = built(tmp_path, backbone, batch_size=2)
    second = built(tmp_path, backbone, never)
    assert first.views[0].shape == (5, 192, 7, 7)
    for one, other in zip(first.views, second.views, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(first.views[0], first.views[1])


def test_a_damaged_view_is_computed_again(tmp_path: Path, backbone: Backbone) -> None:
    whole = np.array(built(tmp_path, backbone).views[0])
    (path,) = tmp_path.glob("*/film.npy")
    path.write_bytes(path.read_bytes()[:-7])
    assert np.array_equal(built(tmp_path, backbone).views[0], whole)


def test_a_build_that_breaks_off_leaves_no_half_view(tmp_path: Path, backbone: Backbone) -> None:
    def breaks(rows: Sequence[int], size: int) -> np.ndarray:
        if 2 in rows:
            raise KeyboardInterrupt
        return read(rows, size)

    with pytest.raises(KeyboardInterrupt):
        built(tmp_path, backbone, breaks, batch_size=2)
    assert not list(tmp_path.glob("*/*.npy"))
    built(tmp_path, backbone)


def test_other_images_get_another_cache(tmp_path: Path) -> None:
    for names in (NAMES, NAMES[:4]):
        trunk_cache.build(tmp_path, Source(names, read, "augmented", seed=0), Corner(), views=range(2))
    assert len(list(tmp_path.iterdir())) == 2


def test_views_are_the_image_then_its_mirror_image_both_exact_then_augmented_ones(tmp_path: Path) -> None:
    source = Source(NAMES, read, "varied", seed=0)
    views = trunk_cache.build(tmp_path, source, Corner(), views=range(4)).views
    assert np.array_equal(views[0][:, :3], PIXELS[:, 0, :3])
    assert np.array_equal(views[1][:, :3], PIXELS[:, 0, :-4:-1])
    assert not np.array_equal(views[2], views[3])
    assert [view[:, 3].tolist() for view in views] == [[1] * 5, [1] * 5, [0] * 5, [0] * 5]


def test_processes_that_share_the_views_fill_one_cache(tmp_path: Path) -> None:
    source = Source(NAMES, read, "varied", seed=0)
    halves = [trunk_cache.build(tmp_path, source, Corner(), views=views).views for views in ([0, 2], [1, 3])]
    filled = trunk_cache.build(tmp_path, Source(NAMES, never, "varied", seed=0), Corner(), views=range(4)).views
    for one, other in zip(filled, (halves[0][0], halves[1][0], halves[0][1], halves[1][1]), strict=True):
        assert np.array_equal(one, other)


def test_the_key_is_what_existing_caches_were_stored_under(tmp_path: Path, backbone: Backbone) -> None:
    source = Source(["sha0", "sha1"], read, "varied", seed=0)
    common = {
        "images": "1f60363f15853e28bd01b6faf056c23e4aa649aefc6cf98be7050890dd442a79",
        "backbone": "efficientnet_lite0",
        "cut": 16,
        "variation": "varied",
        "views": versions.VIEWS,
        "code": versions.TRUNK,
    }
    maps = {
        "weights": "b1220e8ad3b7ea1ae9e3d4a3deb5fdee02800fc7ed27639956ed83a4d1965e60",
        "size": 96,
        "hide_corners": True,
        "kept": "maps",
    }
    statistics = {
        "weights": "d225b3f08d0429902cea375a608cd98f7f09ef3eb4a7205d146fbe59af3da5f9",
        "size": 224,
        "hide_corners": False,
        "kept": "statistics of (15, 16)",
    }
    for description, own in (
        (TrunkMaps(backbone, size=96, hide_corners=True), maps),
        (MapStatistics(backbone), statistics),
    ):
        trunk_cache.build(tmp_path, source, description, views=[0, 3])
        home = tmp_path / json_sha256({**common, **own})[:24]
        assert sorted(path.name for path in home.glob("*.npy")) == ["film.npy", "view-3-seed-0.npy"]


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
