"""A dashboard over 1,000,000 images: each list query, warm and cold, then each page in a real browser, with its limit.

PYTHONPATH=. python benchmarks/bench_dashboard.py [--images N] [--folder FOLDER] [--no-browser]. large_database.py
generates the database in FOLDER once. Limits apply to the p50 of warm queries and to the p95 of pages.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import browsing
import large_database
import numpy as np
from sqlalchemy.orm import Session

from db.models import Run
from db.queries import cases, datasets, duplicates, evaluation, overview, reports, runs
from db.queries.cases import Question
from db.queries.reports import ReportQuestion

WARM, COLD = 50, 10
COUNT, PAGE, ROLL_UP = 5.0, 2.0, 2.0
"""Limits for queries, in milliseconds."""
WALK, FILTER, FIRST = 0.5, 0.3, 3.0
"""Limits for pages, in seconds: any page warm, changing a filter, the first page after the server started."""
ROUNDS = 20


@dataclass(frozen=True)
class Query:
    """A database query of the pages, and its limit in milliseconds, None if it has none."""

    name: str
    limit: float | None
    ask: Callable[[Session], object]


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per measurement."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pneumoscope-large")
    options.add_argument("--no-browser", action="store_true")
    args = options.parse_args(argv)
    folder = large_database.made(args.folder / str(args.images), args.images)
    print(f"{args.images:,} images; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for query in queries(folder, args.images):
        measured(folder, query)
    lacking = "skipped by --no-browser" if args.no_browser else browsing.missing()
    if lacking:
        print(f"pages in a browser: not measured, {lacking}")
    else:
        pages(folder, args.images)


def queries(folder: Path, images: int) -> list[Query]:
    """The pages' queries, with typical filters."""
    engine = large_database.connected(folder, read_only=True)
    with Session(engine) as db:
        dataset = datasets.every(db)[0].id
        predict = runs.current(db, "predict", dataset)
        ingest = runs.current(db, "ingest", dataset)
        compared = runs.current(db, "duplicates", dataset)
    engine.dispose()
    assert predict and ingest and compared
    threshold = large_database.THRESHOLD
    every = Question(dataset, run_id=predict.id, threshold=threshold, own_threshold=threshold, sort="wrong")
    return [
        *case_queries(every, images),
        *report_queries(dataset, predict, images),
        Query("datasets.counts", ROLL_UP, lambda db: datasets.counts(db, dataset)),
        Query("cases.runs", None, lambda db: cases.runs(db, dataset)),
        Query("cases.causes", None, lambda db: cases.causes(db, dataset)),
        Query("overview.unfinished", None, overview.unfinished),
        Query("overview.skipped", None, lambda db: overview.skipped(db, ingest.id)),
        Query("evaluation.latest", None, lambda db: evaluation.latest(db, dataset)),
        Query("evaluation.of_classifiers", PAGE, lambda db: evaluation.of_classifiers(db, [predict.id], ("auc",))),
        Query("duplicates.across", None, lambda db: duplicates.across(db, compared.id)),
    ]


def case_queries(every: Question, images: int) -> list[Query]:
    """Counts, first and far pages in each sort order, the confusion matrix, and a case's position."""
    asked = {
        "all": every,
        "test": replace(every, split="test"),
        "test, normal": replace(every, split="test", label="normal"),
        "viral": replace(every, cause="viral"),
        "missed (FN)": replace(every, outcome="FN"),
        "found (TP)": replace(every, outcome="TP"),
        "failures": replace(every, outcome="wrong"),
        "probability .2 to .4": replace(every, low=0.2, high=0.4),
        "female": replace(every, attributes=(("sex", "female"),)),
        "female, missed (FN)": replace(every, attributes=(("sex", "female"),), outcome="FN"),
        "rare site": replace(every, attributes=(("site", "rare"),)),
        "rare site, female, missed (FN)": replace(
            every, attributes=(("site", "rare"), ("sex", "female")), outcome="FN"
        ),
    }
    common = replace(every, attributes=(("sex", "female"), ("view", "AP")), outcome="FN")
    undescribed = replace(every, outcome="wrong", reported="no")
    moved = replace(every, threshold=0.5)
    found = [Query(f"cases.count, {name}", COUNT, partial(cases.count, one)) for name, one in asked.items()]
    found.append(Query("cases.count, failures without a report", COUNT, partial(cases.count, undescribed)))
    found.append(Query("cases.count, female, AP, missed (FN)", None, partial(cases.count, common)))
    for sort in ("wrong", "uncertain", "high", "low", "file"):
        for name in ("all", "test, normal", "missed (FN)", "found (TP)", "female, missed (FN)", "rare site"):
            one = replace(asked[name], sort=sort)
            found.append(Query(f"cases.page, {sort}, {name}", PAGE, partial(cases.page, one, limit=48)))
        far = partial(cases.page, replace(every, sort=sort), limit=48, offset=images // 2)
        found.append(Query(f"cases.page, {sort}, all, in the middle", None, far))
        found.append(Query(f"cases.place, {sort}", None, partial(cases.place, replace(every, sort=sort), images // 2)))
    for name, one in {"all": every, "test": asked["test"], "female": asked["female"], "threshold .5": moved}.items():
        found.append(Query(f"cases.confusion, {name}", ROLL_UP, partial(cases.confusion, one)))
    return found


def report_queries(dataset: int, predict: Run, images: int) -> list[Query]:
    """Counts, first and last pages, and comparisons of models and strategies."""
    every = ReportQuestion(dataset)
    asked = {
        "all": every,
        "normal": replace(every, label="normal"),
        "one model, one strategy": replace(every, model="nearest", strategy="basic"),
        "says pneumonia": replace(every, stance="pneumonia"),
        "no stance": replace(every, stance="none"),
        "contradicts itself": replace(every, problem="contradiction"),
        "contradicts the classifier": replace(every, problem="classifier"),
        "repetition from .3": replace(every, score="repetition", low=0.3),
    }
    found = []
    for name, one in asked.items():
        found.append(Query(f"reports.tallied, {name}", COUNT, partial(reports.tallied, one)))
        found.append(Query(f"reports.page, {name}", PAGE, partial(reports.ids, one, limit=50)))
    total = 8 * (images // 20)
    last = partial(reports.ids, every, limit=50, offset=total - 50, total=total)
    rows = partial(reports.page, every, limit=10)
    queue = replace(every, disagreeing=(predict.id, large_database.THRESHOLD))
    words, absent = replace(every, keyword="opacity"), replace(every, keyword="xylophone")
    both = replace(every, stance="normal", problem="label")
    missed = replace(every, outcome="FN", judged=(predict.id, large_database.THRESHOLD))
    viral = replace(missed, cause="viral")
    return [
        *found,
        Query("reports.page, all, the last", None, last),
        Query("reports.page, all, with texts and scores", None, rows),
        Query("reports.leaderboard", ROLL_UP, lambda db: reports.leaderboard(db, dataset)),
        Query("reports.choices", ROLL_UP, lambda db: reports.choices(db, dataset)),
        Query("reports found by a word that most have", None, partial(reports.ids, words, limit=1001)),
        Query("reports found by a word that none has", None, partial(reports.ids, absent, limit=1001)),
        Query("reports that say normal, against the label", None, partial(reports.ids, both, limit=1001)),
        Query("reports on missed pneumonias", None, partial(reports.ids, missed, limit=1001)),
        Query("reports on missed viral pneumonias", None, partial(reports.ids, viral, limit=1001)),
        Query("reports against the classifier", None, partial(reports.ids, queue, limit=1001)),
    ]


def partial(ask: Callable[..., object], question: Any, *more: object, **options: object) -> Callable[[Session], object]:
    """The query as a function of the session alone."""
    return lambda db: ask(db, question, *more, **options)


def measured(folder: Path, query: Query) -> None:
    """Print the query's warm and cold times; cold means a new connection with the file dropped from the page cache."""
    engine = large_database.connected(folder, read_only=True)
    with Session(engine) as db:
        seconds(query, db)
        rounds = WARM if seconds(query, db) < 0.2 else 5
        warm = [seconds(query, db) for _ in range(rounds)]
    engine.dispose()
    cold = [coldly(folder, query) for _ in range(COLD if rounds == WARM else 2)]
    p50, p95 = np.percentile(1000 * np.array(warm), [50, 95])
    first, worst = np.percentile(1000 * np.array(cold), [50, 95])
    line = f"{query.name}: warm p50 {p50:.2f} ms, p95 {p95:.2f} ms; cold p50 {first:.1f} ms, p95 {worst:.1f} ms"
    print(line if query.limit is None else f"{line}; {verdict(p50, query.limit, 'ms')}", flush=True)


def coldly(folder: Path, query: Query) -> float:
    """Seconds of one call on a new connection, with nothing of the database in memory."""
    with (folder / "pneumoscope.db").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    engine = large_database.connected(folder, read_only=True)
    with Session(engine) as db:
        taken = seconds(query, db)
    engine.dispose()
    return taken


def seconds(query: Query, db: Session) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    query.ask(db)
    taken = time.perf_counter() - began
    db.rollback()
    db.expunge_all()
    return taken


def verdict(value: float, limit: float, unit: str) -> str:
    """Whether a measurement is within its limit."""
    return f"limit {limit:g} {unit} {'met' if value <= limit else 'EXCEEDED'}"


def pages(folder: Path, images: int) -> None:
    """Measure the first page, every page warm, and filters, in a browser."""
    with browsing.chromium() as browser:
        began = time.perf_counter()
        with browsing.served(folder) as server:
            up = time.perf_counter() - began
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            taken = browsing.first(page, server.address)
            print(f"server start {up:.2f} s, first page {taken:.2f} s; {verdict(taken, FIRST, 's')}")
            steps(page, walks(images), WALK)
            steps(page, {"/cases": ("radio:Test", "radio:Test"), "/reports": ("radio:Normal", "radio:Normal")}, FILTER)
            page.close()


def walks(images: int) -> dict[str, tuple[str, ...]]:
    """Start page -> the addresses to go to from it, each warm."""
    middle = images // 2
    return {
        "/runs?kind=train": (
            *("/", "/cases", "/cases?split=test&outcome=FN", "/cases?sort=uncertain&label=normal", "/cases?page=5000"),
            *("/cases?outcome=FN&film.sex=female", "/cases?film.site=rare", "/map?colour=film.sex"),
            *(f"/case?image={middle}", f"/case?image={middle}&sort=file"),
            *("/reports", "/reports?stance=none&model=nearest"),
            *("/reports?words=opacity", "/reports?queue=against", "/search", "/map", "/map?colour=outcome"),
            *("/map?box=-5,5,-5,5", "/reviews", "/runs", "/runs?run=207"),
        )
    }


def steps(page: Any, targets: dict[str, tuple[str, ...]], limit: float) -> None:
    """Print how long each step takes from its start page."""
    for start, ways in targets.items():
        for way in dict.fromkeys(ways):
            taken = []
            for _ in range(ROUNDS + 1):
                browsing.step(page, start)
                taken.append(browsing.step(page, way))
            p50, p95 = np.percentile(taken[1:], [50, 95])
            name = way if way.startswith("/") else f"{start}, {way}"
            times = f"p50 {p50:.2f} s, p95 {p95:.2f} s, first {taken[0]:.2f} s"
            print(f"{name}: {times}; {verdict(p95, limit, 's')}", flush=True)


if __name__ == "__main__":
    main()
