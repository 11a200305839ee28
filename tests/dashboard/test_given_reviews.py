"""Stored reviews: on the case page, in the list, as CSV, and reader agreement."""

import csv
import io

import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import func, insert, select, update

from dashboard.components.reviews import review_list
from db import session as database
from db.models import Dataset, ImageTag, Prediction, Review, Run
from db.queries.reviews import ReviewQuestion
from engine.metrics.proportions import wilson
from tests.dashboard.opened import Workbench, asked, linked, open_page, said
from tests.dashboard.reviewing import HOSTILE, give, of_test

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_case_shows_its_reviews_and_its_tags(workbench: Workbench) -> None:
    assert "No reader has reviewed this image yet." in said(open_page("case", image=1))
    give(workbench, 1, "Anna", "normal", note="first", tags=["tube"])
    with database.transaction(workbench.engine) as db:
        first = db.scalars(select(Review.id)).one()
        db.add(ImageTag(image_id=1, name="a*b"))
    give(workbench, 1, "Anna", "pneumonia", note=HOSTILE, since=first)
    give(workbench, 1, HOSTILE, "uncertain")
    at = open_page("case", image=1)
    rows = [[one["text"] for one in row] for row in linked(at, "reviews")["rows"]]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        (HOSTILE, "Uncertain", "", ""),
        ("Anna", "Pneumonia", "", HOSTILE),
        ("Anna", "Normal, superseded", "tube", "first"),
    ]
    assert r"Image tags: a\*b" in said(at)
    (link,) = [one for one in at.get("page_link") if one.proto.label == "Review this case"]
    assert "image=1" in link.proto.query_string


def test_agreement_matches_scikit_learn(workbench: Workbench) -> None:
    images = of_test(workbench)
    verdicts: dict[str, list[str]] = {"Anna": [], "Ben": []}
    for at, image in enumerate(images):
        truth = "pneumonia" if image.label else "normal"
        other = "normal" if image.label else "pneumonia"
        verdicts["Anna"].append("uncertain" if at % 7 == 3 else truth)
        verdicts["Ben"].append(other if at % 3 == 0 else truth)
        for reviewer in verdicts:
            give(workbench, image.id, reviewer, verdicts[reviewer][at])
    page = open_page("reviews", view="agreement")
    assert not page.exception
    assert "20 images reviewed by 2 readers" in said(page)
    (pair,) = [[one["text"] for one in row] for row in linked(page, "pairs")["rows"]]
    kappa = cohen_kappa_score(verdicts["Anna"], verdicts["Ben"])
    assert pair[:2] == ["Anna and Ben", "20"]
    assert pair[3].startswith(f"{kappa:.3f} (")
    rows = {row[0]["text"]: [one["text"] for one in row] for row in linked(page, "against_label")["rows"]}
    assert rows["Anna"][1:3] == ["17", "1.000"]
    decided = [bool(image.label) for at, image in enumerate(images) if at % 7 != 3]
    for cell, count in zip(rows["Anna"][3:6], (17, sum(decided), 17 - sum(decided)), strict=True):
        assert cell == f"100.0 % ({100 * wilson(1.0, count)[0]:.1f} to 100.0 %)"
    assert rows["Anna"][-1] == "3"
    meant = [column["meaning"] for column in linked(page, "against_label")["columns"][4:6]]
    assert all("uncertain and unreadable verdicts are excluded" in one for one in meant)
    ben = cohen_kappa_score(["pneumonia" if image.label else "normal" for image in images], verdicts["Ben"])
    assert rows["Ben"][2].startswith(f"{ben:.3f} (")
    assert rows["Ben"][1] == "20"
    differ = {images[at].id for at in range(20) if verdicts["Anna"][at] != verdicts["Ben"][at]}
    cards = linked(page, "differing")["cards"]
    assert {int(asked(card["href"])[1]["image"]) for card in cards} == differ
    assert {line.partition(": ")[2] for line in cards[0]["lines"][2:]} == {"Anna", "Ben"}
    page.segmented_control(key="url_differ").set_value("label").run()
    wrong = {images[at].id for at in range(20) if at % 3 == 0}
    assert {int(asked(card["href"])[1]["image"]) for card in linked(page, "differing")["cards"]} == wrong


def test_verdicts_that_were_not_blind_count_for_agreement_if_requested(workbench: Workbench) -> None:
    images = of_test(workbench)
    give(workbench, images[0].id, "Anna", "normal", unblinded_by="outcome")
    at = open_page("reviews", view="agreement")
    assert "reviewed blind yet" in said(at) and "1 verdict not known to be blind" in said(at)
    give(workbench, images[1].id, "Ben", "normal")
    give(workbench, images[2].id, "Ben", "normal")
    with database.transaction(workbench.engine) as db:
        db.execute(update(Review).where(Review.image_id == images[2].id).values(unblinded_by=None))
    at = open_page("reviews", view="agreement")
    assert "1 image reviewed by 1 reader" in said(at) and "2 verdicts not known to be blind" in said(at)
    at.segmented_control(key="url_counted").set_value("all").run()
    assert "3 images reviewed by 2 readers" in said(at)
    assert "describe that selection" in " ".join(str(one.value) for one in at.warning)


def test_agreement_of_one_reader_and_of_nobody_is_explained(workbench: Workbench) -> None:
    assert "None of these images has been reviewed yet." in said(open_page("reviews", view="agreement"))
    give(workbench, of_test(workbench)[0].id, "Anna", "normal")
    at = open_page("reviews", view="agreement")
    assert not at.exception
    assert "needs two readers" in said(at)


def test_ten_thousand_reviews_are_paged_and_filtered(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        rows = [
            {
                "image_id": 1 + number % 60,
                "reviewer": ("Anna", "Ben")[number % 2],
                "verdict": "normal",
                "note": f"{number}",
            }
            for number in range(10_000)
        ]
        db.execute(insert(Review), rows)
        last = db.scalar(select(func.max(Review.id)))
        db.add(ImageTag(image_id=1, name="tube", review_id=last))
    at = open_page("reviews", view="list")
    assert not at.exception
    assert "10,000 reviews" in said(at)
    assert len(linked(at, "listed")["rows"]) == review_list.SIZE
    assert linked(at, "listed")["rows"][0][-1]["text"] == "9999"
    at.pagination[0].set_value(400).run()
    assert linked(at, "listed")["rows"][-1][-1]["text"] == "0"
    assert "5,000 reviews" in said(open_page("reviews", view="list", by="Ben"))
    assert "1 review" in said(open_page("reviews", view="list", tagged="tube"))
    assert "No review matches" in said(open_page("reviews", view="list", verdict="unreadable"))
    assert not open_page("reviews", view="agreement").exception


def test_hostile_text_stays_text(workbench: Workbench) -> None:
    give(workbench, 1, HOSTILE, "normal", note=f"{HOSTILE} <script>alert(1)</script>", tags=["<i>x</i>"])
    at = open_page("reviews", view="list")
    row = linked(at, "listed")["rows"][0]
    assert (row[1]["text"], row[5]["text"], row[6]["text"]) == (HOSTILE, "nothing", "<i>x</i>")
    assert "<b>" not in said(at)
    assert not open_page("reviews", reviewer=HOSTILE).exception
    warned = said(open_page("reviews", reviewer="Anna", cause="<b>x</b>"))
    assert "<b>" not in warned


def test_the_csv_holds_every_review_and_no_formula(workbench: Workbench) -> None:
    images = of_test(workbench)
    give(workbench, images[0].id, "=cmd", "normal", note="@SUM(A1)\nsecond line", tags=["+1", "tube"])
    give(workbench, images[1].id, "Anna", "unreadable")
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
        own = select(Prediction.probability).where(Prediction.run_id == run, Prediction.image_id == images[0].id)
        probability = db.scalar(own)
        dataset = db.get_one(Dataset, workbench.dataset_id)
    table = review_list.csv(dataset, ReviewQuestion(workbench.dataset_id), run)
    first, second = csv.DictReader(io.StringIO(table, newline=""))
    assert (first["reviewer"], first["verdict"], first["label"]) == ("Anna", "unreadable", "pneumonia")
    assert (second["reviewer"], second["note"], second["tags"]) == ("'=cmd", "'@SUM(A1)\nsecond line", "'+1; tube")
    assert (second["dataset"], second["image"], second["file"]) == ("sample", str(images[0].id), images[0].path)
    assert (second["sha256"], float(second["probability"])) == (images[0].sha256, probability)
    assert second["time"].endswith("+00:00")
    (button,) = open_page("reviews", view="list").get("download_button")
    assert button.proto.label == "Reviews as CSV"
