"""20 sessions at once walk through the pages: how long steps take, whether any fails, and how the server's memory grows.

python benchmarks/bench_sessions.py [--minutes M] [--sessions N] [--images N] [--folder FOLDER]. Growth is the median of
the last fifth of the time against that of the second; the first fifth is warm-up.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import browsing
import large_database
import numpy as np

GROWTH = 0.10
"""Bar of the server's memory, as a share."""
PAUSE = 2.0
"""Seconds that a reader looks at a page, on average."""


@dataclass
class Walked:
    """What happened so far: seconds of every step, errors, and MiB of the server with the time they were seen at."""

    steps: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> None:
    """Print steps, errors and growth."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--sessions", type=int, default=20)
    options.add_argument("--images", type=int, default=20_000)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pneumoscope-large")
    args = options.parse_args(argv)
    lacking = browsing.missing()
    if lacking:
        print(f"sessions in a browser: not measured, {lacking}")
        return
    folder = large_database.made(args.folder / str(args.images), args.images)
    walked = Walked()
    with browsing.served(folder) as server:
        asyncio.run(sessions(server, walked, args.sessions, 60 * args.minutes, args.images))
        log = server.log.read_text()
    told(walked, args.sessions, args.minutes, log)


async def sessions(server: browsing.Server, walked: Walked, count: int, seconds: float, images: int) -> None:
    """All sessions at once, until the time is over."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=browsing.FLAGS)
        end = time.monotonic() + seconds
        readers = [reader(browser, server, walked, number, end, images) for number in range(count)]
        await asyncio.gather(watch(server, walked, end), *readers)
        await browser.close()


async def reader(browser: Any, server: browsing.Server, walked: Walked, number: int, end: float, images: int) -> None:
    """One session in a context of its own; what its pages complain of is kept."""
    draw = random.Random(number)  # noqa: S311  # no secret
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    page.on("pageerror", lambda error: walked.errors.append(f"script: {error}"))
    await page.goto(server.address, timeout=120_000)
    await page.locator("h2").first.wait_for(timeout=120_000)
    before = ""
    while time.monotonic() < end:
        target = draw.choice([way for way in ways(draw, images) if way != before])
        before = target
        try:
            walked.steps.append(await page.evaluate(browsing.STEP, [target, target.startswith("/map"), browsing.QUIET]))
        except Exception as error:  # whatever it is, it counts
            walked.errors.append(f"{target}: {str(error).splitlines()[0]}")
        if await page.get_by_test_id("stException").count():
            walked.errors.append(f"{target}: an exception is shown")
        await asyncio.sleep(draw.expovariate(1 / PAUSE))
    await context.close()


def ways(draw: random.Random, images: int) -> list[str]:
    """Where a reader may go next."""
    image = draw.randint(1, images)
    return [
        *("/", "/cases", "/cases?split=test&outcome=FN", f"/cases?page={draw.randint(1, 50)}", f"/case?image={image}"),
        *("/reports", "/reports?words=opacity", "/reports?stance=none", "/search", "/map", "/map?box=-5,5,-5,5"),
        *("/reviews", "/runs"),
    ]


async def watch(server: browsing.Server, walked: Walked, end: float) -> None:
    """See every second how much memory the server holds."""
    while time.monotonic() < end:
        walked.memory.append((time.monotonic(), server.resident))
        await asyncio.sleep(1.0)


def told(walked: Walked, count: int, minutes: float, log: str) -> None:
    """Print what was seen."""
    p50, p95 = np.percentile(walked.steps, [50, 95]) if walked.steps else (np.nan, np.nan)
    rate = len(walked.steps) / (60 * minutes)
    print(f"{count} sessions for {minutes:g} min: {len(walked.steps):,} steps ({rate:.1f} a second), p50 {p50:.2f} s, p95 {p95:.2f} s")
    failed = len(walked.errors) + log.count("Traceback")
    print(f"errors: {failed}; {'none holds' if not failed else 'DOES NOT HOLD: ' + '; '.join(sorted(set(walked.errors))[:5])}")
    parts = np.array_split(np.array([held for _, held in walked.memory]), 5)
    second, last = (float(median(part)) for part in (parts[1], parts[-1]))
    growth = last / second - 1
    verdict = "holds" if growth < GROWTH else "DOES NOT HOLD"
    print(f"server's memory: {second:.0f} MiB after warm-up, {last:.0f} MiB at the end, growth {growth:+.1%}; bar 10 % {verdict}")


if __name__ == "__main__":
    main()
