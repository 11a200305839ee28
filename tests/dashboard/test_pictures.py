"""Images by URL: the right bytes, cached permanently, and nothing that was not ingested."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import pictures
from db import session as database
from db.models import Artifact, Image, Prediction, Run
from engine.classification.stresses import stressed
from engine.imaging.images import decode, read_batch
from engine.imaging.overlays import colourise, enlarge
from tests.dashboard.opened import Workbench

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(workbench: Workbench) -> TestClient:
    """The image routes only."""
    return TestClient(Starlette(routes=pictures.ROUTES))


def image(workbench: Workbench, number: int = 1) -> Image:
    with database.transaction(workbench.engine) as db:
        return db.get_one(Image, number)


def heat_url(workbench: Workbench) -> str:
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
    return pictures.heat_url(run, image(workbench).sha256, version="0")


def test_an_image_comes_as_it_was_ingested_and_is_cached_for_good(client: TestClient, workbench: Workbench) -> None:
    one = image(workbench)
    answer = client.get(pictures.image_url(one.sha256))
    assert answer.content == (workbench.folder / one.path).read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_an_image_comes_without_the_name_in_its_metadata(client: TestClient, workbench: Workbench, kind: str) -> None:
    described, encoded = Picture.Exif(), io.BytesIO()
    described[0x010E] = "Doe^Jane"
    Picture.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64).astype(np.uint8)).save(
        encoded, kind, exif=described
    )
    data = encoded.getvalue()
    assert b"Doe^Jane" in data
    one = image(workbench)
    (workbench.folder / one.path).write_bytes(data)
    with database.transaction(workbench.engine) as db:
        db.get_one(Image, one.id).sha256 = hashlib.sha256(data).hexdigest()
    answer = client.get(pictures.image_url(hashlib.sha256(data).hexdigest()))
    assert answer.headers["content-type"] == ("image/jpeg" if kind == "JPEG" else "image/png")
    assert b"Doe^Jane" not in answer.content and not Picture.open(io.BytesIO(answer.content)).getexif()
    assert (decode(answer.content).pixels == decode(data).pixels).all()


def test_a_thumbnail_is_webp_and_cached_for_good(client: TestClient, workbench: Workbench) -> None:
    answer = client.get(pictures.thumbnail_url(image(workbench).sha256))
    assert Picture.open(io.BytesIO(answer.content)).format == "WEBP"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_heatmap_is_a_layer_whose_alpha_is_its_heat_and_is_cached_for_good(
    client: TestClient, workbench: Workbench
) -> None:
    answer = client.get(heat_url(workbench))
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    with database.transaction(workbench.engine) as db:
        stored = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
        row = db.scalars(
            select(Prediction.heatmap_row).where(Prediction.run_id == stored.run_id, Prediction.image_id == 1)
        ).one()
        heatmap = np.load(workbench.artifacts / stored.path)[row].astype(np.float32)
    drawn = np.asarray(Picture.open(io.BytesIO(answer.content)))
    heat = enlarge(heatmap, pictures.HEAT_SIDE, pictures.HEAT_SIDE)
    assert (drawn[..., 3] == np.rint(heat * 255)).all()
    assert (drawn[..., :3] == colourise(heat)).all()


@pytest.mark.parametrize(
    "path",
    [
        "image/" + "0" * 64,
        "image/" + "g" * 64,
        "image/../../etc/passwd",
        "image/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "thumbnail/" + "0" * 64 + ".webp",
        "thumbnail/..%2f..%2ftest.db.webp",
        "heat/3/" + "0" * 64 + ".webp",
        "heat/3/" + "g" * 64 + ".webp",
        "heat/x/" + "0" * 64 + ".webp",
        "altered/framed/" + "0" * 64 + ".png",
        "altered/framed/" + "g" * 64 + ".png",
    ],
)
def test_what_was_not_ingested_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"{pictures.PREFIX}/{path}")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_a_copy_under_stress_is_what_the_audit_scores_and_an_unknown_stress_is_not_found(
    client: TestClient, workbench: Workbench
) -> None:
    one = image(workbench)
    answer = client.get(pictures.altered_url(one.sha256, "framed"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    scored = stressed(read_batch([workbench.folder / one.path]), "framed")[0]
    assert (np.asarray(Picture.open(io.BytesIO(answer.content))) == scored).all()
    answer = client.get(pictures.altered_url(one.sha256, "melted"))
    assert (answer.status_code, answer.text) == (404, "no stress test has this name")


def test_a_file_that_changed_since_it_was_ingested_is_not_shown(client: TestClient, workbench: Workbench) -> None:
    one = image(workbench)
    (workbench.folder / one.path).write_bytes((workbench.folder / image(workbench, 2).path).read_bytes())
    answer = client.get(pictures.image_url(one.sha256))
    assert answer.status_code == 404
    assert "has changed since it was ingested" in answer.text


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


def test_a_run_that_stored_no_heatmap_of_an_image_has_none_to_show(client: TestClient, workbench: Workbench) -> None:
    url = heat_url(workbench)
    assert client.get(url.replace("/heat/3/", "/heat/99/")).status_code == 404
    with database.transaction(workbench.engine) as db:
        db.execute(update(Prediction).values(heatmap_row=None))
    answer = client.get(url)
    assert (answer.status_code, answer.text) == (404, "the run stored no heatmap of this image")
    assert answer.headers["cache-control"] == "no-store"


def test_an_unreachable_database_is_reported_in_one_line(
    client: TestClient, workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [pictures.image_url(image(workbench).sha256), heat_url(workbench)]
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://reader:secret@127.0.0.1:9/none")
    for url in urls:
        answer = client.get(url)
        assert (answer.status_code, answer.text) == (503, "the database cannot be reached; try again later")
        assert answer.headers["cache-control"] == "no-store"


def test_a_heatmap_file_that_is_pickled_or_outside_is_not_opened(client: TestClient, workbench: Workbench) -> None:
    url = heat_url(workbench)
    with database.transaction(workbench.engine) as db:
        path = workbench.artifacts / db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one().path
    assert client.get(url).status_code == 200
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert client.get(url).status_code == 404
    with database.transaction(workbench.engine) as db:
        db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one().path = "../outside.npy"
    assert client.get(url).status_code == 404
