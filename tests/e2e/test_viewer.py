"""The viewer on the case page, tested by its pixels: window, inversion, heatmap, zoom, and their URL parameters."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from playwright.sync_api import Locator, Page, expect

from engine.imaging.images import decode
from engine.imaging.overlays import overlay
from tests.e2e.visiting import Visit
from tests.sample import Film

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SIDE = 64
"""Of the sample's films."""
READ = """async (canvas, side) => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  const left = Math.round(canvas.width / 2 - side / 2), top = Math.round(canvas.height / 2 - side / 2);
  return [...canvas.getContext("2d").getImageData(left, top, side, side).data];
}"""
SCALE = """async (span) => {
  do for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  while (!span.textContent);
  return parseInt(span.textContent);
}"""
EMPTY = """async (stage, sides) => {
  const empty = [], canvas = stage.querySelector("canvas");
  for (const side of sides) {
    stage.style.cssText = `width: ${side}px; height: ${side}px; aspect-ratio: auto`;
    do await new Promise(requestAnimationFrame); while (canvas.width !== side);
    const [, , , alpha] = canvas.getContext("2d").getImageData(side / 2, side / 2, 1, 1).data;
    if (alpha !== 255) empty.push(side);
  }
  return empty;
}"""
STEP_ON_INVERT = """() => {
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    push(state, title, url);
    if (!String(url).includes("invert=1")) return;
    history.pushState = push;
    setTimeout(() => document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" })), 40);
  };
}"""
"""Steps to the next case once the URL holds the change, while the links on the page still lack it."""
CASE = "/case?split=test&sort=file&image=1"


def canvas(page: Page) -> Locator:
    return page.locator(".viewer canvas")


def scale(page: Page) -> int:
    """Screen pixels per image pixel, in percent, once an image is drawn."""
    return int(page.locator(".viewer .scale").evaluate(SCALE))


def drawn(page: Page) -> NDArray[np.int64]:
    """The pixels (64, 64, 3) in the middle of the canvas; at 1:1 they are those of the image."""
    if scale(page) != 100:
        page.get_by_role("button", name="one image pixel per screen pixel").click()
        expect(page.locator(".viewer .scale")).to_have_text("100 %")
    return np.array(canvas(page).evaluate(READ, SIDE)).reshape(SIDE, SIDE, 4)[..., :3]


def levels(film: Film) -> NDArray[np.uint8]:
    return decode(film.data).pixels


def windowed(grey: NDArray[np.uint8], *, window: int, centre: int) -> NDArray[np.int64]:
    """DICOM PS3.3, C.11.2.1.2.1, as it is written there."""
    low, high = centre - 0.5 - (window - 1) / 2, centre - 0.5 + (window - 1) / 2
    x = grey.astype(float)
    y = ((x - (centre - 0.5)) / max(window - 1, 1) + 0.5) * 255
    return np.floor(np.where(x <= low, 0, np.where(x > high, 255, y)) + 0.5).astype(np.int64)


def grey(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(values[..., None], 3, axis=2)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name)


def test_a_film_without_window_and_heatmap_is_drawn_as_it_was_ingested(visit: Visit, pictures: list[Film]) -> None:
    visit.open(f"{CASE}&opacity=0")
    assert (drawn(visit.page) == levels(pictures[0])[..., None]).all()


def test_i_inverts_every_pixel_and_goes_into_the_address(visit: Visit, pictures: list[Film]) -> None:
    visit.open(f"{CASE}&opacity=0")
    assert scale(visit.page) > 100
    visit.page.keyboard.press("i")
    assert (drawn(visit.page) == 255 - levels(pictures[0])[..., None].astype(int)).all()
    expect(visit.page).to_have_url(re.compile(r"[?&]invert=1(&|$)"))
    visit.page.keyboard.press("i")
    assert (drawn(visit.page) == levels(pictures[0])[..., None]).all()
    expect(visit.page).not_to_have_url(re.compile("invert"))


@pytest.mark.parametrize(("window", "centre"), [(60, 65), (1, 70), (256, 60), (20, 255)])
def test_a_window_in_the_link_maps_grey_levels_by_the_formula_of_dicom(
    visit: Visit, pictures: list[Film], window: int, centre: int
) -> None:
    visit.open(f"{CASE}&opacity=0&window={window}&centre={centre}")
    assert (drawn(visit.page) == grey(windowed(levels(pictures[0]), window=window, centre=centre))).all()


def test_a_link_reproduces_the_whole_view(visit: Visit, pictures: list[Film], folder: Path) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0.8&window=90&centre=80&invert=1")
    expect(slider(page, "Window width")).to_have_value("90")
    expect(slider(page, "Window centre")).to_have_value("80")
    expect(slider(page, "Heatmap opacity")).to_have_value("80")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    film = 255 - windowed(levels(pictures[0]), window=90, centre=80)
    heat = np.load(folder / "artifacts" / "runs" / "0003-predict" / "heatmaps.npy")[0].astype(np.float32)
    expected = overlay(film.astype(np.uint8), heat, opacity=0.8).astype(int)
    assert np.abs(drawn(page) - expected).max() <= 6  # the layer is resampled once more on its way


def test_the_heatmap_keeps_its_colours_when_the_film_is_windowed_or_inverted(visit: Visit, folder: Path) -> None:
    heat = np.load(folder / "artifacts" / "runs" / "0003-predict" / "heatmaps.npy")[0].astype(np.float32)
    hottest = np.unravel_index(
        overlay(np.zeros((SIDE, SIDE), np.uint8), heat, opacity=1.0).sum(axis=2).argmax(), (64, 64)
    )
    seen = []
    for view in ("", "&invert=1", "&window=1&centre=60"):
        visit.open(f"{CASE}&opacity=1{view}")
        seen.append(drawn(visit.page)[hottest])
    assert np.ptp(seen, axis=0).max() <= 12  # of 255: the heat there is near 1, not 1
    assert seen[0].max() - seen[0].min() > 60


def test_opacity_zero_shows_no_colour_and_h_brings_it_back_without_another_request(visit: Visit) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit.open(f"{CASE}&opacity=0")
    assert np.ptp(drawn(page), axis=2).max() == 0
    expect(page.locator(".viewer .legend")).to_be_hidden()
    page.keyboard.press("h")
    assert np.ptp(drawn(page), axis=2).max() > 40
    expect(page.locator(".viewer .legend")).to_be_visible()
    expect(page).not_to_have_url(re.compile("opacity"))
    page.keyboard.press("h")
    assert np.ptp(drawn(page), axis=2).max() == 0
    expect(page).to_have_url(re.compile("opacity=0(&|$)"))
    assert len([url for url in asked if "/heat/" in url]) == 1


def test_the_image_is_drawn_whatever_the_size_of_the_viewer(visit: Visit) -> None:
    film = io.BytesIO()
    Picture.fromarray(np.full((224, 224), 100, np.uint8)).save(film, "PNG")  # 225 / (225 / 224) < 224 in a double
    visit.page.route("**/static/image/*", lambda route: route.fulfill(body=film.getvalue(), content_type="image/png"))
    visit.open(f"{CASE}&opacity=0")
    assert scale(visit.page) != 100
    assert visit.page.locator(".viewer .stage").evaluate(EMPTY, list(range(225, 300))) == []


def test_keys_zoom_and_fit(visit: Visit) -> None:
    page = visit.page
    visit.open(CASE)
    fitted = scale(page)
    for key, factor in (("+", 1.25), ("+", 1.5625), ("-", 1.25), ("0", 1.0), ("-", 1.0)):
        page.keyboard.press(key)
        assert abs(scale(page) - fitted * factor) <= 2, key


def test_the_wheel_zooms_about_the_pointer(visit: Visit) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0&window=1&centre=100")
    before = scale(page)
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 150)
    under = "canvas => [...canvas.getContext('2d').getImageData(100, 150, 1, 1).data]"
    seen = canvas(page).evaluate(under)
    page.mouse.wheel(0, -300)
    assert scale(page) > before * 1.3
    assert canvas(page).evaluate(under) == seen


def test_a_film_smaller_than_fitted_zooms_both_ways_and_lets_the_page_scroll_at_the_end(visit: Visit) -> None:
    page = visit.page
    visit.open(CASE)
    page.get_by_role("button", name="one image pixel per screen pixel").click()
    for key, shown in (("+", 125), ("+", 156), ("-", 125), ("-", 100), ("-", 100)):
        page.keyboard.press(key)
        assert scale(page) == shown, key
    canvas(page).hover(position={"x": 100, "y": 150})
    page.mouse.wheel(0, -100)
    expect(page.locator(".viewer .scale")).to_have_text("116 %")
    page.mouse.wheel(0, 300)
    expect(page.locator(".viewer .scale")).to_have_text("100 %")
    page.mouse.wheel(0, 200)
    page.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollTop > 0", timeout=5_000)
    assert scale(page) == 100


def test_zoom_and_place_survive_a_change_of_the_window_but_not_of_the_film(visit: Visit) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    fitted = scale(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 230)
    page.mouse.up()
    moved = canvas(page).evaluate(READ, SIDE)
    zoomed = scale(page)
    page.keyboard.press("i")
    expect(page).to_have_url(re.compile("invert=1"))
    visit.drawn()
    assert scale(page) == zoomed
    assert [255 - value for value in canvas(page).evaluate(READ, SIDE)[::4]] == moved[::4]
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    visit.drawn()
    assert scale(page) == fitted


def test_a_slider_redraws_while_it_moves_and_asks_the_server_once_it_is_released(
    visit: Visit, pictures: list[Film]
) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    drawn(page)
    address = page.url
    handle = slider(page, "Window width")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.wait_for_timeout(600)  # longer than the viewer waits after a release
    width = int(handle.input_value())
    assert 100 < width < 160
    assert (drawn(page) == grey(windowed(levels(pictures[0]), window=width, centre=128))).all()
    assert page.url == address
    page.mouse.up()
    expect(page).to_have_url(re.compile(f"window={width}(&|$)"))
    page.get_by_role("button", name="Reset window").click()
    assert (drawn(page) == levels(pictures[0])[..., None]).all()
    expect(page).to_have_url(re.compile(re.escape(address)))


@pytest.mark.parametrize("button", ["left", "right"])
def test_dragging_with_shift_or_the_right_button_sets_width_and_centre(visit: Visit, button: str) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0&window=100&centre=100")
    fitted = scale(page)
    box = canvas(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    if button == "left":
        page.keyboard.down("Shift")
    page.mouse.down(button="right" if button == "right" else "left")
    page.mouse.move(box["x"] + 250, box["y"] + 150, steps=3)
    page.mouse.up(button="right" if button == "right" else "left")
    page.keyboard.up("Shift")
    expect(slider(page, "Window width")).to_have_value("130")
    expect(slider(page, "Window centre")).to_have_value("70")
    expect(page).to_have_url(re.compile("window=130&centre=70"))
    assert scale(page) == fitted


def test_auto_spreads_the_levels_that_the_film_has(visit: Visit, pictures: list[Film]) -> None:
    visit.open(f"{CASE}&opacity=0")
    drawn(visit.page)
    visit.page.get_by_role("button", name="Window from the 0.5th").click()
    assert np.percentile(levels(pictures[0]), [0.5, 99.5]).tolist() == [40, 89]
    assert (drawn(visit.page) == grey(windowed(levels(pictures[0]), window=50, centre=65))).all()
    expect(visit.page).to_have_url(re.compile("window=50&centre=65"))


def test_walking_keeps_the_view_and_back_goes_one_film_back(visit: Visit, pictures: list[Film]) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0&window=90&centre=80&invert=1")
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    for number in (2, 3):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text(f"{number} of 20 in the list")).to_be_visible()
        visit.drawn()
    assert "opacity=0&window=90&centre=80&invert=1" in page.url
    assert (drawn(page) == 255 - grey(windowed(levels(pictures[6]), window=90, centre=80))).all()
    page.go_back()
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()


def test_a_change_just_before_the_next_film_is_not_lost(visit: Visit, pictures: list[Film]) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    drawn(page)
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    page.keyboard.press("i")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    expect(page).to_have_url(re.compile("image=4.*invert=1"))
    visit.drawn()
    assert (drawn(page) == 255 - levels(pictures[3])[..., None].astype(int)).all()


def test_a_change_that_is_answered_while_the_next_film_comes_is_not_lost(visit: Visit, pictures: list[Film]) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    drawn(page)
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    page.evaluate(STEP_ON_INVERT)
    page.keyboard.press("i")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()
    expect(page).to_have_url(re.compile("image=4.*invert=1"))
    visit.drawn()
    assert (drawn(page) == 255 - levels(pictures[3])[..., None].astype(int)).all()


def test_back_undoes_a_change_of_the_view(visit: Visit) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    before = drawn(page)
    page.keyboard.press("i")
    expect(page).to_have_url(re.compile("invert=1"))
    page.go_back()
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")
    assert (drawn(page) == before).all()


def test_arrow_keys_move_a_slider_that_has_the_focus_and_turn_films_otherwise(visit: Visit) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0.5")
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    slider(page, "Heatmap opacity").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("opacity=0.55"))
    expect(page.get_by_text("1 of 20 in the list")).to_be_visible()
    page.get_by_role("button", name="Invert").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 20 in the list")).to_be_visible()


def test_every_control_is_reached_by_tab_and_has_a_name(visit: Visit) -> None:
    page = visit.page
    visit.open(CASE)
    page.get_by_role("group", name="Radiograph viewer").focus()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("() => document.activeElement.shadowRoot?.activeElement?.ariaLabel || 'slider'"))
    assert names[:4] == [
        "Zoom out",
        "Zoom in",
        "Fit image to viewer",
        "1:1, one image pixel per screen pixel",
    ]
    assert names[4] == "Invert"
    assert (names[7:9], names[9:11]) == (["slider", "slider"], ["Heatmap", "slider"])
    expect(
        page.get_by_role("img", name=re.compile("Chest radiograph 1, normal.*heatmap: most heat in"))
    ).to_be_visible()


def test_keys_do_nothing_while_one_types(visit: Visit) -> None:
    page = visit.page
    visit.open(f"{CASE}&opacity=0")
    before = (drawn(page), page.url)
    page.evaluate("() => document.body.appendChild(document.createElement('textarea')).focus()")
    page.keyboard.type("i0h+-")
    page.wait_for_timeout(600)
    assert (drawn(page) == before[0]).all()
    assert page.url == before[1]


def test_two_fingers_zoom_and_a_phone_shows_the_whole_viewer(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 400, "height": 850})
    visit.open(CASE)
    fitted = scale(page)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 400
    viewer = page.locator(".viewer").bounding_box()
    assert viewer is not None
    assert viewer["x"] >= 0
    assert viewer["x"] + viewer["width"] <= 400
    for control in page.locator(".viewer :is(button, input)").all():
        box = control.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= viewer["x"] + viewer["width"] + 1
    box = canvas(page).bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    fingers = page.context.new_cdp_session(page)
    for apart, kind in ((40, "touchStart"), (60, "touchMove"), (80, "touchMove")):
        points = [{"x": middle[0] + way * apart, "y": middle[1], "id": at} for at, way in enumerate((-1, 1))]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert abs(scale(page) / fitted - 2) < 0.1


def test_a_film_whose_file_is_gone_says_so_in_its_place(visit: Visit, pictures: list[Film], folder: Path) -> None:
    film = pictures[57]
    (folder / "films" / film.path).unlink()
    visit.open("/case?image=58")
    expect(visit.page.get_by_text(f"file missing: file {film.path} is missing from")).to_be_visible()
    assert np.array(canvas(visit.page).evaluate(READ, SIDE)).max() == 0
    visit.complaints[:] = [said for said in visit.complaints if "/app/static/image/" not in said]  # the 404 itself


def test_a_colour_jpeg_is_shown_in_the_grey_that_the_classifier_sees(
    visit: Visit, pictures: list[Film], folder: Path
) -> None:
    visit.open(f"{CASE}&opacity=0")
    colours = np.zeros((SIDE, SIDE, 3), np.uint8)
    colours[:20, :, 0], colours[20:40, :, 1], colours[40:, :, 2] = 200, 150, 250
    encoded = io.BytesIO()
    Picture.fromarray(colours).save(encoded, "PNG")
    visit.page.route("**/app/static/image/*", lambda route: route.fulfill(body=encoded.getvalue()))
    visit.page.reload()
    visit.drawn()
    assert (drawn(visit.page) == decode(encoded.getvalue()).pixels[..., None]).all()


def test_without_a_heatmap_nothing_mentions_one(visit: Visit) -> None:
    page = visit.page
    visit.open("/case?image=2&run=3")  # of the training split: the prediction run did not see it
    assert scale(page) > 100
    expect(page.locator(".viewer").get_by_text(re.compile("i inverts"))).to_be_visible()
    assert "heatmap" not in page.locator(".viewer").inner_text().lower()
    address = page.url
    page.keyboard.press("h")
    page.wait_for_timeout(600)
    assert page.url == address
