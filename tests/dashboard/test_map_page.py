"""The map page draws what the job stored and describes the images in the box of its URL."""

import json
import re
from typing import Any

import numpy as np
import pyarrow.ipc
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.cases import image_map
from db import session as database
from db import writes
from db.models import Artifact, Image, ImageTag, Prediction, Run
from db.queries import cases
from db.queries.cases import Question
from tests.dashboard.opened import PINNED, Workbench, asked, linked, open_page, said
from tests.sample import THRESHOLD

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def drawn(workbench: Workbench) -> list[int]:
    """A map of all images, pneumonia at the right; returns the images' ids."""
    with database.transaction(workbench.engine) as db:
        images = db.query(Image).order_by(Image.id).all()
        run = Run(kind="map", fingerprint="m" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        run.dataset_id = workbench.dataset_id
        run.summary = {"images": len(images), "embedder": "imagenet-lite0", "trustworthiness": {"umap": 0.91}}
        run.summary |= {"clusters": 2}
        db.add(run)
        db.flush()
        folder = workbench.artifacts / "runs" / "map"
        folder.mkdir(parents=True)
        places = np.array([[2.0 * (image.label or 0), 0.1 * at] for at, image in enumerate(images)], dtype=np.float32)
        ids = np.array([image.id for image in images])
        for name, array in {"ids": ids, "umap": places, "clusters": (1 + ids % 2).astype(np.int16)}.items():
            np.save(folder / f"{name}.npy", array)
            row = Artifact(run_id=run.id, name=name, path=f"runs/map/{name}.npy", sha256=name, bytes=1)
            db.add(row)
        return [image.id for image in images if image.label == 1]


def test_without_a_map_the_page_says_what_to_run(workbench: Workbench) -> None:
    assert "python -m jobs map --dataset sample" in said(open_page("map"))


@pytest.mark.parametrize("colour", ["label", "outcome", "probability", "cluster", "film.sex", "film.x", "nonsense"])
def test_the_map_is_drawn_with_its_trustworthiness(workbench: Workbench, drawn: list[int], colour: str) -> None:
    at = open_page("map", colour=colour)
    assert not at.exception
    assert "trustworthiness 0.910" in said(at)
    assert at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")


def test_a_box_in_the_url_holds_its_images_the_most_wrong_first(workbench: Workbench, drawn: list[int]) -> None:
    at = open_page("map", box="1,3,-1,100")
    assert f"**{len(drawn)} images** in the box, {len(drawn)} labelled pneumonia." in said(at)
    assert "is wrong on **" in said(at)
    cards = linked(at, "boxed")["cards"]
    assert len(cards) == len(drawn) and {card["lines"][0].split(",")[0] for card in cards} == {"Pneumonia"}
    assert "in the box" not in said(open_page("map", box="1,x"))


def test_a_ring_is_drawn_around_the_image_of_the_url_with_the_way_to_its_case(
    workbench: Workbench, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_map, "WHOLE", 20)
    monkeypatch.setattr(image_map, "DRAWN", 12)
    for number in drawn[:12]:  # of those that are drawn and of those that are not
        at = open_page("map", image=number, outcome="wrong")
        page, parameters = asked(linked(at, "marked")["steps"][1]["href"])
        assert (page, parameters) == ("case", {"outcome": "wrong", "image": str(number), **PINNED})
        assert marked_points(at) == [number]


def test_an_image_without_a_point_is_drawn_by_another_map_and_one_that_the_dataset_lacks_by_none(
    workbench: Workbench, drawn: list[int]
) -> None:
    with database.transaction(workbench.engine) as db:
        known = db.get_one(Image, drawn[0])
        kept = {column.name: getattr(known, column.name) for column in Image.__table__.columns if column.name != "id"}
        later = Image(**kept | {"sha256": "f" * 64})
        db.add(later)
        db.flush()
        added = later.id
    at = open_page("map", image=added)
    told = said(at).replace("\\", "")
    assert f"Image {added} is not on the map of run" in told and "python -m jobs map --dataset sample" in told
    assert marked_points(at) == []
    told = said(open_page("map", image=999999))
    assert "Dataset sample has no image 999999." in told and "Create the map again" not in told


def marked_points(at: AppTest) -> list[int]:
    """The images that the chart marks."""
    chart = (at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart"))[0].proto
    tables = [pyarrow.ipc.open_stream(one.data.data).read_pandas() for one in chart.datasets]
    return [int(number) for table in tables for number in table.loc[table["marked"], "image_id"]]


def test_the_images_of_a_box_are_tagged_together(workbench: Workbench, drawn: list[int]) -> None:
    with database.transaction(workbench.engine) as db:
        writes.tag(db, [drawn[0]], "corner")
    at = open_page("map", box="1,3,-1,100")
    at.selectbox(key="tag_name").set_value("corner").run()
    at.button[[button.label for button in at.button].index(f"Tag {len(drawn)} cases")].click().run()
    assert f"Tag corner: added to {len(drawn) - 1} cases." in said(at)
    with database.transaction(workbench.engine) as db:
        assert sorted(tag.image_id for tag in db.query(ImageTag)) == drawn


def test_another_method_drops_the_box_of_the_former_and_a_link_holds_both(
    workbench: Workbench, drawn: list[int]
) -> None:
    with database.transaction(workbench.engine) as db:
        run = db.query(Run).filter_by(kind="map").one()
        assert run.summary is not None
        run.summary = {**run.summary, "trustworthiness": {"umap": 0.91, "tsne": 0.95}}
        db.add(Artifact(run_id=run.id, name="tsne", path="runs/map/umap.npy", sha256="umap", bytes=1))
    at = open_page("map", box="1,3,-1,100")
    at.segmented_control(key="url_method").set_value("tsne").run()
    assert "in the box" not in said(at)
    assert (at.query_params["method"], "box" in at.query_params) == ("tsne", False)
    assert "images** in the box" in said(open_page("map", method="tsne", box="1,3,-1,100"))


def chart(at: AppTest) -> dict[str, Any]:
    """The specification of the page's chart."""
    (found,) = at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")
    return dict(json.loads(found.proto.spec))


def test_the_legend_counts_every_image(workbench: Workbench, drawn: list[int]) -> None:
    assert "normal (n = 30)" in json.dumps(chart(open_page("map")))
    assert "cluster 1 (n = 30)" in json.dumps(chart(open_page("map", colour="cluster")))


def test_coloured_by_probability_the_map_tells_how_many_have_one(workbench: Workbench, drawn: list[int]) -> None:
    assert "n = 60 images, 20 with a probability, the others grey" in json.dumps(
        chart(open_page("map", colour="probability"))
    )


def test_the_map_shows_the_chosen_run(workbench: Workbench, drawn: list[int]) -> None:
    at = open_page("map", box="-1,3,-1,100")
    with database.transaction(workbench.engine) as db:
        predict, train = (db.query(Run).filter_by(kind=kind).one().id for kind in ("predict", "train"))
    assert re.search(rf"Run {predict} is wrong on .* of 20 with an outcome\)", said(at))
    at.selectbox(key="url_run").set_value(str(train)).run()
    assert re.search(rf"Run {train} is wrong on .* of 40 with an outcome\)", said(at))
    assert at.query_params["run"] == str(train)


def test_of_many_images_all_failures_and_some_others_are_drawn_but_a_box_counts_all(
    workbench: Workbench, drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_map, "WHOLE", 59)
    monkeypatch.setattr(image_map, "DRAWN", 12)
    at = open_page("map", box="-1,3,-1,100")
    with database.transaction(workbench.engine) as db:
        run = db.query(Run).filter_by(kind="predict").one()
        question = Question(workbench.dataset_id, run_id=run.id, threshold=THRESHOLD, outcome="wrong")
        wrong = cases.count(db, question)
    assert 0 < wrong < 12
    text = f"The map shows a fixed sample of 12 of 60 images: {wrong} of the {wrong} that the classifier gets wrong and"
    assert f"{text} {12 - wrong} of the others." in said(at)
    assert "n = 60 images, 12 shown" in json.dumps(chart(at))
    assert "normal (n = 30)" in json.dumps(chart(at))
    assert "**60 images** in the box, 30 labelled pneumonia." in said(at)
    assert "Showing 48 of them" in said(at)
    assert "Showing" not in said(open_page("map", box="1,3,-1,100"))


def test_an_image_that_is_gone_is_left_out(workbench: Workbench, drawn: list[int]) -> None:
    with database.transaction(workbench.engine) as db:
        db.delete(db.get_one(Image, drawn[0]))
    assert f"**{len(drawn) - 1} images** in the box" in said(open_page("map", box="1,3,-1,100"))


def test_predictions_by_another_run_are_seen_at_once(workbench: Workbench, drawn: list[int]) -> None:
    before = said(open_page("map", box="1,3,-1,100"))
    with database.transaction(workbench.engine) as db:
        old = db.query(Run).filter_by(kind="predict").one()
        run = Run(kind="predict", fingerprint="q" * 64, config={}, code_version="t", status="finished", pid=1, host="t")
        run.dataset_id, run.summary, run.finished = workbench.dataset_id, {"threshold": 0.5}, old.finished
        db.add(run)
        db.flush()
        db.add_all(Prediction(run_id=run.id, image_id=number, logit=9.0, probability=0.999) for number in drawn)
    after = said(open_page("map", box="1,3,-1,100"))
    assert f"Run {old.id} is wrong on" in before
    assert f"Run {run.id} is wrong on **0.0 %** (0 of {len(drawn)} with an outcome)." in after


def test_a_map_whose_file_is_gone_says_so(workbench: Workbench, drawn: list[int]) -> None:
    (workbench.artifacts / "runs" / "map" / "umap.npy").unlink()
    at = open_page("map")
    assert not at.exception
    assert "umap.npy is missing; create the map again: python -m jobs map" in said(at)


def test_a_link_to_a_map_shows_that_map_after_a_later_one_which_is_one_click_away(
    workbench: Workbench, drawn: list[int]
) -> None:
    at = open_page("map", box="1,3,-1,100")
    at.segmented_control(key="url_colour").set_value("outcome").run()
    address = {name: str(value) for name, value in at.query_params.items()}
    number = int(address["map"])
    with database.transaction(workbench.engine) as db:
        first = db.get_one(Run, number)
        held = {"config": {}, "code_version": "t", "status": "finished", "pid": 1, "host": "t"}
        later = Run(kind="map", fingerprint="n" * 64, dataset_id=first.dataset_id, summary=first.summary, **held)
        db.add(later)
        db.flush()
        turned = np.load(workbench.artifacts / "runs/map/umap.npy")[::-1]
        np.save(workbench.artifacts / "runs/map/turned.npy", turned)
        for name, file in {"ids": "ids", "umap": "turned", "clusters": "clusters"}.items():
            db.add(Artifact(run_id=later.id, name=name, path=f"runs/map/{file}.npy", sha256=f"{name}2", bytes=1))
        latest = later.id
    assert linked(open_page("map", **address), "boxed")["cards"] == linked(at, "boxed")["cards"]
    onwards = linked(open_page("map", **address), "newer")["steps"][1]
    assert asked(onwards["href"]) == ("map", PINNED)
    now = open_page("map", box="1,3,-1,100")
    assert f"{len(drawn)} labelled pneumonia" not in said(now)
    assert f"Run {latest + 9} does not exist" in said(open_page("map", map=latest + 9))
    other = open_page("map", box="1,3,-1,100", map=1)  # no map run
    assert linked(other, "boxed")["cards"] == linked(now, "boxed")["cards"]
