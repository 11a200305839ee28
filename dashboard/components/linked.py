"""How anything that leads to another page is drawn: grids of images and tables whose cells are links."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """An image that leads somewhere: src and alt of the image, a title with a mark at its right, lines under it."""

    href: str
    src: str
    alt: str
    title: str
    lines: tuple[str, ...] = ()
    mark: str = ""
    tone: str = ""
    """"wrong" colours the mark."""
    more: tuple[str, str] | None = None
    """A second link under the card: its text and where it leads."""


@dataclass(frozen=True)
class Cell:
    """A table's cell: a text, perhaps a link, a tone (strong, muted, wrong, chosen) and a hint."""

    text: str
    href: str | None = None
    tone: str = ""
    help: str = ""
    key: str = ""
    """In `row`: the keyboard key that follows the link, as in KeyboardEvent.key."""


def cards(items: Sequence[Card], *, key: str, width: int = 150) -> None:
    """Images in a grid, each at least `width` pixels wide."""
    _mount(key, {"cards": [asdict(item) for item in items], "width": width})


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell | str]], *, key: str, caption: str) -> None:
    """A table for reading; a column whose name starts with ">" is aligned to the right. The caption is for readers."""
    heads = [{"text": name.lstrip(">"), "align": "right" if name.startswith(">") else "left"} for name in columns]
    cells = [[asdict(Cell(cell) if isinstance(cell, str) else cell) for cell in row] for row in rows]
    _mount(key, {"columns": heads, "rows": cells, "caption": caption})


def row(steps: Sequence[Cell], *, key: str) -> None:
    """Links beside each other, at the right."""
    _mount(key, {"steps": [asdict(step) for step in steps]})


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css, js = ((HERE / f"linked.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("pneumoscope_linked", css=css, js=js)


def _mount(key: str, data: dict[str, Any]) -> None:
    _component()(key=key, data=data)
