"""In a real browser: does a click on a point of the map open its case, and a dragged box stay in the address?"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from db import session as database
from db.models import Artifact, Dataset, Image, Run
from tests.e2e.visiting import Visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
CHART = "[data-testid=stVegaLiteChart]"


@pytest.fixture
def mapped(folder: Path, address: str) -> list[int]:
    """A map of the served sample with one image in the middle, far from the others; returns the images' ids."""
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    with database.transaction(engine) as db:
        ids = np.array([image.id for image in db.query(Image).order_by(Image.id)])
        around = np.linspace(0, 2 * np.pi, len(ids) - 1)
        places = np.concatenate([[[0.0, 0.0]], 10 * np.stack([np.cos(around), np.sin(around)], axis=1)])
        run = Run(kind="map", fingerprint="e" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        run.dataset_id = db.query(Dataset).one().id
        run.summary = {"images": len(ids), "embedder": "imagenet-lite0", "trustworthiness": {"umap": 0.9}}
        db.add(run)
        db.flush()
        target = folder / "artifacts" / "runs" / f"map-{run.id}"
        target.mkdir(parents=True)
        for name, array in {"ids": ids, "umap": places.astype(np.float32)}.items():
            np.save(target / f"{name}.npy", array)
            path = f"runs/map-{run.id}/{name}.npy"
            db.add(Artifact(run_id=run.id, name=name, path=path, sha256=f"{run.id}{name}", bytes=1))
    engine.dispose()
    return [int(number) for number in ids]


def test_a_click_on_a_point_opens_its_case_and_back_leads_to_the_map(visit: Visit, mapped: list[int]) -> None:
    page = visit.page
    visit.open("/map?colour=outcome")
    page.mouse.click(*middle(visit, mapped[0]))
    page.wait_for_url(f"**/case?run=3&image={mapped[0]}*")
    expect(page.get_by_role("heading", name="Reports")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Map")).to_be_visible()
    visit.drawn()
    expect(page).to_have_url(f"{visit.address}/map?colour=outcome")
    page.mouse.click(*middle(visit, mapped[0]))
    page.wait_for_url(f"**/case?run=3&image={mapped[0]}*")


def test_a_box_that_is_dragged_holds_its_images_and_stays_in_the_address(visit: Visit, mapped: list[int]) -> None:
    page = visit.page
    visit.open("/map")
    drag(visit, mapped[0])
    expect(page.get_by_text("1 image in the box")).to_be_visible()
    assert "box=" in page.url
    page.reload()
    expect(page.get_by_text("1 image in the box")).to_be_visible()
    expect(page.locator("a.card")).to_have_count(1)
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert [row["image"] for row in csv.DictReader(saved.value.path().open(newline=""))] == [str(mapped[0])]


@pytest.mark.parametrize("quick", [False, True])
def test_back_undoes_a_box(visit: Visit, mapped: list[int], quick: bool) -> None:
    page = visit.page
    visit.open("/map?box=2,3,2,3")
    expect(page.get_by_text("0 images in the box")).to_be_visible()
    drag(visit, mapped[0])
    expect(page).to_have_url(re.compile("box=-1"))
    if not quick:
        expect(page.get_by_text("1 image in the box")).to_be_visible()
        visit.drawn()
    page.go_back()
    expect(page.get_by_text("0 images in the box")).to_be_visible()
    visit.drawn()
    expect(page).to_have_url(re.compile(r"box=2(,|%2C)3(,|%2C)2(,|%2C)3$"))


@pytest.mark.parametrize("way", ["click", "button", "key"])
def test_a_box_is_cleared_on_the_map_or_with_the_button(visit: Visit, mapped: list[int], way: str) -> None:
    page = visit.page
    visit.open("/map?box=-1,1,-1,1")
    expect(page.get_by_text("1 image in the box")).to_be_visible()
    x, y = middle(visit, mapped[0])
    if way == "click":
        page.mouse.click(x + 100, y + 80)
    elif way == "key":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Clear box").click()
    expect(page.get_by_text("in the box")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/map\?run=3&map=\d+$"))


def test_a_click_on_a_point_leaves_the_box_for_the_way_back(visit: Visit, mapped: list[int]) -> None:
    page = visit.page
    visit.open("/map?box=2,3,2,3")
    page.mouse.click(*middle(visit, mapped[0]))
    page.wait_for_url(f"**/case?run=3&image={mapped[0]}*")
    visit.drawn()
    page.go_back()
    expect(page.get_by_text("0 images in the box")).to_be_visible()


def drag(visit: Visit, image_id: int) -> None:
    """Draw a box around the point of that image."""
    x, y = middle(visit, image_id)
    visit.page.mouse.move(x - 60, y - 60)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 60, y + 60, steps=5)
    visit.page.mouse.up()


def middle(visit: Visit, image_id: int) -> tuple[float, float]:
    """Where the point of that image is in the window."""
    point = visit.page.locator(f"{CHART} svg [aria-label*='image {image_id}: ']").first
    expect(point).to_be_visible(timeout=30_000)
    visit.page.wait_for_timeout(500)  # the chart settles into its column's width
    box = point.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
