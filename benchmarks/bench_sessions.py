"""20 concurrent sessions browse the pages: how long steps take, whether any fail, how the server's memory grows.

PYTHONPATH=. python benchmarks/bench_sessions.py [--minutes M] [--sessions N] [--images N] [--folder FOLDER]. Growth
compares the median memory of the last fifth of the time with that of the second fifth; the first is warm-up.
"""

import argparse
import asyncio
import os
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
"""Limit of the server's memory growth, as a fraction."""
PAUSE = 15.0
"""Mean seconds that a reader looks at a page; browser and server share the machine."""


@dataclass
class Walked:
    """What happened so far: seconds of every step, errors, and the server's memory as (time in s, MiB)."""

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
    report(walked, args.sessions, args.minutes, log)


async def sessions(server: browsing.Server, walked: Walked, count: int, seconds: float, images: int) -> None:
    """Open all sessions, take one through every page, then let all browse concurrently until the time is over."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=browsing.FLAGS)
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        pages = [await opened(context, server, walked) for _ in range(count)]
        for way in ways(random.Random(0), images):  # noqa: S311  # no secret
            await step(pages[0], way, Walked())
        end = time.monotonic() + seconds
        walks = [reader(page, walked, number, end, images) for number, page in enumerate(pages)]
        await asyncio.gather(watch(server, walked, end), *walks)
        await browser.close()


async def opened(context: Any, server: browsing.Server, walked: Walked) -> Any:
    """A new tab, which is a session of its own; script errors are recorded."""
    page = await context.new_page()
    page.on("pageerror", lambda error: walked.errors.append(f"script: {error}"))
    await page.goto(server.address, timeout=120_000)
    await page.locator("h2").first.wait_for(timeout=120_000)
    return page


async def reader(page: Any, walked: Walked, number: int, end: float, images: int) -> None:
    """One session that goes from page to page."""
    draw = random.Random(number)  # noqa: S311  # no secret
    before = "/"
    await asyncio.sleep(draw.uniform(0, PAUSE))
    while time.monotonic() < end:
        target = draw.choice([way for way in ways(draw, images) if way != before])
        await step(page, target, walked)
        before = target
        await asyncio.sleep(draw.expovariate(1 / PAUSE))


async def step(page: Any, target: str, walked: Walked) -> None:
    """Take one step and record its seconds or its error."""
    try:
        walked.steps.append(await page.evaluate(browsing.STEP, [target, target.startswith("/map"), browsing.QUIET]))
    except Exception as error:  # any error counts
        heads = await page.locator("h2").all_inner_texts()
        walked.errors.append(f"{target}: {str(error).splitlines()[0]}; at {page.url} under {heads}")
    if await page.get_by_test_id("stException").count():
        walked.errors.append(f"{target}: an exception is shown")


def ways(draw: random.Random, images: int) -> list[str]:
    """The addresses a reader may go to next."""
    image = draw.randint(1, images)
    return [
        *("/", "/cases", "/cases?split=test&outcome=FN", f"/cases?page={draw.randint(1, 50)}", f"/case?image={image}"),
        *("/reports", "/reports?words=opacity", "/reports?stance=none", "/search", "/map", "/map?box=-5,5,-5,5"),
        *("/reviews", "/runs"),
    ]


async def watch(server: browsing.Server, walked: Walked, end: float) -> None:
    """Record the server's memory every second."""
    while time.monotonic() < end:
        walked.memory.append((time.monotonic(), server.resident))
        await asyncio.sleep(1.0)


def report(walked: Walked, count: int, minutes: float, log: str) -> None:
    """Print the measurements."""
    p50, p95 = np.percentile(walked.steps, [50, 95]) if walked.steps else (np.nan, np.nan)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    taken = f"{len(walked.steps):,} steps, p50 {p50:.2f} s, p95 {p95:.2f} s"
    print(f"{count} sessions for {minutes:g} min: {taken}; {load}")
    failed = len(walked.errors) + log.count("Traceback")
    verdict = "EXCEEDED: " + "; ".join(sorted(set(walked.errors))[:5]) if failed else "met"
    print(f"errors: {failed}; limit 0 {verdict}")
    parts = np.array_split(np.array([held for _, held in walked.memory]), 5)
    second, last = (float(median(part)) for part in (parts[1], parts[-1]))
    growth = last / second - 1
    within = "met" if growth < GROWTH else "EXCEEDED"
    held = f"{second:.0f} MiB after warm-up, {last:.0f} MiB at the end"
    print(f"server memory: {held}, growth {growth:+.1%}; limit {GROWTH:.0%} {within}")


if __name__ == "__main__":
    main()
