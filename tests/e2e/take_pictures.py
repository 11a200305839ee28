"""python -m tests.e2e.take_pictures [FOLDER]: every page of the dashboard as a PNG, in the light and the dark theme.

What PNEUMOSCOPE_ARTIFACTS or DATABASE_URL names is served on a free port and looked at in Debian's Chromium; FOLDER is
docs/pictures unless told otherwise, the dark ones are called NAME-dark.png. `make pictures` runs this.
"""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).parent.parent.parent
WIDTH = 1440
HEIGHTS = {
    "case": 1500,
    "altered": 1300,
    "map": 1200,
    "search-words": 1000,
    "reports": 1000,
    "overview": 1000,
    "run": 1300,
    "stress": 1450,
}
"""Heights of pages that are not 900 pixels high."""
SLOW = 120_000
"""Timeout in milliseconds for a page that first loads a model."""


@contextmanager
def served() -> Iterator[str]:
    """The dashboard's address while it runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", str(port)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                try:
                    urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.2)  # until the server listens
            else:
                raise SystemExit("error: the dashboard did not answer within a minute")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def opened(page: Page, address: str) -> None:
    """Open a URL and wait until the page is stable."""
    page.goto(address)
    page.locator("h1").first.wait_for(timeout=SLOW)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached", timeout=SLOW)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)


def places(page: Page, root: str) -> dict[str, str]:
    """Name and URL of each picture, for the most wrong case in the database and pages derived from it."""
    opened(page, f"{root}/cases?outcome=wrong")
    first = page.locator("a.card").first.get_attribute("href") or ""
    case = re.search(r"image=(\d+)", first)
    found = {"overview": "/", "cases": "/cases?outcome=wrong", "reports": "/reports", "runs": "/runs"}
    found["map"] = "/map?colour=outcome"
    if case:
        found["case"] = f"/case?outcome=wrong&image={case[1]}"
        found["search"] = f"/search?by=image&image={case[1]}"
    found["threshold"] = "/cases?split=test&threshold=0.6"
    found["reviews"] = "/reviews?reviewer=A+reader"
    found["search-words"] = "/search?by=words&q=opacity+in+the+right+lower+zone&split=test"
    runs = listed(page, f"{root}/runs?kind=predict")
    audits = listed(page, f"{root}{found['case']}", table="Audit results of this case") if case else []
    if audits:
        found["stress"] = f"/runs?run={audits[0]}"
        opened(page, f"{root}{found['stress']}")
        altered = page.locator("a.card[href*='altered=']")
        if altered.count():
            found["altered"] = altered.last.get_attribute("href") or ""
    current = re.search(r"run=(\d+)", first)
    shown = list(dict.fromkeys([*([current[1]] if current else []), *runs]))[:2]
    if shown:
        found["run"] = f"/runs?run={shown[0]}"
    if len(shown) > 1:
        found["comparison"] = f"/runs?run={shown[0]}&against={shown[1]}"
    return found


def listed(page: Page, address: str, *, table: str = "") -> list[str]:
    """The ids of the runs that are linked in the page's tables whose caption contains `table`, in their order."""
    opened(page, address)
    cells = page.locator("table", has=page.locator("caption", has_text=table)).locator("td a, th a")
    links = [link.get_attribute("href") or "" for link in cells.all()]
    return [match[1] for link in links if (match := re.search(r"run=(\d+)", link))]


def boxed(page: Page) -> None:
    """Drag a box over the middle of the map, if there is one, and wait for its images."""
    drawing = page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg.marks)")
    if not drawing.count():
        return
    place = drawing.first.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 0.43 * place["width"], place["y"] + 0.38 * place["height"])
    page.mouse.down()
    page.mouse.move(place["x"] + 0.57 * place["width"], place["y"] + 0.68 * place["height"], steps=5)
    page.mouse.up()
    page.locator("a.card").first.wait_for(timeout=SLOW)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1000)


def main(folder: Path) -> None:
    """Take all pictures."""
    chromium = shutil.which("chromium")
    with served() as root, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        wanted = places(browser.new_page(), root)
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            for name, path in wanted.items():
                page.set_viewport_size({"width": WIDTH, "height": HEIGHTS.get(name, 900)})
                opened(page, f"{root}{path}")
                file = folder / (f"{name}-dark.png" if scheme == "dark" else f"{name}.png")
                start = {
                    "comparison": page.get_by_role("heading", name="Compare"),
                    "stress": page.get_by_test_id("stVegaLiteChart").filter(has_text="Stress tests"),
                }.get(name)
                if start is not None and start.count():
                    start.first.evaluate("element => element.scrollIntoView()")
                    page.wait_for_timeout(600)
                if name == "map":
                    boxed(page)
                page.screenshot(path=file)
                print(file, file.stat().st_size // 1000, "kB")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "pictures")
