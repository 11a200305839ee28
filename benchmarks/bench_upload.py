"""Upload: in a real browser, from choosing a film's file to its hits on the page, warm: p50 and p95 of each round.

python benchmarks/bench_upload.py [ARTIFACTS] serves that artifact folder, or else a small one that it makes: phantoms,
read by a classifier of the default recipe's shape with untrained heads. Films come at 224 and at 1,600 pixels.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from bench_search import checkpoint
from PIL import Image

from db import session
from db.models import Dataset
from db.queries import datasets
from engine.phantoms import write_phantoms
from jobs import embed, ingest, predict
from jobs.command import Context
from jobs.run import ActiveRun
from settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

FILMS, WARM, ROUNDS, SIDES = 20, 3, 3, (224, 1_600)
K = 12
REPOSITORY = Path(__file__).parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(argv: Sequence[str]) -> None:
    """Print a line for each round and size."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("upload in a browser: not measured, playwright is not installed (pip install -r requirements-dev.txt)")
        return
    chromium = shutil.which("chromium")
    if chromium is None:
        print("upload in a browser: not measured, chromium is not installed (apt-get install chromium)")
        return
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        with redirect_stdout(io.StringIO()):  # what the jobs print
            artifacts = Path(argv[0]) if argv else workbench(Path(made))
        films = test_films(artifacts)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with served(artifacts, Path(made) / "server.log") as address:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{address}/search?k={K}")
            for number in range(WARM):
                upload(page, encoded(films[-1 - number], SIDES[0]), f"warm-{number}.jpeg")
            for round_ in range(1, ROUNDS + 1):
                for side in SIDES:
                    sent = [encoded(film, side) for film in films[:FILMS]]
                    taken = [upload(page, data, f"film-{round_}-{side}-{n}.jpeg") for n, data in enumerate(sent)]
                    (p50, p95), (shown, _) = np.percentile(np.array(taken).T, [50, 95], axis=1).T
                    print(
                        f"upload of {side} x {side} pixels to {K} hits on the page, round {round_}: p50 {p50:.0f} ms, "
                        f"p95 {p95:.0f} ms (with thumbnails p50 {shown:.0f} ms), {len(taken)} films; "
                        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
                    )
        browser.close()


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
"""Milliseconds from the file field's change to new hits, and to their thumbnails as far as they are in sight."""


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
    """The film as a JPEG of that many pixels a side."""
    stream = io.BytesIO()
    Image.open(film).convert("L").resize((side, side)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def test_films(artifacts: Path) -> list[Path]:
    """The files of the latest dataset's test split, or of all where it has none, in an order that is not theirs."""
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
    with ActiveRun.claim(context, kind="train", config={"recipe": recipe}, dataset_id=dataset.id) as run:
        run.artifact("checkpoint", checkpoint(run.folder / "checkpoint"))
        run.summary = {"threshold": 0.5, "temperature": 1.0}
    for job, more in ((predict, []), (embed, ["--embedder", "classifier"])):
        assert job.main([*more, *options]) == 0
    engine.dispose()
    return artifacts


@contextmanager
def served(artifacts: Path, log: Path) -> Iterator[str]:
    """The address of the dashboard over an artifact folder. Raises RuntimeError where it does not come up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", str(port)]
    environment = {**os.environ, "PNEUMOSCOPE_ARTIFACTS": str(artifacts.resolve())}
    environment.pop("DATABASE_URL", None)
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=stream)
    try:
        wait(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until the server answers, two minutes at most."""
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            with urlopen(f"{address}/_stcore/health"):  # noqa: S310  # our own server, http by construction
                return
        except URLError:
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not come up: {log.read_text()}")


if __name__ == "__main__":
    main(sys.argv[1:])
