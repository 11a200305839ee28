"""The journeys that the pages are for, each from its question to its end, in a real browser."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from sqlalchemy import select

from dashboard.components.wording import JOINER
from db import session as database
from db.models import Report
from tests.e2e.served import free_port, running, serve
from tests.e2e.visiting import Visit
from tests.sample import films

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SESSIONS = 20


def test_from_a_failure_to_why_to_similar_cases_to_the_report_to_a_review(visit: Visit) -> None:
    page = visit.page
    visit.open("/")
    page.get_by_role("link", name="False positives (FP)").click()
    expect(page).to_have_url(f"{visit.address}/cases?outcome=FP&run=3")
    page.locator("a.card").first.click()
    expect(page.get_by_role("heading", name="False positive: normal")).to_be_visible()
    expect(page.get_by_text("Evidence for pneumonia (Grad-CAM), scaled to this image's maximum")).to_be_visible()
    expect(page.get_by_role("heading", name="Similar cases")).to_be_visible()
    expect(page.get_by_role("heading", name="Reports (4)")).to_be_visible()
    case = page.url
    page.get_by_role("link", name="Review this case").click()
    page.get_by_label("Your name").fill("Reader One")
    page.get_by_label("Your name").press("Enter")
    page.get_by_role("button", name="Normal").click()
    expect(page.get_by_role("table").first).to_contain_text("Your verdict")
    image = re.search(r"image=(\d+)", case)[1]  # type: ignore[index]
    visit.open(f"/case?image={image}")
    expect(page.get_by_role("table").filter(has_text="Reader One")).to_contain_text("Normal")


def test_from_a_threshold_to_what_changes_side_to_a_file_of_it(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.open("/cases?split=test")
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    expect(page).to_have_url(re.compile(r"threshold=0\.\d+"))
    link = page.get_by_role("link", name="Show changed predictions")
    expect(link).to_be_visible()
    page.wait_for_timeout(500)  # until the last of the keys has been heard
    visit.drawn()
    number = int(re.search(r"\((\d+)\)", link.inner_text())[1])  # type: ignore[index]
    link.click()
    expect(page).to_have_url(re.compile("moved=yes"))
    expect(page.locator("a.card")).to_have_count(number)
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    file = tmp_path / "cases.csv"
    saved.value.save_as(file)
    with file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    threshold = float(re.search(r"threshold=([\d.]+)", page.url)[1])  # type: ignore[index]
    assert len(rows) == number
    assert all((float(row["probability"]) >= threshold) == (row["outcome"] in ("TP", "FP")) for row in rows)


def test_picked_cases_are_tagged_and_found_by_the_tag(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases?sort=file&split=test")
    boxes = page.locator("input.pick")
    boxes.nth(0).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    page.get_by_role("button", name="Tag", exact=True).click()
    field = page.get_by_role("combobox", name="Tag")
    field.fill("low inspiration")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Tag 4 cases").click()
    expect(page.get_by_text("Tag low inspiration: added to 4 cases.")).to_be_visible()
    visit.open("/cases?tag=low+inspiration")
    expect(page.get_by_text("4 distinct images.")).to_be_visible()
    expect(page.locator("a.card")).to_have_count(4)


def test_several_tags_are_put_on_one_after_the_other(visit: Visit) -> None:
    page = visit.page
    visit.open("/cases?sort=file&split=test&chosen=1.2")
    page.get_by_role("button", name="Tag", exact=True).click()
    for name in ("rotated", "expiration", "device"):
        page.get_by_test_id("stPopoverBody").get_by_role("combobox", name="Tag").fill(name)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Tag 2 cases").click()
        expect(page.get_by_text(f"Tag {name}: added to 2 cases.")).to_be_visible()
        visit.drawn()


def test_what_was_picked_before_the_server_restarted_is_cleared_for_good(chromium: Browser, tmp_path: Path) -> None:
    port = free_port()
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    boxes = page.locator("input.pick")
    with serve(tmp_path, films(8), port=port, reported=1) as served:
        page.goto(f"{served.address}/cases?sort=file")
        for number in range(2):
            boxes.nth(number).click()
            expect(page.get_by_text(f"{number + 1} selected")).to_be_visible()
    connected = page.locator("[data-testid=stApp][data-test-connection-state=CONNECTED]")
    expect(connected).to_have_count(0)
    with running(tmp_path, port=port):
        expect(connected).to_be_attached()
        page.get_by_role("button", name="Clear selection").click()
        expect(page.get_by_text("that match", exact=False).first).to_be_visible()
        expect(page.locator("input.pick:checked")).to_have_count(0)
        boxes.nth(2).click()
        expect(page.get_by_text("1 selected")).to_be_visible()
        expect(page.locator("input.pick:checked")).to_have_count(1)
        page.close()


def test_from_a_disagreement_to_the_reports_side_by_side(visit: Visit) -> None:
    page = visit.page
    visit.open("/reports?queue=against")
    page.locator("a.card").first.click()
    expect(page.get_by_role("heading", name="Reports (4)")).to_be_visible()
    page.get_by_text("Compare two reports").click()
    expect(page.get_by_text("Choose two reports", exact=False)).to_be_visible()


def test_a_report_is_read_as_it_was_written(visit: Visit, folder: Path) -> None:
    text = "FINDINGS\n====\n\n    - Opacity on the right\n    - size &lt; 5 cm -> small"
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    with database.transaction(engine) as db:
        report = db.scalars(select(Report).order_by(Report.id)).first()
        assert report is not None
        report.text, image = text, report.image_id
    engine.dispose()
    visit.open(f"/case?image={image}")
    shown = visit.page.get_by_test_id("stMarkdownContainer").filter(has_text="Opacity on the right").first
    assert shown.inner_text().replace("\N{NO-BREAK SPACE}", " ").replace(JOINER, "") == text


@pytest.mark.parametrize(
    "path",
    [
        "/cases?split=test&label=pneumonia&threshold=0.3&look=table",
        "/cases?chosen=3.1&outcome=wrong",
        "/case?image=1&split=test&opacity=0.7&invert=1",
        "/search?by=image&image=1&k=6&label=normal",
        "/reports?strategy=basic&label=pneumonia",
        "/runs?kind=report",
    ],
)
def test_a_link_pasted_into_a_new_browser_gives_the_same_view(visit: Visit, chromium: Browser, path: str) -> None:
    visit.open(path)
    seen = settled(visit)
    address = visit.page.url
    other = chromium.new_context(viewport={"width": 1440, "height": 900})
    fresh = Visit(other.new_page(), visit.address)
    fresh.page.goto(address)
    assert settled(fresh) == seen
    assert fresh.page.url == address
    other.close()


def settled(visit: Visit) -> str:
    """The page's text, how long ago things were left out, once it no longer changes."""
    before, now = None, ""
    while before != now:
        before = now
        visit.page.wait_for_timeout(700)
        visit.drawn()
        now = re.sub(r"[\d.]+ \w+ ago", "", visit.page.get_by_test_id("stMain").inner_text())
    return now


def test_twenty_sessions_at_once_each_get_their_own_view(profile: BrowserContext, address: str) -> None:
    pages = [profile.new_page() for _ in range(SESSIONS)]  # a tab is a session
    for number, page in enumerate(pages):
        page.goto(f"{address}/case?image={number + 1}", wait_until="commit")
    for number, page in enumerate(pages):
        expect(page.get_by_role("row", name=f"Image {number + 1}", exact=True)).to_be_visible(timeout=120_000)
        assert page.get_by_test_id("stException").count() == 0
    for page in pages:
        page.close()
