"""Data that the case page passes to the viewer: URLs, texts, and the view in the URL."""

from typing import Any

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from dashboard.components.browser import film
from db import session as database
from db.models import Image, Prediction
from tests.dashboard.opened import PINNED, Workbench, asked, linked, open_page, said

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

USUAL = {"opacity": 0.4, "window": 256, "centre": 128, "invert": False}


def shown(**parameters: object) -> dict[str, Any]:
    """Data passed to the viewer at this URL."""
    return linked(open_page("case", image=1, **parameters), "film")


def test_the_viewer_gets_addresses_on_our_own_server_and_what_the_film_shows_in_words(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        sha256 = db.get_one(Image, 1).sha256
    data = shown()
    assert data["src"] == f"/app/static/image/{sha256}"
    assert data["heat"]["src"].startswith(f"/app/static/heat/3/{sha256}.webp?v=")
    assert data["alt"].startswith("Chest radiograph 1, normal; predicted")
    assert data["caption"] == "Radiograph, 64 x 64 pixels, as ingested"
    assert data["heat"]["alt"] == "most heat in the right lower zone"
    assert data["heat"]["caption"] == "Evidence for pneumonia (Grad-CAM), scaled to this image's maximum"
    assert (data["heat"]["colours"][0], data["heat"]["colours"][-1]) == ("#000004", "#fcffa4")
    assert (data["view"], data["usual"]) == (USUAL, USUAL)


def test_the_address_gives_the_view(workbench: Workbench) -> None:
    view = shown(opacity="0", window=90, centre=0, invert=1)["view"]
    assert view == {"opacity": 0.0, "window": 90, "centre": 0, "invert": True}


@pytest.mark.parametrize(
    "parameters",
    [
        {"opacity": "nan", "window": "0", "centre": "256", "invert": "yes"},
        {"opacity": "-0.1", "window": "257", "centre": "-1", "invert": "0"},
        {"opacity": "<b>", "window": "1e2", "centre": "12.5", "invert": "2"},
        {"opacity": "1.01", "window": "", "centre": "9" * 30, "invert": ""},
    ],
)
def test_nonsense_in_the_address_leaves_the_view_as_it_usually_is(
    workbench: Workbench, parameters: dict[str, str]
) -> None:
    assert shown(**parameters)["view"] == USUAL


def test_the_steps_hand_on_the_view_and_leave_out_what_is_usual(workbench: Workbench) -> None:
    def following(**parameters: object) -> dict[str, str]:
        at = open_page("case", image=1, split="test", sort="file", **parameters)
        return asked(linked(at, "steps")["steps"][-1]["href"])[1]

    usual = {**PINNED, "image": "4", "split": "test", "sort": "file"}
    assert following() == usual
    assert following(window=256, opacity=0.4, invert="x") == usual
    view = {"opacity": "0", "window": "90", "centre": "7", "invert": "1"}
    assert following(**view) == usual | view


def test_without_a_heatmap_the_film_is_there_and_the_page_says_so(workbench: Workbench) -> None:
    with database.transaction(workbench.engine) as db:
        db.execute(update(Prediction).values(heatmap_row=None))
    at = open_page("case", image=1)
    assert linked(at, "film")["heat"] is None
    assert "The selected run has no heatmap of this image." in said(at)


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ({"serial": 3, "window": "90", "invert": "1"}, {"image": "1", "window": "90", "invert": "1"}),
        ({"serial": 3, "opacity": None, "centre": 5}, {"image": "1"}),
        ({"serial": "x", "page": "7", "run": "9", "opacity": "0"}, {"image": "1", "opacity": "0"}),
        ("nonsense", {"image": "1", "window": "10"}),
        (None, {"image": "1", "window": "10"}),
    ],
)
def test_what_the_browser_sends_changes_the_view_in_the_address_and_nothing_else(
    workbench: Workbench, sent: object, written: dict[str, str]
) -> None:
    def script() -> None:
        import streamlit as st

        from dashboard.components.browser import film

        st.session_state[film.KEY] = {"changed": st.session_state["sent"]}
        film._changed()

    at = AppTest.from_function(script)
    at.session_state["sent"] = sent
    at.query_params.update({"image": "1", "window": "10"})
    at.run()
    assert not at.exception
    assert at.query_params == written
    assert film.SERIAL not in at.session_state or isinstance(at.session_state[film.SERIAL], int)
