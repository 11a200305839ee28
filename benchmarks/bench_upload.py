"""Upload: in a real browser, from choosing an image file to its hits on the page, warm: p50 and p95 of each round.

PYTHONPATH=. python benchmarks/bench_upload.py [ARTIFACTS] serves that artifact folder, or else a small one that it
creates: phantoms and an untrained classifier of the default recipe's shape. Images have 224 and 1,600 pixels a side.
"""

import io
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import browsing
import numpy as np
from bench_search import checkpoint
from PIL import Image

from db import session
from db.models import Dataset
from db.queries import datasets
from engine.datasets.phantoms import write_phantoms
from jobs import embed, ingest, predict
from jobs.command import Context
from jobs.run import ActiveRun, Work
from settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

FILMS, WARM, ROUNDS, SIDES = 20, 3, 3, (224, 1_600)
K = 12


def main(argv: Sequence[str]) -> None:
    """Print one line per round and size."""
    lacking = browsing.missing()
    if lacking:
        print(f"upload in a browser: not measured, {lacking}")
        return
    with tempfile.TemporaryDirectory() as made:
        with redirect_stdout(io.StringIO()):  # hides the jobs' output
            artifacts = Path(argv[0]) if argv else workbench(Path(made))
        films = test_films(artifacts)
        with browsing.served(artifacts) as server, browsing.chromium() as browser:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{server.address}/search?k={K}")
            for number in range(WARM):
                upload(page, encoded(films[-1 - number], SIDES[0]), f"warm-{number}.jpeg")
            for round_ in range(1, ROUNDS + 1):
                for side in SIDES:
                    sent = [encoded(film, side) for film in films[:FILMS]]
                    taken = [upload(page, data, f"film-{round_}-{side}-{n}.jpeg") for n, data in enumerate(sent)]
                    (p50, p95), (shown, _) = np.percentile(np.array(taken).T, [50, 95], axis=1).T
                    print(
                        f"upload of {side} x {side} pixels to {K} hits on the page, round {round_}: p50 {p50:.0f} ms, "
                        f"p95 {p95:.0f} ms (with thumbnails p50 {shown:.0f} ms), {len(taken)} images; "
                        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
                    )


WATCH = """(count) => {
  const grids = () => [...document.querySelectorAll("*")].filter((one) => one.shadowRoot)
    .flatMap((one) => [...one.shadowRoot.querySelectorAll("ul.cards")]);
  const before = new Set(grids());
  window.watched = new Promise((resolve) => {
    document.addEventListener("change", () => {
      const began = performance.now();
      let drawn = null;
      const look = () => {
        const cards = grids().filter((one) => !before.has(one) && one.children.length === count)
          .flatMap((one) => [...one.children]);
        if (cards.length && drawn === null) drawn = performance.now() - began;
        const seen = cards.flatMap((one) => [...one.querySelectorAll("img")])
          .filter((one) => one.getBoundingClientRect().top < innerHeight);
        if (seen.length && seen.every((one) => one.complete)) resolve([drawn, performance.now() - began]);
        else requestAnimationFrame(look);
      };
      look();
    }, { capture: true, once: true });
  });
}"""
"""Milliseconds from the file input's change to new hits, and to those of their thumbnails that are visible."""


def upload(page: "Page", data: bytes, name: str) -> tuple[float, float]:
    """Milliseconds from choosing the file to its hits on the page, and to their thumbnails."""
    page.evaluate(WATCH, K)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": name, "mimeType": "image/jpeg", "buffer": data}
    )
    drawn, shown = page.evaluate("() => window.watched")
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached")
    return drawn, shown


def encoded(film: Path, side: int) -> bytes:
    """The image as a JPEG with that many pixels a side."""
    stream = io.BytesIO()
    Image.open(film).convert("L").resize((side, side)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def test_films(artifacts: Path) -> list[Path]:
    """The files of the latest dataset's test split, or of all splits if it has none, shuffled."""
    engine = session.connect(Settings(artifacts=artifacts).database, read_only=True)
    with session.transaction(engine) as db:
        dataset = datasets.every(db)[0]
        images = datasets.images(db, dataset.id, splits=["test"]) or datasets.images(db, dataset.id)
        files = [Path(dataset.root) / image.path for image in images]
    engine.dispose()
    return [files[row] for row in np.random.default_rng(0).permutation(len(files))]


def workbench(root: Path) -> Path:
    """An artifact folder with a dataset, a classifier, its predictions and its index."""
    artifacts = root / "artifacts"
    options = ["--artifacts", str(artifacts)]
    write_phantoms(root / "films", seed=0, counts={"train": (60, 60), "test": (60, 60)})
    assert ingest.main([str(root / "films"), "--name", "phantoms", *options]) == 0
    engine = session.connect(Settings(artifacts=artifacts).database)
    with session.transaction(engine) as db:
        dataset: Dataset = datasets.every(db)[0]
    context = Context(engine=engine, artifacts=artifacts, models=root / "models")
    recipe = {"name": "lite0", "keep": "last"}
    with ActiveRun.claim(context, Work(kind="train", config={"recipe": recipe}, dataset_id=dataset.id)) as run:
        run.artifact("checkpoint", checkpoint(run.folder / "checkpoint"))
        run.summary = {"threshold": 0.5, "temperature": 1.0}
    for job, more in ((predict, []), (embed, ["--embedder", "classifier"])):
        assert job.main([*more, *options]) == 0
    engine.dispose()
    return artifacts


if __name__ == "__main__":
    main(sys.argv[1:])
