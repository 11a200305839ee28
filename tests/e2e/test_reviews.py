"""A reader's session in a real browser: blind reviews by keyboard, undo, and CSV download."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import delete

from db import session as database
from db.models import Review
from db.review_rules import NAME_LENGTH
from tests.e2e.visiting import Visit
from tests.sample import Film

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

NAME = re.compile(r"[?&]film=([0-9a-f]{16})")


WHOLE = """() => {
  const read = (root) => [root.innerHTML, ...[...root.querySelectorAll("*")]
    .filter((element) => element.shadowRoot).map((element) => read(element.shadowRoot))].join("\\n");
  return read(document.documentElement);
}"""
"""The page's markup, that of the components in it included."""


def judged(visit: Visit, number: int, total: int = 20) -> None:
    expect(visit.page.get_by_text(f"{number} of {total} reviewed")).to_be_visible()
    visit.drawn()


def test_three_images_are_reviewed_by_keyboard_one_is_undone_and_all_are_downloaded_as_csv(
    visit: Visit, pictures: list[Film], tmp_path: Path
) -> None:
    page = visit.page
    visit.open("/reviews")
    expect(page.get_by_text("Enter your name first")).to_be_visible()
    page.get_by_label("Your name").fill("Anna")
    page.get_by_label("Your name").press("Enter")
    judged(visit, 0)
    seen = []
    for number, key in enumerate("213", start=1):
        expect(page.get_by_role("button", name="Skip for now")).to_be_visible()
        page.keyboard.press("ArrowRight")  # no key of this page
        page.keyboard.press(key)
        judged(visit, number)
        expect(page.get_by_role("table")).to_contain_text("Your verdict")
        found = NAME.search(page.url)
        assert found is not None
        seen.append(found[1])
        page.keyboard.press("n")
        expect(page).not_to_have_url(NAME)
        visit.drawn()
    assert len(set(seen)) == 3
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile(f"film={seen[2]}"))
    judged(visit, 2)
    expect(page.get_by_role("button", name="Skip for now")).to_be_visible()
    page.reload()
    judged(visit, 2)
    page.locator("h1").first.click()
    page.keyboard.press("4")
    judged(visit, 3)
    page.get_by_role("radio", name="All reviews").click()
    expect(page.get_by_text("3 reviews")).to_be_visible()
    visit.drawn()
    with page.expect_download() as download:
        page.get_by_role("button", name="Reviews as CSV").click()
    file = tmp_path / "reviews.csv"
    download.value.save_as(file)
    rows = list(csv.DictReader(file.open(newline="")))
    assert [row["verdict"] for row in rows] == ["unreadable", "pneumonia", "normal"]
    assert [row["sha256"][:16] for row in rows] == list(reversed(seen))
    assert {row["reviewer"] for row in rows} == {"Anna"}
    assert {row["file"] for row in rows} <= {film.path for film in pictures}


def test_a_double_click_stores_one_verdict_with_the_note_that_was_just_typed(visit: Visit) -> None:
    page = visit.page
    visit.open("/reviews?reviewer=Ben")
    note = page.get_by_label("Note")
    note.fill("seen 1 tube, 2 lines")
    note.press("1")  # typed, not given
    expect(page.get_by_text("0 of 20 reviewed")).to_be_visible()
    page.get_by_role("combobox", name="Tags").fill("tube")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Normal").dblclick()
    judged(visit, 1)
    expect(page.get_by_text("in the meantime")).to_have_count(0)
    visit.open("/reviews?view=list&by=Ben")
    expect(page.get_by_text("1 review")).to_be_visible()
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("seen 1 tube, 2 lines1")
    expect(row.get_by_role("cell").nth(5)).to_have_text("tube")


def test_no_file_name_label_or_number_is_in_the_page_before_the_verdict(visit: Visit, pictures: list[Film]) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit.open("/reviews?reviewer=Carla&split=all")
    judged(visit, 0, 60)
    expect(page.get_by_label("Chest radiograph").first).to_be_visible()
    assert len({url for url in asked if re.search(r"/app/static/image/[0-9a-f]{64}$", url)}) == 1
    whole = "\n".join([page.evaluate(WHOLE), *asked])
    assert "Chest radiograph" in whole
    for film in pictures:
        assert Path(film.path).stem not in whole
    for word in ("bacterial", "viral", "Opacity", "lungs are clear", "% pneumonia"):
        assert word not in whole
    page.get_by_role("button", name="Uncertain").click()
    judged(visit, 1, 60)
    expect(page.get_by_role("table")).to_contain_text("Label")


def test_an_image_is_reviewed_on_a_phone(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 844})
    visit.open("/reviews?reviewer=Dora")
    page.get_by_role("button", name="Uncertain").click()
    judged(visit, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.fixture
def named_at_length(folder: Path, address: str) -> Iterator[None]:
    """Two readers with names of maximum length, one of them a single word, who reviewed the same images."""
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    names = ["Radiologist" * 10, "Professor of radiology " * 5]
    said = {"verdict": "normal", "note": "opacity" * 40}
    with database.transaction(engine) as db:
        db.add_all(Review(image_id=n, reviewer=name[:NAME_LENGTH], **said) for name in names for n in range(1, 21))
    yield
    with database.transaction(engine) as db:
        db.execute(delete(Review).where(Review.note == said["note"]))
    engine.dispose()


@pytest.mark.parametrize("view", ["agreement", "list"])
def test_no_name_or_note_pushes_a_table_off_the_page(visit: Visit, named_at_length: None, view: str) -> None:
    visit.open(f"/reviews?split=all&view={view}")
    tables = visit.page.locator(".wide")
    expect(tables.first).to_be_visible()
    for at in range(tables.count()):
        assert tables.nth(at).evaluate("table => table.scrollWidth - table.clientWidth") <= 0
