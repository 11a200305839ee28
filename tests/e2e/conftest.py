"""A served dashboard and Debian's own browser, for each file of journeys."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, ViewportSize, expect, sync_playwright

from engine.retrieval.embedders import load_embedder
from tests.e2e.served import serve
from tests.e2e.visiting import Visit
from tests.sample import Film, films

DESKTOP: ViewportSize = {"width": 1440, "height": 900}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

expect.set_options(timeout=20_000)  # milliseconds; on a busy machine a page takes more than the usual five seconds


@pytest.fixture(scope="module")
def pictures() -> list[Film]:
    return films(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The served folder: artifacts, database, and the images in a subfolder "films"."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(folder: Path, pictures: list[Film]) -> Iterator[str]:
    """Where the dashboard is served, over a sample whose index real ImageNet features made."""
    with serve(folder, pictures, reported=20, embedder=load_embedder("imagenet-lite0")) as served:
        yield served.address
    assert "Traceback" not in served.log.read_text()


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    """Playwright itself."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def executable() -> str:
    """The path of Debian's own browser; where it is missing the tests fail rather than skip."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("the browser tests need chromium, which is not installed; get it with: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def chromium(driver: Playwright, executable: str) -> Iterator[Browser]:
    """A browser for tests that need a context of their own."""
    browser = driver.chromium.launch(executable_path=executable, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def profile(driver: Playwright, executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with a profile on disk: unlike other contexts it compiles the frontend's scripts only once."""
    opened = driver.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"), executable_path=executable, args=FLAGS, viewport=DESKTOP
    )
    yield opened
    opened.close()


@pytest.fixture
def visit(profile: BrowserContext, address: str) -> Iterator[Visit]:
    """A fresh session in a tab of its own; at its end nothing may have gone wrong in it."""
    profile.clear_cookies()
    made = Visit(profile.new_page(), address)
    made.page.on("console", made.heard)
    made.page.on("pageerror", lambda error: made.complaints.append(f"script: {error}"))
    made.page.on("request", made.asked)
    yield made
    assert made.page.get_by_test_id("stException").count() == 0
    made.page.close()
    assert made.complaints == []
