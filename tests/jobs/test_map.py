"""Does `map` store coordinates and a cluster for every image, and each map's trustworthiness, once?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from db import session, tallies, writes
from db.queries import runs
from engine.digests import is_whole
from engine.retrieval.map import projection
from jobs import map as drawing
from jobs.command import Context
from tests.finished_runs import World, make_world


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def test_every_image_has_a_place_and_the_map_a_trustworthiness(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_index()
    assert drawing.main([*world.options, "--methods", "tsne"]) == 0
    assert "map: tsne of 100 images, trustworthiness 0." in capsys.readouterr().out
    with session.transaction(world.context.engine) as db:
        run = runs.current(db, "map", world.dataset.id)
        assert run is not None
        (metric,) = runs.metrics(db, run.id)
        files = {name: runs.artifact(db, run.id, name) for name in ("ids", "tsne", "clusters")}
    assert (metric.name, metric.slice, metric.n) == ("trustworthiness", "tsne", 100)
    assert metric.value is not None and 0.7 < metric.value <= 1
    ids, places, clusters = (np.load(world.context.artifacts / one.path) for one in files.values() if one)
    assert sorted(ids) == sorted(image.id for image in world.images)
    assert places.shape == (100, 2) and np.isfinite(places).all()
    sizes = np.bincount(clusters)[1:]
    assert len(clusters) == 100 and len(sizes) == (run.summary or {})["clusters"] == 10
    assert sizes.min() > 0 and (np.diff(sizes) <= 0).all()  # the largest is the first
    assert drawing.main([*world.options, "--methods", "tsne"]) == 0
    said = capsys.readouterr().out
    assert f"already done as run {run.id}" in said and "note: " not in said
    with session.transaction(world.context.engine) as db:
        writes.forget_images(db, [world.images[-1].id])
        tallies.dataset(db, world.dataset.id)
    assert drawing.main([*world.options, "--methods", "tsne"]) == 0
    assert "note: the dataset has 99 images, the index 100; update the index with: " in capsys.readouterr().out


def test_the_same_maps_are_one_run_in_whatever_order_and_however_often_they_are_named(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(vectors: np.ndarray, *, seed: int) -> np.ndarray:
        return np.ascontiguousarray(vectors[:, :2], dtype=np.float32)

    monkeypatch.setattr(projection, "METHODS", {"one": line, "two": line})
    world.add_index()
    for methods, said in (("one,two", "done as run"), ("two,one", "already done"), ("two, one,two", "already done")):
        assert drawing.main([*world.options, "--methods", methods]) == 0
        assert f"map: {said}" in capsys.readouterr().out


def zeroed(path: Path) -> None:
    np.save(path, np.zeros((100, 2), np.float32))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damaged", [zeroed, cut])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_damaged_map_is_drawn_again_and_a_whole_one_kept(world: World, damaged: Callable[[Path], None]) -> None:
    world.add_index()
    both = [*world.options, "--methods", "tsne,umap", "--clusters", "0"]
    drawn: list[str] = []

    def draw(name: str) -> Callable[..., np.ndarray]:
        def places(vectors: np.ndarray, *, seed: int) -> np.ndarray:
            drawn.append(name)
            return np.asarray(vectors[:, :2]) * (seed + 1)

        return places

    with pytest.MonkeyPatch.context() as patched:
        for name in projection.METHODS:
            patched.setitem(projection.METHODS, name, draw(name))
        assert drawing.main(both) == 0
        with session.transaction(world.context.engine) as db:
            run = runs.current(db, "map", world.dataset.id)
            assert run is not None
            made = runs.artifact(db, run.id, "tsne")
        assert made is not None
        path = world.context.artifacts / made.path
        damaged(path)
        assert drawing.main(both) == 0
    assert drawn == ["umap", "tsne", "tsne"]
    assert is_whole(path, made.sha256)


def test_equal_vectors_and_seed_give_equal_clusters_that_hold_what_is_alike() -> None:
    draw = np.random.default_rng(0)
    lumps = draw.integers(0, 3, 300)
    vectors = (9 * np.eye(3, 8)[lumps] + draw.normal(size=(300, 8))).astype(np.float32)
    found = projection.clusters(vectors, 3, seed=1)
    assert (found == projection.clusters(vectors, 3, seed=1)).all()
    pairs = set(zip(lumps.tolist(), found.tolist(), strict=True))
    assert len(pairs) == 3
    assert projection.clusters(vectors[:2], 10, seed=0).tolist() in ([1, 2], [2, 1])


def test_without_clusters_none_are_stored(world: World) -> None:
    world.add_index()
    assert drawing.main([*world.options, "--methods", "tsne", "--clusters", "0"]) == 0
    with session.transaction(world.context.engine) as db:
        run = runs.current(db, "map", world.dataset.id)
        assert run is not None and "clusters" not in (run.summary or {})
        assert runs.artifact(db, run.id, "clusters") is None


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--methods", "pca"], 2, "map 'pca' is unknown; known: umap, tsne"),
        ([], 1, "dataset 'drawn' has no vector index; build one with: python -m jobs embed --dataset drawn"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    world: World, capsys: pytest.CaptureFixture[str], options: list[str], code: int, line: str
) -> None:
    assert drawing.main([*world.options, *options]) == code
    assert line in capsys.readouterr().err
