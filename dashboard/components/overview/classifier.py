"""Which classifier the overview speaks of: the one that was evaluated, and whether another is in force by now."""

from collections.abc import Iterator

import streamlit as st

from dashboard import resources
from dashboard.components import filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries import runs
from db.queries.evaluation import Evaluation
from engine.commands import job


def view(dataset: Dataset, evaluated: Evaluation | None) -> filters.View:
    """All of the dataset as the evaluated run predicted it, so that figures and failures are one classifier's; as the
    run in force did where nothing was evaluated."""
    read = evaluated[0].config if evaluated else {}
    return filters.view(dataset, run=read.get("predict_run") or read.get("train_run"))


def headline(dataset: Dataset, spoken: Run | None, evaluated: Evaluation | None) -> None:
    """The classifier's name and threshold with links to its runs, and what to run where another is in force; nothing
    where no image was predicted."""
    if spoken is None:
        return
    with resources.reading() as session:
        in_force = runs.in_force(session, "predict", dataset.id)
    linked.row(list(_named(dataset, spoken, evaluated)), key="classifier", left=True)
    if evaluated and in_force and in_force.id != spoken.id:
        named = wording.plain(wording.classifier(in_force))
        recipe = f" ({named})" if named else ""
        st.markdown(
            f"Predict run {in_force.id}{recipe} is in force, but run {spoken.id} was evaluated last, and this page is "
            f"of it. Bring it up to date: {wording.plain(job('evaluate', dataset.name))}"
        )


def _named(dataset: Dataset, spoken: Run, evaluated: Evaluation | None) -> Iterator[Cell]:
    named = f"Classifier {wording.classifier(spoken)}".rstrip()
    yield Cell(f"{named}, pneumonia from {wording.percent(spoken.threshold)}:")
    out_of_fold = ", out of fold" if spoken.kind == "train" else ""
    yield Cell(f"{spoken.kind} run {spoken.id}{out_of_fold}", frame.here("runs", dataset, run=spoken.id))
    if spoken.train_run_id:
        yield Cell(f"train run {spoken.train_run_id}", frame.here("runs", dataset, run=spoken.train_run_id))
    if evaluated:
        run = evaluated[0]
        said = f"evaluation run {run.id}, {wording.ago(run.finished)}"
        yield Cell(said, frame.here("runs", dataset, run=run.id))
