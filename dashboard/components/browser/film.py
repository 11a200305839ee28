"""Radiograph viewer with zoom, window, inversion and the heatmap as an overlay."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import address
from engine.imaging.overlays import STOPS

HERE = Path(__file__).parent
KEY = "film"
SERIAL = "film_serial"
"""Session key: number of the browser's change that was last written to the URL. Each answer returns it, so that the
viewer can distinguish an answer to an earlier change from one to its latest."""


@dataclass(frozen=True)
class View:
    """Display settings of the radiograph; the defaults leave its grey levels unchanged.

    opacity: of the heatmap at its maximum, 0 (off) to 1. window: window width, the number of grey levels from black to
    white, 1 to 256. centre: window centre, 0 to 255. Both as in DICOM (PS3.3, C.11.2.1.2.1).
    """

    opacity: float = 0.4
    window: int = 256
    centre: int = 128
    invert: bool = False


@dataclass(frozen=True)
class Heat:
    """The heatmap as an overlay: its URL, its description in words, its caption."""

    src: str
    alt: str
    caption: str


def view() -> View:
    """The view in the URL, with defaults for absent or invalid parameters."""
    window, centre = address.number("window", low=1, high=256), address.number("centre", high=255)
    return View(
        opacity=address.share("opacity", View.opacity),
        window=View.window if window is None else window,
        centre=View.centre if centre is None else centre,
        invert=address.get("invert") == "1",
    )


def kept() -> dict[str, object]:
    """The view's URL parameters, for a link to another case."""
    now, usual = view(), View()
    given = {"opacity": f"{now.opacity:g}", "window": now.window, "centre": now.centre, "invert": int(now.invert)}
    return {name: value if getattr(now, name) != getattr(usual, name) else None for name, value in given.items()}


def show(*, src: str, alt: str, caption: str, heat: Heat | None) -> None:
    """The image at this URL, large, with display controls below it; heat is None if there is no heatmap."""
    data = {
        "src": src,
        "alt": alt,
        "caption": caption,
        "heat": asdict(heat) | {"colours": [f"#{stop}" for stop in STOPS]} if heat else None,
        "view": asdict(view()),
        "usual": asdict(View()),
        "serial": st.session_state.get(SERIAL, 0),
    }
    _component()(key=KEY, data=data, on_changed_change=_changed)


def _changed() -> None:
    """Write the user's settings to the URL; invalid values are ignored when the URL is read."""
    sent = st.session_state[KEY].get("changed")
    if not isinstance(sent, Mapping):
        return
    serial = sent.get("serial")
    st.session_state[SERIAL] = serial if isinstance(serial, int) else 0
    address.put(**{name: text if isinstance(text := sent.get(name), str) else None for name in asdict(View())})


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css, js = ((HERE / f"film.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("pneumoscope_film", css=css, js=js)
