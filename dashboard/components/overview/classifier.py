"""Which classifier the overview shows: the evaluated one, with a note if another run is current by now."""

from collections.abc import Iterator

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import address, familiar, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import cases, runs
from db.queries.evaluation import Evaluation
from engine.commands import job


def view(dataset: Dataset, evaluated: Evaluation | None) -> filters.View:
    """The whole dataset with the predictions of the evaluated run, so that metrics and failures are of one classifier;
    of the current run if there is no evaluation."""
    read = evaluated[0].config if evaluated else {}
    return filters.view(dataset, run=read.get("predict_run") or read.get("train_run"))


def asked(session: Session, dataset: Dataset) -> Run | None:
    """The run named in the URL, if it has predictions of the dataset's images; else None."""
    number = address.number("run")
    return next((one for one in cases.runs(session, dataset.id) if one.id == number), None)


def unevaluated(dataset: Dataset, asked: Run, evaluated: Evaluation | None) -> None:
    """Say that the run named in the URL has no evaluation, what the page shows instead, and the command for one."""
    shown = f" This page shows evaluation run {evaluated[0].id} of another run." if evaluated else ""
    command = job("evaluate", dataset.name, "--predict-run", str(asked.id)) if asked.kind == "predict" else ""
    way = familiar.refused(asked) or (f"To evaluate it, run: {wording.plain(command)}" if command else "")
    st.info(f"{asked.kind.capitalize()} run {asked.id} has not been evaluated.{shown} {way}".strip())


def headline(dataset: Dataset, shown: Run | None, evaluated: Evaluation | None, *, asked: Run | None = None) -> None:
    """The classifier's name and threshold with links to its runs, and the command to run if another run is current;
    nothing if there are no predictions. asked: the run named in the URL, for which nothing is out of date."""
    if shown is None:
        return
    with resources.reading() as session:
        current = runs.current(session, "predict", dataset.id)
    linked.row(list(_named(dataset, shown, evaluated)), key="classifier", left=True)
    if evaluated and current and current.id != shown.id and asked is None:
        named = wording.plain(wording.classifier(current))
        recipe = f" ({named})" if named else ""
        update = f"To update the page, run: {wording.plain(job('evaluate', dataset.name))}"
        st.markdown(
            f"This page shows run {shown.id}, which was evaluated last, but predict run {current.id}{recipe} is "
            f"current. {familiar.refused(current) or update}"
        )


def _named(dataset: Dataset, shown: Run, evaluated: Evaluation | None) -> Iterator[Cell]:
    named = f"Classifier {wording.classifier(shown)}".rstrip()
    yield Cell(f"{named}, threshold {wording.percent(shown.threshold)}:")
    out_of_fold = ", out of fold" if shown.kind == "train" else ""
    yield Cell(f"{shown.kind} run {shown.id}{out_of_fold}", frame.here("runs", dataset, run=shown.id))
    if shown.train_run_id:
        yield Cell(f"train run {shown.train_run_id}", frame.here("runs", dataset, run=shown.train_run_id))
    if evaluated:
        run = evaluated[0]
        text = f"evaluation run {run.id}, {wording.ago(run.finished)}"
        yield Cell(text, frame.here("runs", dataset, run=run.id))
