"""Near-duplicates and outliers: shown on the case, counted on the overview, and filters of the cases."""

import pytest
from sqlalchemy import select

from db import session as database
from db.models import Image, ImageMeasure, NearDuplicate, Run, VectorIndex
from tests.dashboard.opened import Workbench, asked, linked, open_page, said

RUN = {"config": {}, "code_version": "", "status": "finished", "host": "", "pid": 1}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_near_duplicates_are_shown_on_the_case_counted_and_used_as_a_filter(workbench: Workbench) -> None:
    assert "python -m jobs duplicates" in said(open_page("case", image=1))
    with database.transaction(workbench.engine) as db:
        images = list(db.scalars(select(Image).order_by(Image.id)))
        left = next(image for image in images if image.split == "train")
        right = next(image for image in images if image.split == "test" and image.id > left.id)
        run = Run(kind="duplicates", dataset_id=workbench.dataset_id, fingerprint="d", **RUN)
        db.add(run)
        db.flush()
        pair = {"hash_distance": 4, "similarity": 0.98, "verdict": "near-duplicate"}
        db.add(NearDuplicate(run_id=run.id, image_id=left.id, other_id=right.id, **pair))
        last = {"image_id": right.id, "other_id": images[-1].id, "verdict": "possible"}
        db.add(NearDuplicate(run_id=run.id, hash_distance=30, similarity=0.99, **last))
    at = open_page("case", image=left.id)
    assert "A near-duplicate is in test" in said(at)
    (card,) = linked(at, "twins")["cards"]
    assert (card["title"], card["lines"][2]) == ("Near-duplicate", "4 of 256 hash bits differ, similarity 0.980")
    rows = linked(open_page("overview"), "attention")["rows"]
    (row,) = [row for row in rows if row[0]["text"] == "Near-duplicate pairs across splits"]
    assert row[1]["text"] == "1"
    page, parameters = asked(row[0]["href"])
    assert page == "cases"
    cards = linked(open_page("cases", **parameters), "cases")["cards"]
    assert len(cards) == 2
    perhaps = open_page("case", image=images[-1].id)
    assert linked(perhaps, "twins")["cards"][0]["title"] == "Possible" and "A near-duplicate is in" not in said(perhaps)
    assert "No near-duplicates found" in said(open_page("case", image=images[-2].id))
    with database.transaction(workbench.engine) as db:
        searched = db.get_one(Run, run.id)
        searched.summary = {"images": len(images), "latest_image": images[-1].id}
    assert "No near-duplicates found" in said(open_page("case", image=images[-2].id))
    with database.transaction(workbench.engine) as db:
        searched = db.get_one(Run, run.id)
        searched.summary = {
            "images": len(images),
            "latest_image": images[-1].id - 1,
        }  # one removed, another added since
    told = said(open_page("case", image=images[-2].id))
    assert "added or removed since" in told and "No near-duplicates found" not in told


def test_outliers_are_counted_used_as_a_filter_and_told_on_the_case(workbench: Workbench) -> None:
    assert "unlike most others" not in str(linked(open_page("overview"), "attention")["rows"])
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex)).one()
        embed = db.get_one(Run, index.run_id)
        embed.summary = {**(embed.summary or {}), "outliers": 2}
        for image, value in ((3, 0.4), (8, 0.25)):
            db.add(ImageMeasure(run_id=index.run_id, image_id=image, name="outlier", value=value))
        other = Run(kind="embed", dataset_id=workbench.dataset_id, fingerprint="d", **RUN)
        db.add(other)
        db.flush()
        db.add(ImageMeasure(run_id=other.id, image_id=5, name="outlier", value=0.1))  # of no index
    rows = linked(open_page("overview"), "attention")["rows"]
    (row,) = [row for row in rows if row[0]["text"] == "Images unlike most others"]
    assert row[1]["text"] == "2"
    page, parameters = asked(row[0]["href"])
    at = open_page(page, **parameters)
    shown = {asked(card["href"])[1]["image"] for card in linked(at, "cases")["cards"]}
    assert shown == {"3", "8"}
    assert any(cell["text"].startswith("Unlike most others") for cell in linked(at, "filters")["steps"])
    facts = linked(open_page("case", image=8), "facts")["rows"]
    (odd,) = [row[1] for row in facts if row[0]["text"] == "Outlier"]
    assert odd["text"] == "unlike most others: mean similarity 0.25 to the nearest 5 %"
    assert asked(odd["href"])[1]["outliers"] == "yes"
    assert "Outlier" not in str(linked(open_page("case", image=5), "facts"))
    with database.transaction(workbench.engine) as db:
        db.get_one(Run, index.run_id).summary = {"outliers": None}
    at = open_page("cases", outliers="yes")
    assert len(linked(at, "cases")["cards"]) > 2
    assert "**Ignored**, as unknown for these predictions: unlike most others yes." in said(at)
