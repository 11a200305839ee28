"""Walks through the app in a real browser: pages, a failure and its reports, an upload and its hits, history."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image as Picture
from playwright.sync_api import expect
from sqlalchemy import delete, select

from dashboard.components import figures
from dashboard.components.reports import leaderboard
from db import session as database
from db.models import Metric, Prediction, Run
from tests.e2e.visiting import Visit
from tests.sample import Film

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/", "sample"),
        ("/cases", "Cases"),
        ("/case?image=1", "normal"),
        ("/reports", "Reports"),
        ("/search", "Search"),
        ("/map", "Map"),
        ("/runs", "Runs"),
        ("/runs?run=2", "Run 2: train"),
    ],
)
def test_each_page_opens_without_a_complaint(visit: Visit, path: str, heading: str) -> None:
    visit.open(path)
    expect(visit.page.get_by_role("heading", name=heading).first).to_be_visible()
    expect(visit.page.get_by_text("SYNTHETIC dataset").first).to_be_visible()
    pictures = visit.page.locator("img")
    for number in range(min(pictures.count(), 12)):
        pictures.nth(number).scroll_into_view_if_needed()  # those out of sight are loaded lazily
        expect(pictures.nth(number)).to_have_js_property("complete", True)
        assert pictures.nth(number).evaluate("image => image.naturalWidth") > 0


def test_the_browsers_tab_names_the_page_its_case_or_run_and_the_tool(visit: Visit) -> None:
    for place in ("Case 1", "Case 4", "Run 3", "Run 2"):
        kind, number = place.lower().split()
        visit.open(f"/case?image={number}" if kind == "case" else f"/runs?run={number}")
        expect(visit.page).to_have_title(f"{place} \N{MIDDLE DOT} Pneumoscope")
    visit.page.get_by_role("link", name="All runs").click()
    expect(visit.page).to_have_title("Runs \N{MIDDLE DOT} Pneumoscope")
    visit.page.get_by_role("link", name="Cases", exact=True).click()
    expect(visit.page).to_have_title("Cases \N{MIDDLE DOT} Pneumoscope")


def test_a_failure_leads_from_the_overview_to_its_reports_and_back(visit: Visit) -> None:
    page = visit.page
    visit.open("/")
    page.get_by_role("link", name="Missed pneumonia (FN)").click()
    expect(page).to_have_url(f"{visit.address}/cases?outcome=FN&run=3")
    page.locator("a.card").first.click()
    page.wait_for_url("**/case?outcome=FN&run=3&image=*")
    expect(page.get_by_role("heading", name="False negative: pneumonia")).to_be_visible()
    expect(page.get_by_role("heading", name="Reports (4)")).to_be_visible()
    expect(page.get_by_text("Opacity in the right lower zone").first).to_be_visible()
    expect(page.get_by_role("img", name="with heatmap: most heat in")).to_be_visible()
    expect(page.locator(".st-key-similar a.card, a.card").first).to_be_visible()
    page.go_back()
    expect(page).to_have_url(f"{visit.address}/cases?outcome=FN&run=3")
    expect(page.get_by_role("heading", name="Cases")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name="False negative: pneumonia")).to_be_visible()


def test_a_case_leads_to_the_parts_of_its_page_and_to_its_place_on_the_map(visit: Visit) -> None:
    page = visit.page
    visit.open("/case?image=1")
    for name in ("Near-duplicates", "Similar cases"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name)).to_be_in_viewport()
        expect(page).to_have_url(f"{visit.address}/case?image=1")
    page.get_by_role("link", name="Search with this image").click()
    expect(page).to_have_url(f"{visit.address}/search?by=image&image=1&run=3")


def test_back_and_forward_step_through_the_filters(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases")
    expect(page.get_by_text("60 distinct images")).to_be_visible()
    page.get_by_role("radio", name="Test").click()
    expect(page).to_have_url(f"{visit.address}/cases?split=test&run=3")
    expect(page.get_by_text("20 distinct images")).to_be_visible()
    page.get_by_role("radio", name="Normal").click()
    expect(page).to_have_url(f"{visit.address}/cases?split=test&run=3&label=normal")
    expect(page.get_by_text("10 distinct images")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("20 distinct images")).to_be_visible()
    expect(page.get_by_role("radio", name="Normal")).not_to_be_checked()
    page.go_forward()
    expect(page.get_by_text("10 distinct images")).to_be_visible()
    expect(page.get_by_role("radio", name="Normal")).to_be_checked()
    page.reload()
    expect(page.get_by_text("10 distinct images")).to_be_visible()
    page.get_by_role("link", name="Cases", exact=True).click()
    expect(page.get_by_text("60 distinct images")).to_be_visible()
    expect(page).to_have_url(f"{visit.address}/cases")


SCROLLED = "() => document.querySelector('[data-testid=stMain]').scrollTop"


def test_back_from_a_case_restores_the_scroll_position_of_the_list(visit: Visit) -> None:
    page = visit.page
    main = page.locator("[data-testid=stMain]")
    card = page.locator("a.card").nth(30)
    visit.open("/cases?sort=file")
    expect(card).to_be_visible()  # the page is not long before
    main.evaluate("page => page.scrollTo(0, 900)")
    before = page.evaluate(SCROLLED)
    assert before > 500
    card.evaluate("card => card.click()")  # the browser would scroll to it first
    expect(page.get_by_role("heading", name="Reports")).to_be_visible()
    visit.drawn()
    page.wait_for_function(f"() => ({SCROLLED})() === 0")
    page.go_back()
    expect(page.get_by_role("heading", name="Cases", exact=True)).to_be_visible()
    visit.drawn()
    page.wait_for_function(f"at => ({SCROLLED})() === at", arg=before)
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"at => ({SCROLLED})() < at", arg=before)
    page.wait_for_timeout(1500)
    assert page.evaluate(SCROLLED) < before, "the reader's own scrolling counts"


def test_a_link_leads_to_the_top_of_its_page_where_a_slow_browser_never_sees_it_empty(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases?sort=file")
    page.add_style_tag(content="[data-testid=stMainBlockContainer] { min-height: 3000px; }")
    page.locator("[data-testid=stMain]").evaluate("page => page.scrollTo(0, 900)")
    assert page.evaluate(SCROLLED) == 900
    page.locator("a.card").nth(30).evaluate("card => card.click()")
    expect(page.get_by_role("heading", name="Reports")).to_be_visible()
    page.wait_for_function(f"() => ({SCROLLED})() === 0")


def test_an_outcome_of_the_confusion_matrix_leads_to_its_cases(visit: Visit) -> None:
    visit.open("/cases?split=test")
    link = visit.page.get_by_role("table").get_by_role("link", name="TN")
    number = link.inner_text().split()[-1]
    link.click()
    expect(visit.page).to_have_url(f"{visit.address}/cases?split=test&outcome=TN&run=3")
    expect(visit.page.get_by_text(f"{number} distinct image")).to_be_visible()


def test_arrow_keys_walk_through_the_list(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases?split=test&sort=file")
    page.locator("a.card").first.click()
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()


def test_an_arrow_key_held_or_pressed_again_before_the_answer_is_one_step(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases?split=test&sort=file")
    page.locator("a.card").first.click()
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    visit.drawn()
    before = page.evaluate("history.length")
    page.evaluate(
        """for (const repeat of [false, false, true])
          document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", repeat }))"""
    )
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    visit.drawn()
    page.evaluate('document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", repeat: true }))')
    page.wait_for_timeout(1000)
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    assert page.evaluate("history.length") == before + 1
    page.go_back()
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()


def test_an_uploaded_image_gets_similar_cases_from_the_live_index(visit: Visit, pictures: list[Film]) -> None:
    page = visit.page
    visit.open("/search")
    twin = pictures[1]
    larger = io.BytesIO()
    Picture.open(io.BytesIO(twin.data)).resize((320, 320)).save(larger, "JPEG", quality=95)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": "film.jpg", "mimeType": "image/jpeg", "buffer": larger.getvalue()}
    )
    expect(page.get_by_text("Searched index imagenet-lite0")).to_be_visible(timeout=90_000)
    expect(page.locator("a.card")).to_have_count(12)
    expect(page.get_by_text("nearest cases are labelled pneumonia")).to_be_visible()
    names = page.locator("a.card .line").all_inner_texts()
    assert any(Path(twin.path).name in name for name in names), names
    page.locator("a.card").first.click()
    expect(page.get_by_role("heading", name="Similar cases")).to_be_visible()


def test_a_file_that_is_no_image_gets_one_line(visit: Visit) -> None:
    visit.open("/search")
    visit.page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    expect(visit.page.get_by_text("neither an image nor DICOM by its content")).to_be_visible()


def test_an_image_of_the_dataset_is_picked_by_its_thumbnail(visit: Visit) -> None:
    page = visit.page
    visit.open("/search?by=image&split=test")
    page.locator("a.card").first.click()
    expect(page.get_by_text("Searched index imagenet-lite0")).to_be_visible()
    assert re.search(r"[?&]image=\d+", page.url)
    page.go_back()
    expect(page.get_by_text("Pick an image, or enter an image number")).to_be_visible()


def test_an_uploaded_image_of_the_dataset_is_left_out_of_its_own_hits(visit: Visit, pictures: list[Film]) -> None:
    visit.open("/search")
    twin = pictures[1]
    visit.page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": "film.jpg", "mimeType": "image/jpeg", "buffer": twin.data}
    )
    expect(visit.page.get_by_text("it is excluded from the hits")).to_be_visible(timeout=90_000)
    expect(visit.page.locator("a.card")).to_have_count(1 + 12, timeout=90_000)
    own, *hits = visit.page.locator("a.card").all_inner_texts()
    assert Path(twin.path).name in own
    assert not any(Path(twin.path).name in hit for hit in hits)


@pytest.mark.parametrize("width", [390, 800])
def test_in_a_narrow_window_the_name_of_a_row_is_not_broken_after_every_word(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 844})
    visit.open("/cases?split=test")
    name = visit.page.locator("tbody th").filter(has_text="(run default)")
    expect(name).to_be_visible()
    box = name.bounding_box()
    assert box is not None and box["height"] < 70  # two lines


@pytest.mark.parametrize("path", ["/cases?outcome=wrong", "/search?by=words"])
def test_in_a_narrow_window_no_choice_is_cut_off(visit: Visit, path: str) -> None:
    visit.page.set_viewport_size({"width": 800, "height": 800})
    visit.open(path)
    groups = visit.page.get_by_test_id("stMain").get_by_test_id("stButtonGroup")
    expect(groups.first).to_be_visible()
    beyond = groups.evaluate_all(
        "all => all.flatMap((one) => [...one.querySelectorAll('*')].map((part) => part.scrollWidth - part.clientWidth))"
    )
    assert beyond and max(beyond) <= 1


def test_in_a_narrow_window_an_image_is_next_to_its_report_and_not_below_it(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 1024, "height": 800})
    visit.open("/reports")
    card = visit.page.locator("a.card").first
    expect(card).to_be_visible()
    film = card.bounding_box()
    column = visit.page.get_by_test_id("stColumn").filter(has=card).first.bounding_box()
    assert film and column and film["x"] + film["width"] <= column["x"] + column["width"] + 1


def test_on_a_phone_hits_are_two_per_row_and_none_of_their_lines_is_cut_off(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.open("/case?image=1")
    cards = visit.page.locator(".st-key-similar a.card")
    expect(cards).to_have_count(12)
    first, second = (cards.nth(number).bounding_box() for number in (0, 1))
    assert first and second and first["y"] == second["y"]
    beyond = cards.locator(".line").evaluate_all("lines => lines.map((one) => one.scrollWidth - one.clientWidth)")
    assert beyond and max(beyond) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_beyond_an_edge_is_shaded_there_and_no_other(
    visit: Visit, scheme: Literal["light", "dark"]
) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.open("/runs")
    table = visit.page.locator(".wide").last
    table.scroll_into_view_if_needed()
    shaded = []
    for left in (0, 100, 10_000):
        table.evaluate("(one, left) => { one.scrollLeft = left; }", left)
        grey = np.asarray(Picture.open(io.BytesIO(table.screenshot())).convert("L")).astype(int)
        page = np.bincount(grey.ravel()).argmax()
        edges = np.median(np.abs(grey[:, [0, -1]] - page), axis=0)
        shaded.append([bool(edge > 20) for edge in edges])
    assert shaded == [[False, True], [True, True], [True, False]]


def test_on_a_phone_the_legend_of_a_curve_is_whole(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 400, "height": 900})
    visit.open("/runs?run=3")
    chart = visit.page.get_by_test_id("stVegaLiteChart").filter(has_text="ROC curve")
    chart.scroll_into_view_if_needed()
    whole = chart.bounding_box()
    for text in ("recall", "specificity"):
        for label in chart.locator(".role-legend-label").filter(has_text=text).all():
            box = label.bounding_box()
            assert whole and box and box["x"] + box["width"] <= whole["x"] + whole["width"]
    assert chart.locator(".role-legend-label").filter(has_text="specificity").count()


@pytest.fixture
def embedders(folder: Path) -> Iterator[list[str]]:
    """Rows of the retrieval table, in its own order: P@10 of two more embedders is known, P@1 is not."""
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    with database.transaction(engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "evaluate")).one()
        measured = {"clip": 0.87, "resnet50": 0.9}
        db.add_all(Metric(run_id=run, split="test", slice=s, name="p_at_10", value=v) for s, v in measured.items())
    yield ["clip", "imagenet-lite0", "resnet50"]
    with database.transaction(engine) as db:
        db.execute(delete(Metric).where(Metric.slice.in_(measured)))
    engine.dispose()


def test_a_table_is_sorted_by_the_column_that_is_clicked(visit: Visit, embedders: list[str]) -> None:
    clip, lite0, resnet50 = embedders
    visit.open("/")
    table = visit.page.get_by_role("table", name="Retrieval precision by embedder")
    names, by_ten = table.locator("tbody th"), table.get_by_role("button", name="Sort by P@10", exact=True)
    expect(names).to_have_text(embedders)
    by_ten.click()
    expect(names).to_have_text([resnet50, clip, lite0])
    expect(table.locator("[aria-sort=descending]")).to_contain_text("P@10")
    by_ten.press("Enter")
    expect(names).to_have_text([lite0, clip, resnet50])
    by_ten.click()
    expect(names).to_have_text(embedders)
    by_one = table.get_by_role("button", name="Sort by P@1", exact=True)
    for _ in range(2):
        by_one.click()
        expect(names).to_have_text([lite0, clip, resnet50])  # what is unknown stays last
    table.get_by_role("button", name="Sort by Retrieval by embedder").click()
    expect(names).to_have_text([resnet50, lite0, clip])


@pytest.fixture
def much_measured(folder: Path, address: str) -> Iterator[None]:
    """All metrics that tables have columns for, with intervals, and two predictions of each test image."""
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    retrieved = {("test", "classifier", name) for name in figures.RETRIEVAL}
    scored = {("reports", "template / clinical_structured", name) for name in leaderboard.SHOWN}
    with database.transaction(engine) as db:
        evaluate = db.scalars(select(Run).where(Run.kind == "evaluate")).one()
        told = db.scalars(select(Prediction).join(Run).where(Run.kind == "predict")).all()
        known = {(one.split, one.slice, one.name) for one in db.scalars(select(Metric).filter_by(run_id=evaluate.id))}
        made: list[Metric | Run] = [
            Metric(run_id=evaluate.id, split=split, slice=part, name=name, value=0.886, low=0.857, high=0.912, n=618)
            for split, part, name in sorted((retrieved | scored) - known)
        ]
        kept = {name: getattr(evaluate, name) for name in ("dataset_id", "code_version", "status", "host", "finished")}
        summary = {"threshold": 0.5, "recipe": "ensemble"}
        made.append(Run(**kept, kind="predict", fingerprint="2" * 64, config={}, pid=1, summary=summary))
        db.add_all(made)
        db.flush()
        run = made[-1].id
        db.add_all(Prediction(run_id=run, image_id=one.image_id, logit=0.0, probability=0.995) for one in told)
    yield
    with database.transaction(engine) as db:
        db.execute(delete(Prediction).where(Prediction.run_id == run))
        for one in made:
            db.delete(db.merge(one))
    engine.dispose()


@pytest.mark.parametrize("path", ["/", "/reports", "/case?image=1"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1440, 900)])
def test_no_table_is_cut_off(visit: Visit, much_measured: None, path: str, width: int, height: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": height})
    visit.open(path)
    tables = visit.page.locator(".wide")
    expect(tables.first).to_be_visible()
    sizes = tables.evaluate_all("tables => tables.map((one) => [one.innerText, one.scrollWidth - one.clientWidth])")
    assert [text for text, beyond in sizes if beyond > 0] == []
