"""Search and near-duplicates in a real browser: an image from the clipboard, and a near-duplicate in another split."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from playwright.sync_api import Locator, expect

from jobs import duplicates
from tests.e2e.visiting import Visit
from tests.sample import Film, films

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PASTE = """(target, given) => {
  const bytes = Uint8Array.from(atob(given.picture), (one) => one.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], "image.png", { type: "image/png" }));
  if (given.text) held.setData("text/plain", given.text);
  const way = { bubbles: true, composed: true, cancelable: true };
  target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: held, ...way }));
}"""
COPY = """async (given) => {
  const bytes = Uint8Array.from(atob(given), (one) => one.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""


def brighter(film: Film) -> bytes:
    """The image as a PNG, slightly brighter, so that it is not a file of the dataset."""
    stream = io.BytesIO()
    grey = np.asarray(Picture.open(io.BytesIO(film.data)).convert("L"))
    Picture.fromarray(np.clip(grey.astype(int) + 3, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[Film]:
    """60 images, with the first of train repeated in test under another name."""
    made = films(60)
    first = next(film for film in made if film.split == "train")
    return [*made, replace(first, data=brighter(first), path="test/NORMAL/twin.png", split="test")]


def hits(visit: Visit) -> Locator:
    return visit.page.locator("a.card:has-text('Similarity')")


def ready(visit: Visit) -> None:
    """Open the search by image, and wait until it listens to the clipboard."""
    visit.open("/search")
    expect(visit.page.locator("span.pasting")).to_be_attached()


def pasted(visit: Visit, target: str, picture: bytes, text: str = "") -> None:
    given = {"picture": base64.b64encode(picture).decode(), "text": text}
    visit.page.locator(target).first.evaluate(PASTE, given)


@pytest.mark.parametrize("target", ["body", "[data-testid=stFileUploaderDropzone]", "[role=radio]"])
def test_a_picture_pasted_anywhere_on_the_page_gets_similar_cases(
    visit: Visit, pictures: list[Film], target: str
) -> None:
    ready(visit)
    for film in pictures[1:3]:
        pasted(visit, target, brighter(film))
        expect(hits(visit)).to_have_count(12, timeout=90_000)
        expect(visit.page.get_by_text("image.png, PNG, 64 x 64 pixels")).to_be_visible()
        expect(visit.page.locator("a.card .line").get_by_text(Path(film.path).name).first).to_be_visible()


def test_a_filter_keeps_the_picture_and_another_picture_keeps_the_filter(visit: Visit, pictures: list[Film]) -> None:
    ready(visit)
    pasted(visit, "body", brighter(pictures[1]))
    expect(hits(visit)).to_have_count(12, timeout=90_000)
    visit.page.get_by_role("radio", name="6", exact=True).click()
    expect(hits(visit)).to_have_count(6)
    expect(visit.page).to_have_url(f"{visit.address}/search?k=6&run=3&index=imagenet-lite0")
    before = hits(visit).all_inner_texts()
    pasted(visit, "body", brighter(pictures[2]))
    expect(hits(visit).get_by_text(Path(pictures[2].path).name)).to_be_visible()
    expect(hits(visit)).to_have_count(6)
    assert hits(visit).all_inner_texts() != before
    found = hits(visit).all_inner_texts()
    hits(visit).first.click()
    expect(visit.page.get_by_role("heading", name="Similar cases")).to_be_visible()
    expect(visit.page.get_by_text("in the list")).to_have_count(0)
    visit.page.get_by_role("link", name="Back to search").click()
    expect(hits(visit)).to_have_text(found, use_inner_text=True)
    expect(visit.page).to_have_url(f"{visit.address}/search?k=6&run=3&index=imagenet-lite0")


def test_ctrl_v_pastes_what_the_clipboard_holds(visit: Visit, pictures: list[Film]) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ready(visit)
    visit.page.evaluate(COPY, base64.b64encode(brighter(pictures[1])).decode())
    visit.page.keyboard.press("Control+v")
    expect(hits(visit)).to_have_count(12, timeout=90_000)


def test_a_text_pasted_with_its_picture_stays_where_it_was_meant(visit: Visit, pictures: list[Film]) -> None:
    ready(visit)
    visit.page.evaluate("document.body.prepend(document.createElement('textarea'))")
    pasted(visit, "textarea", brighter(pictures[1]), text="opacity")
    pasted(visit, "body", b"no picture")
    expect(visit.page.get_by_text("file image.png cannot be used: neither an image nor DICOM")).to_be_visible()
    expect(hits(visit)).to_have_count(0)


def test_another_way_of_asking_takes_no_picture(visit: Visit, pictures: list[Film]) -> None:
    ready(visit)
    visit.page.get_by_role("radio", name="Text", exact=True).click()
    expect(visit.page.locator("span.pasting")).to_have_count(0)
    pasted(visit, "body", brighter(pictures[1]))
    visit.page.get_by_role("radio", name="Upload an image").click()
    expect(visit.page.get_by_test_id("stFileUploaderDropzone")).to_be_visible()
    visit.drawn()
    expect(hits(visit)).to_have_count(0)


def test_a_near_duplicate_leads_to_its_twin_and_back_and_is_counted_and_filtered(
    visit: Visit, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = visit.page
    options = ["--database", f"sqlite:///{folder / 'pneumoscope.db'}", "--artifacts", str(folder / "artifacts")]
    assert duplicates.main(options) == 0
    assert "1 near-duplicate and 0 possible pairs" in capsys.readouterr().out
    visit.open("/cases?twins=apart&sort=file")
    expect(page.get_by_text("2 distinct images")).to_be_visible()
    expect(page.get_by_role("radio", name="In another split")).to_be_checked()
    page.locator("a.card").first.click()
    expect(page.get_by_role("heading", name="Near-duplicates")).to_be_visible()
    expect(page.get_by_text("A near-duplicate is in test")).to_be_visible()
    twin = page.get_by_role("link", name="twin.png").last
    expect(twin).to_contain_text("of 256 hash bits differ")
    expect(twin).to_contain_text("different patient key")
    twin.click()
    expect(page.get_by_text("A near-duplicate is in train")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("A near-duplicate is in test")).to_be_visible()
    visit.open("/")
    page.get_by_role("link", name="Near-duplicate pairs across splits").click()
    expect(page.get_by_text("2 distinct images")).to_be_visible()
