"""The review queue: blind until the verdict is stored, nothing lost or stored twice."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, select, text, update
from streamlit.testing.v1 import AppTest

from dashboard import resources
from dashboard.components import login
from db import session as database
from db.models import Image, ImageTag, Prediction, Report, Review, Run
from tests.dashboard.opened import PINNED, Workbench, asked, linked, open_page, said
from tests.dashboard.reviewing import film, give, judge, of_test, revealed, undoing
from tests.sample import build, films

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def messages(node: object) -> Iterator[bytes]:
    """Everything that the server sends of a page, element by element."""
    proto = getattr(node, "proto", None)
    if proto is not None:
        yield proto.SerializeToString(deterministic=True)
    for child in getattr(node, "children", {}).values():
        yield from messages(child)


def sent(at: AppTest) -> list[bytes]:
    return list(messages(at._tree))


def stored(workbench: Workbench) -> list[tuple[int, str, str, str]]:
    """Image, reviewer, verdict and note of every review, in order."""
    with database.transaction(workbench.engine) as db:
        query = select(Review.image_id, Review.reviewer, Review.verdict, Review.note).order_by(Review.id)
        return [(image, reviewer, verdict, note) for image, reviewer, verdict, note in db.execute(query)]


def image_of(workbench: Workbench, sha256: str) -> Image:
    with database.transaction(workbench.engine) as db:
        return db.scalars(select(Image).where(Image.sha256 == sha256)).one()


def test_before_the_verdict_nothing_on_the_page_depends_on_what_is_hidden(workbench: Workbench) -> None:
    """The page is identical byte by byte, whatever the label, file, patient, prediction, report or other reviews."""
    first = open_page("reviews", reviewer="Anna")
    sha256 = film(first)
    image = image_of(workbench, sha256)
    before = sent(first)
    assert any(sha256.encode() in part for part in before)  # the film is on it
    with database.transaction(workbench.engine) as db:
        hidden = {
            "label": 1 - (image.label or 0),
            "cause": "fungal",
            "patient_key": "p-other",
            "path": "test/other.png",
        }
        db.execute(update(Image).where(Image.id == image.id).values(hidden))
        db.execute(update(Prediction).where(Prediction.image_id == image.id).values(probability=0.4242, logit=-9.0))
        db.execute(update(Prediction).where(Prediction.image_id == image.id).values(heatmap_row=None, zones=None))
        db.execute(update(Report).where(Report.image_id == image.id).values(text="FINDINGS: told otherwise."))
        db.add(Review(image_id=image.id, reviewer="Ben", verdict="unreadable", note="Ben said so"))
    again = open_page("reviews", reviewer="Anna")
    assert film(again) == sha256
    assert sent(again) == before
    whole = b"".join(before)
    for word in (image.path, image.path.rpartition("/")[2], image.patient_key, "0.4242", "told otherwise", "Ben said"):
        assert word.encode() not in whole, word
    after = judge(again, "normal")
    assert sent(after) != before
    told = str(revealed(after))
    assert "fungal" in told
    assert "told otherwise" in told
    assert "Unreadable" in told


def test_the_address_of_a_queue_never_names_the_films_number(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    skipped = film(at)
    at.button(key=f"skip_{skipped[:16]}").click().run()
    assert at.query_params == {**PINNED, "reviewer": "Anna", "after": skipped[:16]}
    judged = film(at)
    judge(at, "uncertain")
    assert at.query_params == {**PINNED, "reviewer": "Anna", "after": skipped[:16], "film": judged[:16]}


def test_without_a_name_no_verdict_can_be_given_and_the_page_says_so(workbench: Workbench) -> None:
    at = open_page("reviews")
    assert "Enter your name first" in said(at)
    assert not at.button
    assert "control character" in said(open_page("reviews", reviewer="An\u202ena"))
    at.text_input(key="url_reviewer").set_value("Anna").run()
    assert at.query_params == {**PINNED, "reviewer": "Anna"}
    assert len(at.button) == 6


def test_a_given_name_is_not_an_editable_field_and_can_be_changed(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    assert not at.text_input
    assert "Reader: **Anna**" in said(at)
    at.button(key="rename").click().run()
    assert at.query_params == PINNED
    at.text_input(key="url_reviewer").set_value("Ben").run()
    assert "Reader: **Ben**" in said(at)


def test_a_logged_in_user_reviews_under_that_name_whatever_the_url_says(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "reader", lambda: "anna@example.org")
    at = open_page("reviews", reviewer="Ben")
    assert not at.text_input
    judge(at, "normal")
    assert [reviewer for _, reviewer, _, _ in stored(workbench)] == ["anna@example.org"]


def test_a_verdict_is_stored_with_its_note_and_tags_and_then_everything_is_shown(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    sha256 = film(at)
    at.multiselect(key=f"tags_{sha256[:16]}").set_value(["tube"])
    at.text_area(key=f"note_{sha256[:16]}").set_value("a line\nand another")
    judge(at, "pneumonia")
    image = image_of(workbench, sha256)
    assert stored(workbench) == [(image.id, "Anna", "pneumonia", "a line\nand another")]
    with database.transaction(workbench.engine) as db:
        assert list(db.execute(select(ImageTag.image_id, ImageTag.name))) == [(image.id, "tube")]
        own = select(Prediction.probability).join(Run).where(Prediction.image_id == image.id, Run.kind == "predict")
        probability = db.scalar(own)
    told = revealed(at)
    assert told["Your verdict"] == f"Pneumonia, {'agrees' if image.label else 'disagrees'} with the label"
    assert told["Label"].startswith("Pneumonia" if image.label else "Normal")
    assert told["Model"].startswith(f"{100 * float(probability or 0):.1f} % pneumonia")
    href = next(row[1]["href"] for row in linked(at, "revealed")["rows"] if row[0]["text"] == "Case")
    page, parameters = asked(href)
    assert (page, parameters["image"]) == ("case", str(image.id))
    assert not open_page(page, **parameters).exception
    assert film(at) == sha256  # until the reader goes on


def test_a_reload_and_another_tab_show_the_same_and_next_goes_on(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    first = film(at)
    assert film(open_page("reviews", reviewer="Anna")) == first
    judge(at, "normal")
    again = open_page("reviews", **at.query_params)
    assert revealed(again) == revealed(at)
    at.button(key="next").click().run()
    assert film(at) != first
    assert at.query_params == {**PINNED, "reviewer": "Anna"}
    assert film(open_page("reviews", reviewer="Anna")) == film(at)
    assert film(open_page("reviews", reviewer="Ben")) in {one.sha256 for one in of_test(workbench)}


def test_a_reader_study_goes_on_without_showing_the_answers(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna", answer="hide")
    seen = []
    for verdict in ("normal", "pneumonia"):
        seen.append(film(at))
        judge(at, verdict)
        with pytest.raises(AssertionError, match="no component 'revealed'"):
            linked(at, "revealed")
    assert len({*seen, film(at)}) == 3 and len(stored(workbench)) == 2
    with database.transaction(workbench.engine) as db:
        assert set(db.scalars(select(Review.unblinded_by))) == {""}
    at = open_page("reviews", reviewer="Ben", answer="hide", image=image_of(workbench, seen[0]).id)
    judge(at, "normal")
    assert revealed(at)["Your verdict"].startswith("Normal")


def test_two_tabs_on_one_film_store_one_verdict_and_say_so_where_they_differ(workbench: Workbench) -> None:
    tabs = [open_page("reviews", reviewer="Anna") for _ in range(3)]
    judge(tabs[0], "normal")
    judge(tabs[1], "normal")
    assert not tabs[1].error
    assert revealed(tabs[1])["Your verdict"].startswith("Normal")
    judge(tabs[2], "pneumonia")
    assert "in the meantime as normal; pneumonia was not stored" in tabs[2].error[0].value
    assert [verdict for _, _, verdict, _ in stored(workbench)] == ["normal"]
    assert not tabs[2].run().error


def test_a_note_in_a_second_tab_is_not_lost_and_can_be_given_again(workbench: Workbench) -> None:
    tabs = [open_page("reviews", reviewer="Anna") for _ in range(2)]
    judge(tabs[0], "normal")
    at = tabs[1]
    note = f"note_{film(at)[:16]}"
    at.text_area(key=note).set_value("rotated")
    judge(at, "normal")
    assert "Give the verdict again" in at.error[0].value
    assert at.text_area(key=note).value == "rotated"
    judge(at, "normal")
    assert [verdict[2:] for verdict in stored(workbench)] == [("normal", ""), ("normal", "rotated")]


def test_undo_takes_the_last_verdict_back_and_shows_its_film_again(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    first = film(at)
    judge(at, "normal")
    at.button(key="next").click().run()
    second = film(at)
    judge(at, "pneumonia")
    at.button(key="next").click().run()
    undoing(at)[0].click().run()
    assert film(at) == second
    assert [image for image, *_ in stored(workbench)] == [image_of(workbench, first).id]
    assert at.button(key=f"normal_{second[:16]}")
    undoing(at)[0].click().run()
    assert film(at) == first
    assert stored(workbench) == []
    assert undoing(at) == []
    judge(at, "normal")
    assert [image for image, *_ in stored(workbench)] == [image_of(workbench, first).id]


def test_a_finished_queue_says_how_many_were_reviewed(workbench: Workbench) -> None:
    for image in of_test(workbench)[:-1]:
        give(workbench, image.id, "Anna", "normal")
    at = open_page("reviews", reviewer="Anna")
    assert at.get("progress")[0].proto.text == "19 of 20 reviewed"
    judge(at, "normal")
    at.button(key="next").click().run()
    assert "All 20 images in this queue have been reviewed." in at.success[0].value
    assert at.get("progress")[0].proto.text == "20 of 20 reviewed"
    assert "0 of 20 reviewed" in open_page("reviews", reviewer="Ben").get("progress")[0].proto.text
    assert "No image matches" in said(open_page("reviews", reviewer="Ben", cause="none"))


def test_a_locked_database_costs_one_line_and_nothing_that_was_entered(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "PATIENCE", 0.1)
    at = open_page("reviews", reviewer="Anna")
    name = film(at)[:16]
    at.text_area(key=f"note_{name}").set_value("kept")
    with workbench.engine.begin() as other:
        other.execute(text("SELECT 1"))  # a writer's transaction, held
        judge(at, "normal")
    assert len(at.error) == 1
    assert "The verdict was not stored: database is locked" in at.error[0].value
    assert "\n" not in at.error[0].value
    assert at.text_area(key=f"note_{name}").value == "kept"
    judge(at, "normal")
    assert [(verdict, note) for _, _, verdict, note in stored(workbench)] == [("normal", "kept")]
    assert not at.error


def test_a_tag_that_is_too_long_is_refused_and_the_form_kept(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    name = film(at)[:16]
    at.multiselect(key=f"tags_{name}").set_value(["t" * 61])
    at.text_area(key=f"note_{name}").set_value("kept")
    judge(at, "normal")
    assert "61 characters; 60 are allowed" in at.error[0].value
    assert at.text_area(key=f"note_{name}").value == "kept"
    assert stored(workbench) == []


def test_the_pages_own_engine_still_refuses_to_write(workbench: Workbench) -> None:
    with resources.reading() as session, pytest.raises(Exception, match="readonly"):
        session.execute(delete(Image))
    with resources.writing() as session:
        session.execute(update(Image).where(Image.id == 1).values(width=65))


def test_the_queue_is_of_the_test_split_unless_the_address_says_otherwise(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna")
    assert "of 20 reviewed" in at.get("progress")[0].proto.text
    at.segmented_control(key="url_split").set_value("all").run()
    assert "of 60 reviewed" in at.get("progress")[0].proto.text
    assert at.query_params == {**PINNED, "reviewer": "Anna", "split": "all"}


def test_a_link_to_a_blind_queue_takes_the_filters_along(workbench: Workbench) -> None:
    def script() -> None:
        import streamlit as st

        from dashboard.components.reviews import blind_queue

        st.json(blind_queue.of_filters())

    for parameters, wanted in (
        ({"outcome": "FN", "sort": "high", "page": "2"}, {"split": "all", "outcome": "FN"}),
        ({"split": "test", "label": "normal"}, {"split": "test", "label": "normal"}),
    ):
        at = AppTest.from_function(script)
        at.query_params.update(parameters)
        assert json.loads(at.run().json[0].value) == wanted


def test_one_image_is_reviewed_by_its_number_and_reviewed_again(workbench: Workbench) -> None:
    at = open_page("reviews", reviewer="Anna", image=1)
    assert film(at) == image_of(workbench, film(at)).sha256
    assert image_of(workbench, film(at)).id == 1
    judge(at, "normal")
    again = open_page("reviews", reviewer="Anna", image=1)
    assert revealed(again)["Your verdict"].startswith("Normal")
    again.button(key="again").click().run()
    assert "You have reviewed this image before" in said(again)
    judge(again, "pneumonia")
    assert [(image, verdict) for image, _, verdict, _ in stored(workbench)] == [(1, "normal"), (1, "pneumonia")]
    assert revealed(again)["Your verdict"].startswith("Pneumonia")
    queue = said(open_page("reviews", reviewer="Anna", image=999))
    assert "no such image" in queue
    assert "does not count as blind" not in queue


def test_two_datasets_have_queues_of_their_own(workbench: Workbench) -> None:
    build(workbench.engine, workbench.artifacts, workbench.folder, pictures=films(6), name="later")
    at = open_page("reviews", reviewer="Anna", dataset="sample")
    judge(at, "normal")
    assert at.query_params["dataset"] == "sample"
    assert "1 of 20 reviewed" in at.get("progress")[0].proto.text
    assert "0 of 2 reviewed" in open_page("reviews", reviewer="Anna", dataset="later").get("progress")[0].proto.text
    assert "0 reviews" in said(open_page("reviews", view="list", dataset="later"))


def test_images_can_be_reviewed_without_any_run(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(delete(Run).where(Run.kind.in_(("predict", "train"))))
    at = open_page("reviews", reviewer="Anna")
    judge(at, "pneumonia")
    assert revealed(at)["Model"] == "not predicted by the selected run"
    at = open_page("reviews", view="agreement")
    assert not at.exception
    assert linked(at, "against_model")["rows"][0][2]["text"] == "unknown"


@pytest.mark.parametrize(
    "parameters",
    [
        {"film": "../../etc", "after": "zz", "image": "x", "again": "<b>", "view": "none", "split": "%"},
        {"film": "0" * 16, "after": "f" * 16, "reviewer": "'; DROP TABLE review; --"},
        {"view": "agreement", "differ": "x", "page": "-1"},
        {"view": "list", "by": "nobody", "verdict": "x", "tagged": "x", "page": "99999"},
    ],
)
def test_invalid_parameters_in_the_url_are_ignored(workbench: Workbench, parameters: dict[str, str]) -> None:
    give(workbench, 1, "Anna", "normal")
    assert not open_page("reviews", **{"reviewer": "Anna", **parameters}).exception
