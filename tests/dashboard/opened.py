"""How a test opens a page and reads what is on it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sample import Film
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parent.parent.parent / "dashboard" / "app.py"
PAGES = ("overview", "cases", "case", "reports", "search", "map", "reviews", "runs")


@dataclass(frozen=True)
class Workbench:
    """Where the sample is."""

    engine: Engine
    artifacts: Path
    folder: Path
    dataset_id: int
    films: list[Film]


def open_page(name: str, **parameters: object) -> AppTest:
    """The page after a visit to its address."""
    at = AppTest.from_file(APP, default_timeout=30)
    at.run()
    if name != "overview":
        at.switch_page(f"app_pages/{name}.py")
    at.query_params.update({key: str(value) for key, value in parameters.items()})
    at.run()
    return at


def said(at: AppTest) -> str:
    """All text of the page."""
    parts = [*at.header, *at.subheader, *at.markdown, *at.caption, *at.code, *at.error, *at.warning, *at.info]
    return "\n".join(str(part.value) for part in parts)


def linked(at: AppTest, key: str) -> dict[str, Any]:
    """The data of a linked grid, table or row of links."""
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith(f"-{key}")]
    assert found, f"no component '{key}' on the page"
    return dict(json.loads(found[0].json))


def cell(at: AppTest, key: str, text: str) -> dict[str, Any]:
    """The first cell of a table whose text starts so."""
    return next(one for row in linked(at, key)["rows"] for one in row if one["text"].startswith(text))


def asked(href: str) -> tuple[str, dict[str, str]]:
    """A link's page and parameters."""
    parts = urlsplit(href)
    return parts.path.strip("/"), dict(parse_qsl(parts.query))
