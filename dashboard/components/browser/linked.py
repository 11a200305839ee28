"""Linked components: image grids, metric tiles, and tables whose cells are links."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components import glossary

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """A linked image: src and alt of the image, a title with a mark on its right, lines below."""

    href: str
    src: str
    alt: str
    title: str
    lines: tuple[str, ...] = ()
    mark: str = ""
    tone: str = ""
    """"wrong" colours the mark."""
    more: tuple[str, str] | None = None
    """A second link below the card: text and URL."""


@dataclass(frozen=True)
class Cell:
    """A table cell: text, optional link, tone (strong, muted, wrong, chosen) and tooltip."""

    text: str
    href: str | None = None
    tone: str = ""
    help: str = ""
    key: str = ""
    """In `row`: keyboard shortcut of the link, as in KeyboardEvent.key."""
    meaning: str = ""
    """Definition of a term; `table` adds it from the glossary."""


@dataclass(frozen=True)
class Tile:
    """A key metric in large type: name, value, lines below, and an optional link."""

    name: str
    value: str
    lines: tuple[str, ...] = ()
    link: tuple[str, str] | None = None
    """Text and URL."""


@dataclass(frozen=True)
class Picking:
    """Checkboxes for the items of a grid or table."""

    ids: Sequence[int]
    """The id of each item."""
    chosen: Sequence[int]
    """The ids that are checked."""
    serial: int
    """Number of the browser's last change that `chosen` includes; the browser ignores older answers."""
    changed: Callable[[], None]
    """Called when the user checks or unchecks one."""


def cards(items: Sequence[Card], *, key: str, width: int = 150, picking: Picking | None = None) -> None:
    """Draw images in a grid, each at least `width` pixels wide."""
    _mount(key, {"cards": [asdict(item) for item in items], "width": width}, picking)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    key: str,
    caption: str,
    picking: Picking | None = None,
    sortable: bool = False,
) -> None:
    """Draw a table; columns whose name starts with ">" are right-aligned. The caption is for screen readers.

    sortable: whether the reader can sort by each column: by the first number of right-aligned texts, else by words. For
    tables that show all of their rows; of two rows there is nothing to sort.
    """
    heads = [
        {
            "text": name.lstrip(">"),
            "align": "right" if name.startswith(">") else "left",
            "meaning": glossary.meaning(name.lstrip(">")),
        }
        for name in columns
    ]
    cells = [[asdict(_explained(cell, first=not at)) for at, cell in enumerate(row)] for row in rows]
    _mount(
        key,
        {"columns": heads, "rows": cells, "caption": caption, "sortable": sortable and not picking and len(rows) > 2},
        picking,
    )


def _explained(cell: Cell | str, *, first: bool) -> Cell:
    """The cell, with the definition of its term if it heads a row."""
    made = Cell(cell) if isinstance(cell, str) else cell
    return replace(made, meaning=glossary.meaning(made.text)) if first else made


def row(steps: Sequence[Cell], *, key: str, left: bool = False) -> None:
    """Draw links side by side, right- or left-aligned."""
    _mount(key, {"steps": [asdict(step) for step in steps], "left": left})


def tiles(items: Sequence[Tile], *, key: str) -> None:
    """Draw tiles side by side."""
    _mount(key, {"tiles": [{**asdict(item), "meaning": glossary.meaning(item.name)} for item in items]})


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    css, js = ((HERE / f"linked.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component("pneumoscope_linked", css=css, js=js)


def _mount(key: str, data: dict[str, Any], picking: Picking | None = None) -> None:
    if picking is None:
        _component()(key=key, data=data)
        return
    select = {"ids": list(picking.ids), "chosen": list(picking.chosen), "serial": picking.serial}
    _component()(key=key, data=data | {"select": select}, on_chosen_change=picking.changed)
