"""Pictures by URL: the right bytes, cached for good, and nothing that was not ingested."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from opened import Workbench
from PIL import Image as Picture
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import pictures
from db import session as database
from db.models import Artifact, Image, Run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(workbench: Workbench) -> TestClient:
    """The picture routes alone."""
    return TestClient(Starlette(routes=pictures.ROUTES))


def image(workbench: Workbench, number: int = 1) -> Image:
    with database.transaction(workbench.engine) as db:
        return db.get_one(Image, number)


def overlaid(client: TestClient, workbench: Workbench, opacity: float) -> np.ndarray:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
    answer = client.get(pictures.overlay_url(run, image(workbench).sha256, opacity=opacity, version="0"))
    assert answer.status_code == 200
    return np.asarray(Picture.open(io.BytesIO(answer.content))).astype(int)


def test_an_image_comes_as_it_was_ingested_and_is_cached_for_good(client: TestClient, workbench: Workbench) -> None:
    one = image(workbench)
    answer = client.get(pictures.image_url(one.sha256))
    assert answer.content == (workbench.folder / one.path).read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_thumbnail_is_webp_and_cached_for_good(client: TestClient, workbench: Workbench) -> None:
    answer = client.get(pictures.thumbnail_url(image(workbench).sha256))
    assert Picture.open(io.BytesIO(answer.content)).format == "WEBP"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_overlay_is_the_radiograph_without_opacity_and_coloured_with_it(
    client: TestClient, workbench: Workbench
) -> None:
    plain, coloured = overlaid(client, workbench, 0.0), overlaid(client, workbench, 1.0)
    assert np.abs(plain - plain.mean(axis=2, keepdims=True)).max() < 24  # grey, but for what WebP loses
    assert np.abs(coloured - coloured.mean(axis=2, keepdims=True)).max() > 60


@pytest.mark.parametrize("opacity", ["2", "nan", "-1", "x"])
def test_an_opacity_out_of_range_is_refused(client: TestClient, workbench: Workbench, opacity: str) -> None:
    url = pictures.overlay_url(3, image(workbench).sha256, opacity=0.5, version="0")
    assert client.get(url.replace("0.50", opacity)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "image/" + "0" * 64,
        "image/" + "g" * 64,
        "image/../../etc/passwd",
        "image/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "thumbnail/" + "0" * 64 + ".webp",
        "thumbnail/..%2f..%2ftest.db.webp",
        "overlay/3/" + "0" * 64 + ".webp",
        "overlay/99/" + "0" * 64 + ".webp",
    ],
)
def test_what_was_not_ingested_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"{pictures.PREFIX}/{path}")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_a_file_that_changed_since_it_was_ingested_is_not_shown(client: TestClient, workbench: Workbench) -> None:
    one = image(workbench)
    (workbench.folder / one.path).write_bytes((workbench.folder / image(workbench, 2).path).read_bytes())
    answer = client.get(pictures.image_url(one.sha256))
    assert answer.status_code == 404
    assert "changed since it was ingested" in answer.text


def test_a_path_that_leaves_the_datasets_folder_is_not_followed(
    client: TestClient, workbench: Workbench, tmp_path: Path
) -> None:
    one = image(workbench)
    inside = workbench.folder / one.path
    outside = tmp_path / "outside.png"
    inside.rename(outside)
    inside.symlink_to(outside)
    assert client.get(pictures.image_url(one.sha256)).status_code == 404
    with database.transaction(workbench.engine) as db:
        db.get_one(Image, one.id).path = os.path.relpath(outside, workbench.folder)
    assert client.get(pictures.image_url(one.sha256)).status_code == 404


def test_a_heatmap_file_that_is_pickled_or_outside_is_not_opened(client: TestClient, workbench: Workbench) -> None:
    one = image(workbench)
    with database.transaction(workbench.engine) as db:
        heatmaps = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
        url = pictures.overlay_url(heatmaps.run_id, one.sha256, opacity=0.5, version="0")
        path = workbench.artifacts / heatmaps.path
    assert client.get(url).status_code == 200
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert client.get(url).status_code == 404
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one().path = "../outside.npy"
    assert client.get(url).status_code == 404
