"""A run in a real browser: curves and status update without a reload; files can be downloaded."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, select

from db import session as database
from db.models import Artifact, Metric, Run, now
from tests.e2e.visiting import Visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
COMMAND = "python -m jobs train --dataset sample"
CURVES = ("train_loss", "valid_loss", "valid_auc")
SLOW = 30_000


@pytest.fixture
def engine(folder: Path, address: str) -> Iterator[Engine]:
    """The database behind the pages that are served."""
    made = database.connect(f"sqlite:///{folder / 'pneumoscope.db'}")
    yield made
    made.dispose()


@pytest.fixture
def training(engine: Engine) -> Iterator[int]:
    """Id of a training that runs on another host, alongside a run that continues after it."""
    alive = {"status": "running", "host": "elsewhere", "pid": 1, "heartbeat": now() + timedelta(hours=1)}
    known = {"dataset_id": 1, "config": {}, "code_version": "0", "command": COMMAND}
    with database.transaction(engine) as db:
        beside, run = (Run(kind=kind, fingerprint=kind * 8, **known, **alive) for kind in ("embed", "train"))
        db.add_all([beside, run])
        db.flush()
        ids = run.id, beside.id
    yield ids[0]
    with database.transaction(engine) as db:
        for number in ids:
            db.delete(db.get_one(Run, number))


def learn(engine: Engine, run: int, step: int) -> None:
    """One more epoch."""
    with database.transaction(engine) as db:
        row = db.get_one(Run, run)
        row.stage, row.done, row.total, row.eta_seconds = "training", step + 1, 10, 60.0 - step
        db.add_all(Metric(run_id=run, name=name, split="fold0", step=step, value=0.5 + step / 100) for name in CURVES)


def expect_epochs(page: Page, epochs: int) -> None:
    """Wait until each curve has a point for each epoch; the legend has one for each colour."""
    expect(page.locator(".stVegaLiteChart .mark-symbol path")).to_have_count(3 * epochs + 2, timeout=SLOW)


def test_the_curves_of_a_training_grow_and_its_end_is_seen_while_another_run_goes_on(
    visit: Visit, engine: Engine, training: int
) -> None:
    visit.open(f"/runs?run={training}")
    page = visit.page
    expect(page.get_by_role("heading", name=f"Run {training}: train, running")).to_be_visible()
    for step in range(3):
        learn(engine, training, step)
        expect_epochs(page, step + 1)
    expect(page.get_by_text("training 3 of 10, 58 s left")).to_be_visible()
    expect(page.get_by_text("The command that repeats this run:")).to_be_visible()
    with database.transaction(engine) as db:
        row = db.get_one(Run, training)
        row.status, row.error, row.traceback = "failed", "no space left on the disk", "Traceback"
    expect(page.get_by_role("heading", name=f"Run {training}: train, failed")).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stExpander").filter(has_text="Traceback")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("This command resumes it where it stopped:")).to_be_visible()
    expect(page.get_by_text("The command that repeats this run:")).to_have_count(0)
    expect_epochs(page, 3)


def test_a_file_is_saved_by_its_link_and_the_page_stays(visit: Visit, engine: Engine, folder: Path) -> None:
    with database.transaction(engine) as db:
        heatmaps = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
    visit.open(f"/runs?run={heatmaps.run_id}")
    with visit.page.expect_download() as saved:
        visit.page.get_by_role("link", name="heatmaps").click()
    assert saved.value.suggested_filename == f"run-{heatmaps.run_id}-heatmaps.npy"
    assert Path(saved.value.path()).read_bytes() == (folder / "artifacts" / heatmaps.path).read_bytes()
    expect(visit.page.get_by_role("heading", name=f"Run {heatmaps.run_id}: predict")).to_be_visible()
    assert visit.page.url.endswith(f"/runs?run={heatmaps.run_id}")


def test_a_file_that_cannot_be_downloaded_shows_the_reason_in_a_new_tab(
    visit: Visit, engine: Engine, folder: Path
) -> None:
    with database.transaction(engine) as db:
        heatmaps = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
    path = folder / "artifacts" / heatmaps.path
    whole = path.read_bytes()
    visit.open(f"/runs?run={heatmaps.run_id}")
    try:
        path.write_bytes(b"x" + whole[1:])
        with visit.page.expect_popup() as opened:
            visit.page.get_by_role("link", name="heatmaps").click()
        expect(opened.value.locator("body")).to_contain_text("has changed since the run wrote it")
    finally:
        path.write_bytes(whole)
    expect(visit.page.get_by_role("heading", name=f"Run {heatmaps.run_id}: predict")).to_be_visible()
