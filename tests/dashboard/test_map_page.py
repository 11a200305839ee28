"""Does the map page draw what the job stored, and say what a box in its URL holds?"""

import numpy as np
import pytest
from opened import Workbench, linked, open_page, said

from db import session as database
from db.models import Artifact, Image, Run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def drawn(workbench: Workbench) -> list[int]:
    """A map of all images, pneumonia at the right; returns the images' ids."""
    with database.transaction(workbench.engine) as db:
        images = db.query(Image).order_by(Image.id).all()
        run = Run(kind="map", fingerprint="m" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        run.dataset_id = workbench.dataset_id
        run.summary = {"images": len(images), "embedder": "imagenet-lite0", "trustworthiness": {"umap": 0.91}}
        db.add(run)
        db.flush()
        folder = workbench.artifacts / "runs" / "map"
        folder.mkdir(parents=True)
        places = np.array([[2.0 * (image.label or 0), 0.1 * at] for at, image in enumerate(images)], dtype=np.float32)
        for name, array in (("ids", np.array([image.id for image in images])), ("umap", places)):
            np.save(folder / f"{name}.npy", array)
            row = Artifact(run_id=run.id, name=name, path=f"runs/map/{name}.npy", sha256=name, bytes=1)
            db.add(row)
        return [image.id for image in images if image.label == 1]


def test_without_a_map_the_page_says_what_to_run(workbench: Workbench) -> None:
    assert "python -m jobs map --dataset sample" in said(open_page("map"))


@pytest.mark.parametrize("colour", ["label", "outcome", "probability", "nonsense"])
def test_the_map_is_drawn_with_its_trustworthiness(workbench: Workbench, drawn: list[int], colour: str) -> None:
    at = open_page("map", colour=colour)
    assert not at.exception
    assert "trustworthiness 0.910" in said(at)
    assert at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")


def test_a_box_in_the_url_holds_its_images_the_most_wrong_first(workbench: Workbench, drawn: list[int]) -> None:
    at = open_page("map", box="1,3,-1,100")
    assert f"**{len(drawn)} images** in the box, {len(drawn)} with the label pneumonia." in said(at)
    assert "and is wrong on **" in said(at)
    cards = linked(at, "boxed")["cards"]
    assert len(cards) == len(drawn) and {card["lines"][0].split(",")[0] for card in cards} == {"Pneumonia"}
    assert "in the box" not in said(open_page("map", box="1,x"))


def test_a_map_whose_file_is_gone_says_so(workbench: Workbench, drawn: list[int]) -> None:
    (workbench.artifacts / "runs" / "map" / "umap.npy").unlink()
    at = open_page("map")
    assert not at.exception
    assert "umap.npy is missing; draw the map again: python -m jobs map" in said(at)
