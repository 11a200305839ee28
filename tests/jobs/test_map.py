"""Does `map` store a place and a trustworthiness for every image, once, and does its page read them?"""

from pathlib import Path

import numpy as np
import pytest
from finished_runs import World, make_world

from db import session
from db.queries import runs
from jobs import map as drawing
from jobs.command import Context


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
        run = runs.latest_finished(db, "map", world.dataset.id)
        assert run is not None
        (metric,) = runs.metrics(db, run.id)
        files = {name: runs.artifact(db, run.id, name) for name in ("ids", "tsne")}
    assert (metric.name, metric.slice, metric.n) == ("trustworthiness", "tsne", 100)
    assert metric.value is not None and 0.7 < metric.value <= 1
    ids, places = (np.load(world.context.artifacts / one.path) for one in files.values() if one)
    assert sorted(ids) == sorted(image.id for image in world.images)
    assert places.shape == (100, 2) and np.isfinite(places).all()
    assert drawing.main([*world.options, "--methods", "tsne"]) == 0
    assert f"already done as run {run.id}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--methods", "pca"], 2, "map 'pca' is unknown; known: umap, tsne"),
        ([], 1, "no index holds dataset 'drawn'; build one with: python -m jobs embed --dataset drawn"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    world: World, capsys: pytest.CaptureFixture[str], options: list[str], code: int, line: str
) -> None:
    assert drawing.main([*world.options, *options]) == code
    assert line in capsys.readouterr().err
