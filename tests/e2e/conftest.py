"""A served dashboard and Debian's own browser, for each file of journeys."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from engine.retrieval.embedders import load_embedder
from tests.e2e.served import serve
from tests.e2e.visiting import Visit
from tests.sample import Film, films

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
def chromium() -> Iterator[Browser]:
    """Debian's own browser; where it is missing the tests fail rather than skip."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("the browser tests need chromium, which is not installed; get it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, address: str) -> Iterator[Visit]:
    """A fresh session; at its end nothing may have gone wrong in it."""
    context: BrowserContext = chromium.new_context(viewport={"width": 1440, "height": 900})
    made = Visit(context.new_page(), address)
    made.page.on("console", made.heard)
    made.page.on("pageerror", lambda error: made.complaints.append(f"script: {error}"))
    made.page.on("request", made.asked)
    yield made
    assert made.page.get_by_test_id("stException").count() == 0
    context.close()
    assert made.complaints == []
