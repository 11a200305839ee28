"""How a benchmark serves the dashboard and walks through its pages in a real browser, and how long each step takes."""

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
"""Milliseconds without another run of the page's script, after which a step counts as done."""
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
  let drawn = false; // a run may be over before its start is shown: then only what it drew tells of it
  const observer = new MutationObserver((changes) => {
    const told = changes.some((change) => change.type === "attributes");
    if (!told && drawn) return;
    drawn = drawn || told;
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
"""Goes to an address inside the session, as the pages' own links do, or presses the button "radio:NAME"; gives the
seconds until the page's script ended for good, and its chart is there where it has one."""


@dataclass(frozen=True)
class Server:
    """A dashboard that answers at an address."""

    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def resident(self) -> float:
        """MiB of memory that the server holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(artifacts: Path) -> Iterator[Server]:
    """The dashboard over an artifact folder, without a login. Raises RuntimeError where it does not come up."""
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
    """Until the server answers, two minutes at most."""
    for _ in range(1200):
        if server.process.poll() is not None:
            break
        try:
            with urlopen(f"{server.address}/_stcore/health"):  # noqa: S310  # our own server, http by construction
                return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not come up: {server.log.read_text()}")


def missing() -> str | None:
    """What a browser lacks here, with the way to get it, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (pip install -r requirements-dev.txt)"
    return None if shutil.which("chromium") else "chromium is not installed (apt-get install chromium)"


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's own browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def first(page: Any, address: str) -> float:
    """Seconds from asking for an address to the page as it is drawn, in a browser that has nothing of it yet."""
    began = time.perf_counter()
    page.goto(address)
    page.locator("h2").first.wait_for(timeout=60_000)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached", timeout=60_000)
    return time.perf_counter() - began


def step(page: Any, target: str) -> float:
    """Seconds that one step inside the session takes: to an address, or by a button "radio:NAME"."""
    return float(page.evaluate(STEP, [target, target.startswith("/map"), QUIET]))
