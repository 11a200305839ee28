"""What to look at first, as links: failures, disagreements, data leaks, outdated indexes, failed runs."""

from collections.abc import Iterator
from dataclasses import replace

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.reports import matches
from dashboard.components.runs import run_view
from db.models import Dataset, Run
from db.queries import audit, case_order, cases, datasets, duplicates, indexes, outliers, overview, reports, runs
from db.queries.cases import Question
from db.queries.reports import ReportQuestion
from engine.commands import embed_again, job
from engine.metrics.names import SEES_LUNG
from engine.retrieval.index.folder import latest_in

FAILURES = (("Missed pneumonia (FN)", "FN"), ("False positives (FP)", "FP"))
RUNS = 3
SIGNIFICANT = 0.05
"""Adjusted p-value below which a slice is listed."""
UNSTABLE = 0.05
"""The stress that changes most calls is listed if the interval of their share lies above this."""
SMALL, MOST, FEWER = 20_000, 1000, 100
"""Images of a small dataset; counting limit for items without a tally in a small dataset, and in a larger one."""

COPY = "duplicate"
"""Skip reason of files that are byte-identical to an image: no information is lost."""

Row = list[Cell | str]


def show(dataset: Dataset, view: filters.View) -> None:
    """Each kind of item with its count; empty kinds are left out. view: the run whose failures are counted."""
    with resources.reading() as session:
        total = cases.count(session, Question(dataset.id))
        most = MOST if total <= SMALL else FEWER
        rows = [
            *_running(session, dataset),
            *_failures(session, dataset, view, most),
            *_disagreements(session, dataset, view, most),
            *_data(session, dataset, view.question.run_id),
            *_indexes(session, dataset, total),
            *_broken(session, dataset),
        ]
    if rows:
        linked.table(["Item", ">Count"], rows, key="attention", caption="Items that need attention")
    else:
        judged = "no failures, no disagreements, " if view.judged else ""
        unknown = "" if view.judged else " Failures are unknown until a classifier has scored the images."
        st.markdown(f"Nothing: {judged}no unlabelled images, no skipped files, no failed runs.{unknown}")


def _counted(text: str, number: int, href: str) -> Iterator[Row]:
    """A row, unless the count is 0."""
    if number:
        yield [Cell(text, href), Cell(f"{number:,}", tone="strong")]


def _capped(text: str, number: int, href: str, *, most: int) -> Iterator[Row]:
    """As `_counted`, for items without a tally: `number` is counted up to most + 1, shown as "more than `most`"."""
    if number:
        shown = f"more than {most:,}" if number > most else f"{number:,}"
        yield [Cell(text, href), Cell(shown, tone="strong")]


def _running(session: Session, dataset: Dataset) -> Iterator[Row]:
    for run in overview.running(session)[:RUNS]:
        name = Cell(f"Run {run.id}, {run.kind}, is running", frame.here("runs", dataset, run=run.id))
        yield [name, Cell(run_view.progress(run, "running"), tone="strong")]


def _failures(session: Session, dataset: Dataset, view: filters.View, most: int) -> Iterator[Row]:
    if view.run is None:
        return
    for text, outcome in FAILURES:
        number = cases.count(session, replace(view.question, outcome=outcome))
        yield from _counted(text, number, frame.here("cases", dataset, outcome=outcome, run=view.run.id))
    yield from _hard(session, dataset, view, most)
    audited = audit.latest(session, view.run.id)
    for part in audit.slices(session, audited.id) if audited else []:
        if part.p_value < SIGNIFICANT:
            name = f"Slice {part.name}: more errors than other {wording.LABELS[part.label].lower()} images"
            href = frame.here("cases", dataset, slice=part.id, run=view.run.id)
            yield [
                Cell(name, href, help=part.description),
                Cell(f"{part.failures:,} of {part.images:,}", tone="strong"),
            ]
    probe = audit.shortcut(session, audited.id, apart=SEES_LUNG) if audited else None
    if probe is not None:
        name = f"Possible shortcut: {probe.slice}"
        href = frame.here("runs", dataset, run=probe.run_id)
        why = "AUC of a model that sees only this. A classifier could learn it instead of disease."
        yield [Cell(name, href, help=why), Cell(f"AUC {wording.measured('auc', probe.value)}", tone="strong")]
    tested = audit.stresses(session, audited.id) if audited else []
    for stress in [metric for metric in tested if (metric.low or 0.0) > UNSTABLE][:1]:
        what = ((audited.summary if audited else None) or {}).get("stresses", {}).get(stress.slice)
        name = f"Calls that change when the image is {stress.slice}{f' ({what})' if what else ''}"
        href = frame.here("cases", dataset, stress=stress.slice, run=view.run.id)
        number = round((stress.value or 0.0) * (stress.n or 0))
        yield [Cell(name, href), Cell(f"{number:,} of {stress.n:,}", tone="strong")]
    asked = replace(view.question, outcome="wrong", reported="no")
    found = len(case_order.listed(session, asked, limit=most + 1))
    href = frame.here("cases", dataset, outcome="wrong", reported="no", run=view.run.id)
    yield from _capped("Failures without a report", found, href, most=most)


def _hard(session: Session, dataset: Dataset, view: filters.View, most: int) -> Iterator[Row]:
    """The failures that all other runs on the same split share, if there are such runs."""
    rivals = filters.rivals_of(view)
    if view.run is None or not rivals:
        return
    agrees = tuple((run.id, run.threshold) for run in rivals if run.threshold is not None)
    asked = replace(view.question, outcome="wrong", agrees_with=agrees)
    found = len(case_order.listed(session, asked, limit=most + 1))
    href = frame.here(
        "cases", dataset, outcome="wrong", against=filters.none_of([run.id for run in rivals]), run=view.run.id
    )
    every = f"all {len(rivals) + 1}" if len(rivals) > 1 else "both"
    yield from _capped(f"Wrong in {every} {view.run.kind} runs", found, href, most=most)


def _disagreements(session: Session, dataset: Dataset, view: filters.View, most: int) -> Iterator[Row]:
    if view.judged:
        found = matches.up_to(ReportQuestion(dataset.id, disagreeing=view.judged), most)
        href = frame.here("reports", dataset, queue="against", run=view.question.run_id)
        yield from _capped("Reports that contradict the classifier", found, href, most=most)
    doubted = cases.count(session, Question(dataset.id, reviewed="doubted"))
    href = frame.here("cases", dataset, reviewed="doubted", sort="file", run=view.question.run_id)
    yield from _counted("Labels disputed by a reader", doubted, href)


def _data(session: Session, dataset: Dataset, run_id: int | None) -> Iterator[Row]:
    number = cases.count(session, Question(dataset.id, label="unknown"))
    yield from _counted("Images without a label", number, frame.here("cases", dataset, label="unknown", run=run_id))
    compared = runs.current(session, "duplicates", dataset.id)
    if compared is not None:
        pairs = _across(resources.revision(), compared.id)
        href = frame.here("cases", dataset, twins="apart", sort="file", run=run_id)
        yield from _counted("Near-duplicate pairs across splits", pairs, href)
    href = frame.here("cases", dataset, outliers="yes", sort="file", run=run_id)
    yield from _counted("Images unlike most others", outliers.count(session, dataset.id), href)
    if number := reports.unscored(session, dataset.id):
        name = Cell("Reports that are not scored for this dataset", frame.here("reports", dataset))
        yield [name, Cell(f"{number:,}", tone="wrong", help=job("score", dataset.name))]
    ingest = runs.current(session, "ingest", dataset.id)
    if ingest is not None:
        href = frame.here("runs", dataset, run=ingest.id)
        yield from _counted("Patients in test and in another split", dataset.patients_across, href)
        skipped = overview.skipped(session, ingest.id)
        number = sum(files for reason, files in skipped.items() if reason != COPY)
        yield from _counted("Files skipped by ingest", number, href)


def _indexes(session: Session, dataset: Dataset, total: int) -> Iterator[Row]:
    """Indexes that do not contain exactly the `total` images of the dataset."""
    latest = datasets.latest_image(session, dataset.id)
    for index in indexes.current(session, dataset.id):
        whole = index.count == total
        if not whole or latest_in(resources.artifacts() / index.path) not in (latest, None):
            name = Cell(f"Index {index.embedder} is out of date", frame.here("runs", dataset, run=index.run_id))
            held = "latest images missing" if whole else f"{index.count:,} of {wording.count(total, 'image')}"
            yield [name, Cell(held, tone="wrong", help=embed_again(dataset.name, index.embedder))]


def _broken(session: Session, dataset: Dataset) -> Iterator[Row]:
    broken = [run for run in overview.unfinished(session) if run.dataset_id in (dataset.id, None)]
    for run in broken[:RUNS]:
        name = Cell(f"Run {run.id}, {run.kind}{_of_none(run)}", frame.here("runs", dataset, run=run.id))
        yield [name, Cell(runs.status(run), tone="wrong")]


def _of_none(run: Run) -> str:
    """What a run of no dataset worked on, such as the folder of an ingest; empty for a run of a dataset."""
    if run.dataset_id is not None:
        return ""
    folder = run.config.get("folder")
    return f" of folder {folder}" if folder else ", of no dataset"


@st.cache_data(show_spinner=False, max_entries=8)
def _across(revision: str, run_id: int) -> int:
    """Number of the run's near-duplicate pairs whose images are in different splits."""
    with resources.reading() as session:
        return duplicates.across(session, run_id)
