"""Helpers that open a page and read its contents."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from streamlit.testing.v1 import AppTest

from db import session as database
from db import tallies
from db.models import ErrorSlice, Prediction, Run, SliceMember, now
from tests.sample import Film

APP = Path(__file__).parent.parent.parent / "dashboard" / "app.py"
PINNED = {"run": "3"}
"""The sample's current predict run, which everything written to the URL includes."""
PAGES = ("overview", "cases", "case", "reports", "search", "map", "reviews", "runs")


@dataclass(frozen=True)
class Workbench:
    """The sample and its location."""

    engine: Engine
    artifacts: Path
    folder: Path
    dataset_id: int
    films: list[Film]


def open_page(name: str, **parameters: object) -> AppTest:
    """The page opened at its URL."""
    at = AppTest.from_file(APP, default_timeout=30)
    at.run()
    if name != "overview":
        at.switch_page(f"app_pages/{name}.py")
    at.query_params.update({key: str(value) for key, value in parameters.items()})
    at.run()
    return at


def said(at: AppTest) -> str:
    """All text on the page."""
    heads = [*at.title, *at.header, *at.subheader]
    parts = [*heads, *at.markdown, *at.caption, *at.code, *at.error, *at.warning, *at.info]
    return "\n".join(str(part.value) for part in parts)


def linked(at: AppTest, key: str) -> dict[str, Any]:
    """The data of a linked grid, table or row of links."""
    found = [one.proto for one in at.get("bidi_component") if one.proto.id.endswith(f"-{key}")]
    assert found, f"no component '{key}' on the page"
    return dict(json.loads(found[0].json))


def cell(at: AppTest, key: str, text: str) -> dict[str, Any]:
    """The first cell of a table whose text starts with `text`."""
    return next(one for row in linked(at, key)["rows"] for one in row if one["text"].startswith(text))


def audited(db: Session, *, members: Sequence[int]) -> ErrorSlice:
    """A finished audit of the predict run with a single slice of these images; returns the slice."""
    predict = db.scalars(select(Run).where(Run.kind == "predict")).one()
    kept = ("dataset_id", "code_version", "status", "host", "pid", "finished")
    made = {name: getattr(predict, name) for name in kept}
    run = Run(**made, kind="audit", fingerprint="a" * 64, config={"predict_run": predict.id})
    db.add(run)
    db.flush()
    counts = {"images": 2, "patients": 2, "failures": 1, "rate": 0.5, "low": 0.1, "high": 0.9, "p_value": 0.2}
    part = ErrorSlice(run_id=run.id, name="normal A", label=0, description="brighter", **counts)
    db.add(part)
    db.flush()
    db.add_all(SliceMember(slice_id=part.id, image_id=number) for number in members)
    return part


def asked(href: str) -> tuple[str, dict[str, str]]:
    """A link's page and parameters."""
    parts = urlsplit(href)
    return parts.path.strip("/"), dict(parse_qsl(parts.query))


def predicted_since(workbench: Workbench, first: int) -> int:
    """Id of a later, current predict run that calls every image pneumonia."""
    with database.transaction(workbench.engine) as db:
        known = db.get_one(Run, first)
        copied = {field.key: getattr(known, field.key) for field in Run.__mapper__.column_attrs if field.key != "id"}
        copied |= {
            "fingerprint": "f" * 64,
            "current_since": now() + timedelta(seconds=9),
            "summary": {"threshold": 0.5},
        }
        run = Run(**copied)
        db.add(run)
        db.flush()
        ids = db.scalars(select(Prediction.image_id).where(Prediction.run_id == first)).all()
        db.add_all(Prediction(run_id=run.id, image_id=image, logit=5.0, probability=0.99) for image in ids)
        db.flush()
        tallies.predictions(db, run)
        return run.id
