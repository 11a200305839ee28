"""Serves the dashboard for a benchmark, browses its pages in a real browser, and times each step."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

REPOSITORY = Path(__file__).parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUIET = 250
"""Milliseconds without another run of the page's script after which a step counts as done."""
STEP = """
([target, chart, quiet]) => new Promise((resolve, reject) => {
  const state = () => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState; // it may be replaced
  const began = performance.now();
  let ended = null, timer = null;
  const finish = () => {
    if (chart && !document.querySelector("[data-testid=stVegaLiteChart] :is(canvas, svg.marks)")) {
      ended = performance.now();
      timer = setTimeout(finish, 10);
      return;
    }
    if (performance.now() - ended < quiet) { timer = setTimeout(finish, quiet); return; }
    observer.disconnect();
    clearTimeout(late);
    resolve((ended - began) / 1000);
  };
  let drawn = false; // a run may end before its start is shown; then only what it drew shows that it ran
  const observer = new MutationObserver((changes) => {
    const shown = changes.some((change) => change.type === "attributes");
    if (!shown && drawn) return;
    drawn = drawn || shown;
    clearTimeout(timer);
    if (state() !== "notRunning") return;
    ended = performance.now();
    timer = setTimeout(finish, chart ? 0 : quiet);
  });
  const watched = { attributes: true, attributeFilter: ["data-test-script-state"], childList: true, subtree: true };
  observer.observe(document.body, watched);
  const late = setTimeout(() => {
    observer.disconnect();
    clearTimeout(timer);
    reject(new Error(`no page within a minute at ${location.pathname}, script ${state()}`));
  }, 60000);
  if (target.startsWith("radio:")) {
    const name = target.slice(6);
    const buttons = [...document.querySelectorAll("[role=radio]")];
    buttons.find((button) => button.textContent.trim() === name).click();
  } else {
    history.pushState({}, "", target);
    window.dispatchEvent(new PopStateEvent("popstate"));
  }
})
"""
"""Goes to an address within the session, as the pages' own links do, or presses the button "radio:NAME"; resolves to
the seconds until the page's script has finished and its chart, if any, is drawn."""


@dataclass(frozen=True)
class Server:
    """A running dashboard server."""

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def resident(self) -> float:
        """The server's resident memory, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(artifacts: Path) -> Iterator[Server]:
    """The dashboard over an artifact folder, without a login. Raises RuntimeError if it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py", "--server.port", str(port)]
    environment = {**os.environ, "PNEUMOSCOPE_ARTIFACTS": str(artifacts.resolve())}
    environment.pop("DATABASE_URL", None)
    with tempfile.TemporaryDirectory() as made:
        log = Path(made) / "server.log"
        with log.open("w") as stream:
            process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=stream)
        try:
            server = Server(f"http://127.0.0.1:{port}", process, log)
            wait(server)
            yield server
        finally:
            process.terminate()
            process.wait(20)


def wait(server: Server) -> None:
    """Wait until the server answers, at most two minutes."""
    for _ in range(1200):
        if server.process.poll() is not None:
            break
        try:
            with urlopen(f"{server.address}/_stcore/health"):  # noqa: S310  # our own server, http by construction
                return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not start: {server.log.read_text()}")


def missing() -> str | None:
    """What is missing for a browser, with the command to install it, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (pip install -r requirements-dev.txt)"
    return None if shutil.which("chromium") else "chromium is not installed (apt-get install chromium)"


@contextmanager
def chromium() -> Iterator[Any]:
    """The system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def first(page: Any, address: str) -> float:
    """Seconds from requesting an address to the drawn page, in a browser with an empty cache."""
    began = time.perf_counter()
    page.goto(address)
    page.locator("h2").first.wait_for(timeout=60_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached", timeout=60_000)
    return time.perf_counter() - began


def step(page: Any, target: str) -> float:
    """Seconds that one step within the session takes: to an address, or by a button "radio:NAME"."""
    return float(page.evaluate(STEP, [target, target.startswith("/map"), QUIET]))
