"""The search page: by dataset image or text; information on hits."""

import csv
import io

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from dashboard.components import filters, wording
from dashboard.components.search import neighbours
from db import session as database
from db.models import Image, Prediction, Review, Run, VectorIndex, now
from db.queries.cases import Question
from engine.imaging.heat import ZONES
from engine.reporting.matching import OTHERWISE
from engine.retrieval.index.folder import write_index
from engine.retrieval.text.alignment import Known
from tests.dashboard.opened import PINNED, Workbench, asked, linked, open_page, said

RUN = {"config": {}, "code_version": "", "status": "finished", "host": "", "pid": 1}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_search_by_an_image_of_the_dataset_keeps_to_the_filters_and_leaves_the_query_out(workbench: Workbench) -> None:
    at = open_page("search", by="image", image=1, k=6, label="pneumonia", split="train")
    assert "Searched index imagenet-lite0" in said(at)
    cards = linked(at, "hits")["cards"]
    assert len(cards) == 6
    assert {card["lines"][0].split(",")[0] for card in cards} == {"Pneumonia"}
    assert all(card["lines"][1].startswith("train") for card in cards)
    assert "**6 cases** that match the filters, most similar first." in said(at)
    assert "Only 6 match" not in said(at)
    few = open_page("search", by="image", image=1, k=48, label="pneumonia", split="test")
    assert f"Only {len(linked(few, 'hits')['cards'])} match." in said(few)
    with database.transaction(workbench.engine) as db:
        normal = db.scalars(select(Image).where(Image.label == 0).order_by(Image.id)).all()
        normal[1].patient_key = normal[0].patient_key
        first, twin = normal[0].id, normal[1].id
    for more, absent in (({}, {first}), ({"patients": "others"}, {first, twin})):
        at = open_page("search", by="image", image=first, k=48, label="normal", **more)
        shown = {int(asked(card["href"])[1]["image"]) for card in linked(at, "hits")["cards"]}
        assert shown == {image.id for image in normal} - absent


@pytest.mark.parametrize(
    "narrowed",
    [{}, {"split": "train"}, {"label": "normal"}, {"cause": "viral"}, {"outcome": "FN"}, {"film.sex": "female"}],
)
def test_labels_of_hits_are_counted_only_where_the_filters_leave_them_open(
    workbench: Workbench, narrowed: dict[str, str]
) -> None:
    at = open_page("search", by="image", image=1, k=6, **narrowed)
    assert linked(at, "hits")["cards"]
    assert ("nearest cases are labelled pneumonia" in said(at)) is (narrowed.keys() <= {"split"})


def test_an_approximate_index_says_how_many_of_the_nearest_it_finds(workbench: Workbench) -> None:
    assert "exact search." in said(open_page("search", by="image", image=1, k=6))
    with database.transaction(workbench.engine) as db:
        index = db.scalars(select(VectorIndex)).one()
        index.kind = "ivf"
        made = db.get_one(Run, index.run_id)
        made.summary = {**(made.summary or {}), "recall_at_10": 0.961}
    for at in (open_page("search", by="image", image=1, k=6), open_page("case", image=1)):
        assert "approximate search (ivf, finds 96.1 % of the 10 nearest)." in said(at)


@pytest.mark.parametrize("typed", [" 1 ", "#1", "# 1"])
def test_an_image_number_may_have_spaces_and_its_sign(workbench: Workbench, typed: str) -> None:
    at = open_page("search", by="image", image=typed, k=6)
    assert not at.error
    assert len(linked(at, "hits")["cards"]) == 6


def test_search_by_words_says_that_the_reports_answered(workbench: Workbench) -> None:
    at = open_page("search", by="words", q="right lower zone")
    assert "Full-text search in readers' notes and generated reports" in said(at)
    assert "3 images with a text that contains any of these words" in said(at)
    assert "Opacity in the **right** **lower** **zone**" in said(at)
    assert "0 images" in said(open_page("search", by="words", q="right", label="normal"))


def test_too_many_search_words_are_reported(workbench: Workbench) -> None:
    many = open_page("search", by="words", q=" ".join(["zone", *(f"w{number}" for number in range(40))]))
    assert "Only the first 32 of the 41 different words are looked for." in said(many)
    assert "different words" not in said(open_page("search", by="words", q="zone"))


def test_an_image_of_the_dataset_is_found_by_its_files_name(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        image = db.get_one(Image, 7)
    name = image.path.rpartition("/")[2]
    for typed in (image.path, name, name.rpartition(".")[0].upper(), "7", "#7"):
        at = open_page("search", by="image", image=typed, k=6)
        assert not at.error and linked(at, "query")["cards"][0]["title"] == "Image 7", typed
    assert "has no image 'no such film'" in said(open_page("search", by="image", image="no such film"))


def test_hits_say_what_the_model_and_the_reports_say_and_which_zones_they_share(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        zones = dict.fromkeys(ZONES, 0.1) | {"right_lower": 0.5}
        db.execute(update(Prediction).where(Prediction.heatmap_row.is_not(None)).values(zones=zones))
        query = db.scalars(select(Image.id).where(Image.split == "test", Image.label == 1)).first()
    at = open_page("search", by="image", image=query, k=48)
    cards = linked(at, "hits")["cards"]
    test = next(card for card in cards if card["lines"][1].startswith("test"))
    train = next(card for card in cards if card["lines"][1].startswith("train"))
    assert any(line.startswith("Model: ") for line in test["lines"])
    assert "Shared zones: right lower" in test["lines"]
    assert any(line.startswith("Model (out of fold): ") for line in train["lines"])
    text, href = test["more"]
    page, parameters = asked(href)
    assert (text, page, parameters["by"], parameters["k"]) == ("Cases like this", "search", "image", "48")
    assert parameters["image"] == asked(test["href"])[1]["image"]


@pytest.mark.parametrize("threshold", [0.6, 0.25])
def test_a_hit_that_the_run_in_view_did_not_score_opens_as_its_card_says(
    workbench: Workbench, threshold: float
) -> None:
    with database.transaction(workbench.engine) as db:
        train = db.scalars(select(Run).where(Run.kind == "train")).one()
        train.summary = {**(train.summary or {}), "threshold": threshold}
    for at, key in ((open_page("search", by="image", image=1, k=12), "hits"), (open_page("case", image=1), "similar")):
        cards = linked(at, key)["cards"]
        card = next(card for card in cards if any(line.startswith("Model (out of fold): ") for line in card["lines"]))
        (told,) = [line.partition(": ")[2] for line in card["lines"] if line.startswith("Model")]
        page, parameters = asked(card["href"])
        assert parameters["run"] == str(train.id) and ("threshold" in parameters) == (threshold != 0.6)
        there = open_page(page, **parameters)
        facts = {row[0]["text"]: row[1]["text"] for row in linked(there, "facts")["rows"]}
        assert facts["Prediction"] == f"{told}, {wording.OUTCOMES[card['mark']].lower()}"
        scored = next(card for card in cards if any(line.startswith("Model: ") for line in card["lines"]))
        assert asked(scored["href"])[1]["run"] == PINNED["run"]


@pytest.mark.parametrize("split", ["test", "train"])
def test_the_query_is_a_card_that_shows_its_prediction_and_links_to_its_case(workbench: Workbench, split: str) -> None:
    with database.transaction(workbench.engine) as db:
        image = db.scalars(select(Image.id).where(Image.split == split).order_by(Image.id)).first()
    (card,) = linked(open_page("search", by="image", image=image, k=6), "query")["cards"]
    assert card["title"] == f"Image {image}" and card["src"].startswith("/app/static/image/")
    page, parameters = asked(card["href"])
    assert (page, parameters["image"]) == ("case", str(image))
    facts = {row[0]["text"]: row[1]["text"] for row in linked(open_page(page, **parameters), "facts")["rows"]}
    (told,) = [line.partition(": ")[2] for line in card["lines"] if line.startswith("Model")]
    assert facts["Prediction"] == f"{told}, {wording.OUTCOMES[card['mark']].lower()}"


@pytest.mark.parametrize(
    ("key", "question"),
    [
        ("hits", {"by": "image", "image": "1", "k": "24", "label": "pneumonia", "patients": "others"}),
        ("query", {"by": "image", "image": "2", "film.sex": "female", "index": "imagenet-lite0"}),
        ("found_report", {"by": "words", "q": "Lungs & \u201eHerz\u201c = 100 %?", "in": "texts"}),
    ],
)
def test_a_case_found_by_a_search_links_back_to_it_and_has_no_position_in_a_list(
    workbench: Workbench, key: str, question: dict[str, str]
) -> None:
    at = open_page("search", **question, dataset="sample", reviewer="Ada")
    pinned = {} if question.get("in") == "texts" else {"index": "imagenet-lite0"}
    name = next(one.proto.id for one in at.get("bidi_component") if f"-{key}" in one.proto.id)
    cards = linked(at, name.rpartition("-")[2])["cards"]
    held_out = next((card for card in cards if any("out of fold" in line for line in card["lines"])), cards[0])
    there, similar = open_page("case", **asked(held_out["href"])[1]), "similar"
    onwards = open_page("case", **asked(linked(there, similar)["cards"][0]["href"])[1])
    for case in (there, onwards):
        (back,) = linked(case, "steps")["steps"]
        assert back["text"] == "Back to search"
        asked_for = {**PINNED, **pinned, **question, "dataset": "sample", "reviewer": "Ada"}
        assert asked(back["href"]) == ("search", asked_for)


def test_a_case_links_back_only_to_pages_of_this_app(workbench: Workbench) -> None:
    for back in ("//example.org/", "https://example.org", "javascript:alert(1)", "overview", "?", "search/../x"):
        first, *_ = linked(open_page("case", image=1, back=back), "steps")["steps"]
        assert asked(first["href"])[0] == "cases" and "in the list" in first["text"]
    (odd,) = linked(open_page("case", image=1, back="search?=&q&path=//x&k=6"), "steps")["steps"]
    assert odd["href"].startswith("/search?") and asked(odd["href"])[1]["k"] == "6"


def test_hits_leave_as_csv_that_no_spreadsheet_runs(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Image).where(Image.id == 2).values(path="=cmd.png"))
    at = open_page("search", by="image", image=1, k=48)
    (button,) = at.get("download_button")
    assert button.proto.label == "Hits as CSV"
    from sqlalchemy.orm import Session

    from db.queries import cases

    with Session(workbench.engine) as db:
        known = cases.several(db, [2, 3], run_id=None, threshold=None)
    hits = [neighbours.Hit(2, 0.9), neighbours.Hit(3, 0.8), neighbours.Hit(999, 0.7)]
    rows = list(csv.DictReader(io.StringIO(neighbours._csv(hits, known, None, {3: "Clear lungs."}))))
    assert [(row["rank"], row["image"], row["path"][:5], row["report"]) for row in rows] == [
        ("1", "2", "'=cmd", ""),
        ("2", "3", rows[1]["path"][:5], "Clear lungs."),
    ]


def test_the_csv_marks_the_same_hits_as_held_out_as_the_cards(workbench: Workbench) -> None:
    hits = [neighbours.Hit(number, 0.5) for number in range(1, 61)]
    with database.transaction(workbench.engine) as db:
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        view = filters.View(
            Question(workbench.dataset_id, run_id=run.id, threshold=0.5), run, [*db.scalars(select(Run))]
        )
        db.execute(delete(Prediction).where(Prediction.image_id == 1))
        db.flush()
        known = neighbours.seen(db, [hit.image_id for hit in hits], view)
    rows = csv.DictReader(io.StringIO(neighbours._csv(hits, known, None, {})))
    told = {int(row["image"]): row["held_out"] for row in rows}
    assert set(told.values()) == {"yes", "no", ""}
    for card in linked(open_page("search", by="image", image=2, k=48), "hits")["cards"]:
        model = next((line for line in card["lines"] if line.startswith("Model")), "")
        assert told[int(asked(card["href"])[1]["image"])] == (model and ("yes" if "out of fold" in model else "no"))


def test_words_find_texts_where_there_is_no_index_and_the_page_says_how_to_make_one(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(delete(VectorIndex))
    at = open_page("search", by="upload", q="right lower zone")
    assert "python -m jobs embed --dataset sample" in said(at)
    assert "3 images with a text that contains any of these words" in said(at)
    assert not at.exception


def test_words_that_texts_only_deny_say_so(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.add(Review(image_id=1, reviewer="A", verdict="normal", note="No pneumothorax."))
    at = open_page("search", by="words", q="pneumothorax", **{"in": "texts"})
    assert "0 images with a text" in said(at)
    assert f"Texts contain these words, but {OTHERWISE}" in said(at)
    assert "Texts contain these words" not in said(open_page("search", by="words", q="zebra", **{"in": "texts"}))


def test_words_offer_the_pictures_and_say_how_to_have_them_read(workbench: Workbench) -> None:
    at = open_page("search", **{"by": "words", "q": "effusion", "in": "pictures"})
    assert "python -m jobs embed --dataset sample --embedder aligned" in said(at)
    assert not at.exception


def test_words_are_answered_by_the_pictures_where_an_index_reads_them(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        """Reads one word, and warns of another and of causes that were not taught."""

        name, revision, dimension = "aligned", "1" * 16, 2

        def embed_images(self, pixels: np.ndarray) -> np.ndarray:
            return np.tile(np.array([[1, 0]], np.float32), (len(pixels), 1))

        def embed_texts(self, texts: list[str]) -> np.ndarray:
            return np.array([[1, 0] if "pneumonia" in text else [0, 1] for text in texts], np.float32)

        def caveat(self, text: str, *, known: Known) -> str | None:
            if "viral" in text and "viral" not in (known.concepts or ()):
                return f"this index was taught {known.concepts}"
            return "it cannot tell <b>effusion</b>" if "effusion" in text else None

    from dashboard import resources

    monkeypatch.setattr(resources, "embedder", lambda *_: Reader())
    with database.transaction(workbench.engine) as db:
        images = list(db.scalars(select(Image).order_by(Image.id)))
        run = Run(kind="embed", dataset_id=workbench.dataset_id, fingerprint="w", **RUN)
        db.add(run)
        db.flush()
        vectors = np.array([[image.label, 1 - (image.label or 0)] for image in images], np.float32)
        folder = workbench.artifacts / "indexes" / "aligned" / "1"
        sha = write_index(
            folder,
            vectors=vectors,
            ids=np.array([image.id for image in images]),
            embedder="aligned",
            revision="1" * 16,
            known=Known(("normal", "pneumonia")),
        )
        known = {"embedder": "aligned", "revision": "1" * 16, "dimension": 2, "count": len(images), "kind": "exact"}
        db.add(
            VectorIndex(run_id=run.id, dataset_id=workbench.dataset_id, path="indexes/aligned/1", sha256=sha, **known)
        )
    at = open_page("search", by="words", q="pneumonia", k=6, index="imagenet-lite0", patients="others")
    assert "Searched the images through index aligned" in said(at)
    (menu,) = [one for one in at.selectbox if one.label == "Embedder"]
    assert (menu.options, menu.value) == (["aligned"], "aligned")
    assert "Patients" not in [one.label for one in at.button_group]
    assert {card["lines"][0].split(",")[0] for card in linked(at, "hits")["cards"]} == {"Pneumonia"}
    at = open_page("search", by="words", q="effusion", k=6)
    assert any("It cannot tell \\<b\\>effusion" in str(one.value) for one in at.warning)
    at = open_page("search", by="words", q="viral pneumonia", k=6)
    assert any("This index was taught" in str(one.value) and "normal" in str(one.value) for one in at.warning)
    at = open_page("search", **{"by": "words", "q": "right lower zone", "in": "texts"})
    assert "Full-text search" in said(at)
    assert "Embedder" not in [one.label for one in at.selectbox]


def test_what_words_cannot_use_is_offered_for_pictures_alone(workbench: Workbench) -> None:
    for way, offered in (("image", True), ("words", False)):
        at = open_page("search", by=way, q="zone")
        assert ("Patients" in [one.label for one in at.button_group]) is offered
        assert ("Embedder" in [one.label for one in at.selectbox]) is offered


@pytest.mark.parametrize("name", ["a_model", "z_model"])
def test_the_index_that_came_into_force_last_is_asked_first(workbench: Workbench, name: str) -> None:
    with database.transaction(workbench.engine) as db:
        old = db.scalars(select(VectorIndex)).one()
        run = Run(kind="embed", dataset_id=workbench.dataset_id, fingerprint=name, **RUN)
        db.add(run)
        db.flush()
        same = {"revision": old.revision, "dimension": old.dimension, "count": old.count, "kind": old.kind}
        here = {"dataset_id": old.dataset_id, "path": old.path, "sha256": old.sha256}
        db.add(VectorIndex(run_id=run.id, embedder=name, **same, **here))
    for page, parameters in (("search", {}), ("case", {"image": 1})):
        at = open_page(page, **parameters)
        (offered,) = [one for one in (*at.selectbox, *at.button_group) if one.label == "Embedder"]
        assert offered.value == name
    with database.transaction(workbench.engine) as db:  # as `embed --embedder imagenet-lite0`, asked again, does
        db.get_one(Run, old.run_id).current_since = now()
    assert next(one for one in open_page("search").selectbox if one.label == "Embedder").value == old.embedder


def test_a_readers_note_is_shown_as_such(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.add(Review(image_id=1, reviewer="R *1*", verdict="agree", note="Zebra pattern at the left base"))
    at = open_page("search", by="words", q="zebra")
    assert "**Reader's note** · R \\*1\\*" in said(at)
    assert "**Zebra** pattern" in said(at)


def test_another_way_to_search_starts_with_the_embedder_that_it_uses_by_default(workbench: Workbench) -> None:
    at = open_page("search", k=6, index="imagenet-lite0")
    at.segmented_control(key="url_by").set_value("image").run()
    assert (at.query_params["by"], at.query_params["k"]) == ("image", "6")
    assert "index" not in at.query_params
