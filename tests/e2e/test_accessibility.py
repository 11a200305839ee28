"""Does axe-core find a serious violation of WCAG 2.1 AA on any page, in either theme, wide or on a phone, and do its
headings tell how it is made?"""

from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from db import session as database
from db.models import Run
from tests.e2e.visiting import Visit
from tests.referring import measure_coverages
from tests.sample import THRESHOLD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

Scheme = Literal["light", "dark"]

PLACES = {
    "overview": "/",
    "cases": "/cases?outcome=wrong&threshold=0.3&chosen=1",
    "cases-table": "/cases?look=table",
    "case": "/case?image=1&split=test&sort=file",
    "reports": "/reports",
    "search": "/search?by=image&image=1",
    "map": "/map",
    "reviews": "/reviews?reviewer=A",
    "runs": "/runs",
    "run": "/runs?run=2",
}
LINKS = 7
"""To the pages, in the sidebar."""
MORE = ("label-content-name-mismatch", "empty-table-header")
"""Rules that are none of those, or trivial to axe, and hold here."""
OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "rules": {rule: {"enabled": True} for rule in MORE},
}
STREAMLITS: dict[str, str] = {}
"""Rule -> part of a selector of Streamlit's own markup that breaks it, which no page of ours can mend."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(PLACES))
def test_axe_finds_no_serious_violation_and_headings_skip_no_level(visit: Visit, name: str, scheme: Scheme) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    visit.open(PLACES[name])
    shown = visit.page.locator("h1, h2, h3, h4, h5, h6").filter(visible=True)
    levels = [int(tag[1]) for tag in shown.evaluate_all("found => found.map((one) => one.tagName)")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert serious(visit.page) == []


@pytest.fixture(scope="module")
def covered(folder: Path, address: str) -> str:
    """The path of a predict run that the evaluation has measured by coverage."""
    engine = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    with database.transaction(engine) as db:
        run = db.query(Run).filter_by(kind="predict").order_by(Run.id).first()
        assert run is not None
        measure_coverages(db, run, split="test", threshold=THRESHOLD)
        path = f"/runs?run={run.id}"
    engine.dispose()
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accuracy_by_coverage_has_a_name_and_axe_finds_nothing(visit: Visit, covered: str, scheme: Scheme) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    visit.open(covered)
    chart = visit.page.locator(".stVegaLiteChart[aria-label^='Line chart, accuracy by coverage: ']")
    expect(chart).to_be_visible()
    expect(chart.locator(".mark-area path")).to_have_count(1)
    expect(visit.page.get_by_role("table", name="The classifier by coverage")).to_be_visible()
    assert serious(visit.page) == []


def test_where_the_keyboard_is_can_be_seen_on_every_link_of_the_navigation(visit: Visit) -> None:
    visit.open("/cases")
    links = visit.page.get_by_test_id("stSidebar").get_by_role("link")
    expect(links).to_have_count(LINKS)
    for number in range(LINKS):
        visit.page.keyboard.press("Tab")
        while not links.nth(number).evaluate("link => link === document.activeElement"):
            visit.page.keyboard.press("Tab")
        outline = links.nth(number).evaluate("link => getComputedStyle(link).outlineStyle")
        assert outline == "solid", links.nth(number).inner_text()


def test_the_buttons_of_a_chart_can_be_seen_once_the_keyboard_is_on_them(visit: Visit) -> None:
    visit.open("/runs?run=2")
    button = visit.page.get_by_role("button", name="Fullscreen").first
    visit.page.keyboard.press("Tab")
    button.focus()
    visit.page.wait_for_timeout(500)  # until they have faded in
    seen = "one => one ? Number(getComputedStyle(one).opacity) * seen(one.parentElement) : 1"
    assert button.evaluate(f"button => {{ const seen = {seen}; return seen(button); }}") == 1


@pytest.mark.parametrize("name", ["cases", "case", "search", "reviews"])
def test_a_page_fits_a_phone_and_axe_finds_nothing(chromium: Browser, address: str, name: str) -> None:
    context = chromium.new_context(viewport={"width": 400, "height": 800}, has_touch=True)
    visit = Visit(context.new_page(), address)
    visit.open(PLACES[name])
    expect(visit.page.get_by_test_id("stSidebar")).not_to_be_in_viewport()
    expect(visit.page.get_by_test_id("stSidebar").get_by_role("link")).to_have_count(LINKS)
    assert visit.page.evaluate("document.scrollingElement.scrollWidth") <= 400
    assert serious(visit.page) == []
    context.close()


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical, or finds by MORE, a line for each element."""
    page.wait_for_timeout(500)  # until nothing fades any more, which would lower contrasts
    found = Axe().run(page, options=OPTIONS)
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}: {node['html'][:160]}"
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical") or violation["id"] in MORE
        for node in violation["nodes"]
        if STREAMLITS.get(violation["id"], "\0") not in str(node["target"])
    ]
