"""What a reader should look at first, each a link to it: failures, disagreements, leaks, stale indexes, broken runs."""

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
from db.models import Dataset
from db.queries import audit, case_order, cases, datasets, duplicates, evaluation, overview, runs
from db.queries.cases import Question
from db.queries.reports import ReportQuestion
from engine.commands import embed_again, job
from engine.retrieval.vector_index import latest_in

FAILURES = (("Pneumonia that the model missed (FN)", "FN"), ("False alarms (FP)", "FP"))
RUNS = 3
SURE = 0.05
"""p below which a slice is said to fail more than its label."""
SMALL, MOST, FEWER = 20_000, 1000, 100
"""Images of a small collection; how many of what no tally tells are looked for in it, and how many in a larger one."""

COPY = "duplicate"
"""The reason of files that are byte-identical to an image: nothing is lost with them."""

Row = list[Cell | str]


def show(dataset: Dataset, view: filters.View) -> None:
    """Each kind of thing with its number; what is in order is left out. view: whose failures are counted."""
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
        linked.table(["What", ">How many"], rows, key="attention", caption="What needs attention")
    else:
        judged = "no failures, no disagreements, " if view.judged else ""
        unknown = "" if view.judged else " Failures are unknown until a classifier has seen the images."
        st.markdown(f"Nothing: {judged}no unlabelled images, no left-out files, no broken runs.{unknown}")


def _counted(text: str, number: int, href: str) -> Iterator[Row]:
    """A line, unless there is nothing."""
    if number:
        yield [Cell(text, href), Cell(f"{number:,}", tone="strong")]


def _looked_for(text: str, number: int, href: str, *, most: int) -> Iterator[Row]:
    """As `_counted`, for what no tally holds: `number` is counted up to most + 1, which reads "more than `most`"."""
    if number:
        said = f"more than {most:,}" if number > most else f"{number:,}"
        yield [Cell(text, href), Cell(said, tone="strong")]


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
    audited = audit.latest(session, view.run.id)
    for part in audit.slices(session, audited.id) if audited else []:
        if part.p_value < SURE:
            name = f"Slice {part.name} fails more than its label"
            href = frame.here("cases", dataset, slice=part.id, run=view.run.id)
            yield [
                Cell(name, href, help=part.description),
                Cell(f"{part.failures:,} of {part.images:,}", tone="strong"),
            ]
    probe = audit.shortcut(session, audited.id) if audited else None
    if probe is not None:
        name = f"A shortcut tells the classes apart: {probe.slice}"
        href = frame.here("runs", dataset, run=probe.run_id)
        why = "How far a model gets that sees this alone; a classifier can learn the same from it instead of disease."
        yield [Cell(name, href, help=why), Cell(f"AUC {wording.measured('auc', probe.value)}", tone="strong")]
    asked = replace(view.question, outcome="wrong", reported="no")
    found = len(case_order.listed(session, asked, limit=most + 1))
    href = frame.here("cases", dataset, outcome="wrong", reported="no", run=view.run.id)
    yield from _looked_for("Failures that no report describes", found, href, most=most)


def _disagreements(session: Session, dataset: Dataset, view: filters.View, most: int) -> Iterator[Row]:
    if view.judged:
        found = matches.up_to(ReportQuestion(dataset.id, disagreeing=view.judged), most)
        href = frame.here("reports", dataset, queue="against", run=view.question.run_id)
        yield from _looked_for("Reports that contradict the classifier", found, href, most=most)
    doubted = cases.count(session, Question(dataset.id, reviewed="doubted"))
    href = frame.here("cases", dataset, reviewed="doubted", sort="file", run=view.question.run_id)
    yield from _counted("Labels that a reader doubts", doubted, href)


def _data(session: Session, dataset: Dataset, run_id: int | None) -> Iterator[Row]:
    number = cases.count(session, Question(dataset.id, label="unknown"))
    yield from _counted("Images without a label", number, frame.here("cases", dataset, label="unknown", run=run_id))
    compared = runs.in_force(session, "duplicates", dataset.id)
    if compared is not None:
        pairs = _across(resources.revision(), compared.id)
        href = frame.here("cases", dataset, twins="apart", sort="file", run=run_id)
        yield from _counted("Near-duplicate pairs across splits", pairs, href)
    if (other := evaluation.scored_for(session, dataset.id)) is not None:
        name = Cell(f"Report scores are those of dataset {other}", frame.here("reports", dataset))
        yield [name, Cell("score again", tone="wrong", help=job("score", dataset.name))]
    ingest = runs.in_force(session, "ingest", dataset.id)
    if ingest is not None:
        href = frame.here("runs", dataset, run=ingest.id)
        yield from _counted("Patients with films in test and in another split", dataset.patients_across, href)
        left_out = overview.skipped(session, ingest.id)
        number = sum(files for reason, files in left_out.items() if reason != COPY)
        yield from _counted("Files that ingest left out", number, href)


def _indexes(session: Session, dataset: Dataset, total: int) -> Iterator[Row]:
    """Indexes that hold other images than the `total` of the dataset."""
    latest = datasets.latest_image(session, dataset.id)
    for index in evaluation.indexes(session, dataset.id):
        whole = index.count == total
        if not whole or latest_in(resources.artifacts() / index.path) not in (latest, None):
            name = Cell(f"Index of {index.embedder} is stale", frame.here("runs", dataset, run=index.run_id))
            held = "lacks the latest images" if whole else f"{index.count:,} of {wording.count(total, 'image')}"
            yield [name, Cell(held, tone="wrong", help=embed_again(dataset.name, index.embedder))]


def _broken(session: Session, dataset: Dataset) -> Iterator[Row]:
    for run in overview.unfinished(session)[:RUNS]:
        name = Cell(f"Run {run.id}, {run.kind}", frame.here("runs", dataset, run=run.id))
        yield [name, Cell(runs.status(run), tone="wrong")]


@st.cache_data(show_spinner=False, max_entries=8)
def _across(revision: str, run_id: int) -> int:
    """How many near-duplicate pairs of the run stand in two splits."""
    with resources.reading() as session:
        return duplicates.across(session, run_id)
