"""Helpers for reviews: verdicts given on the page or directly in the database, and what is shown afterwards."""

from typing import Any

from sqlalchemy import select
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from db import session as database
from db import writes
from db.models import Image
from tests.dashboard.opened import Workbench, linked

HOSTILE = "<b>Eve</b> [x](http://evil.example) =1+1"


def film(at: AppTest) -> str:
    """Hash of the image on the page."""
    return str(linked(at, "film")["src"].rpartition("/")[2])


def judge(at: AppTest, verdict: str) -> AppTest:
    return at.button(key=f"{verdict}_{film(at)[:16]}").click().run()


def give(workbench: Workbench, image: int, reviewer: str, verdict: str, **others: Any) -> None:
    with database.transaction(workbench.engine) as db:
        writes.review(db, image_id=image, reviewer=reviewer, verdict=verdict, **others)


def of_test(workbench: Workbench) -> list[Image]:
    with database.transaction(workbench.engine) as db:
        return list(db.scalars(select(Image).where(Image.split == "test").order_by(Image.id)))


def revealed(at: AppTest) -> dict[str, str]:
    return {row[0]["text"]: row[1]["text"] for row in linked(at, "revealed")["rows"]}


def undoing(at: AppTest) -> list[Button]:
    """The buttons that take a verdict back."""
    return [button for button in at.button if button.key is not None and button.key.startswith("undo_")]
