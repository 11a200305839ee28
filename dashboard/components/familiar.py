"""Warnings about predictions on images, or on patients, that their classifier was trained on."""

import streamlit as st

from dashboard import resources
from dashboard.components import wording
from db.models import Run
from db.queries import cases, leakage, runs
from db.queries.leakage import Familiar


def warn(run: Run | None, *, split: str | None = None) -> None:
    """Say how many of the images that a predict run scored its classifier was trained on; nothing if none. split: only
    those in this split, as it is named in the URL."""
    found = _of(run)
    asked = [one for where, one in found.items() if split in (None, where or cases.UNKNOWN)]
    trained, images = sum(one.trained for one in asked), sum(one.images for one in asked)
    where = "" if split is None else " without a split" if split == cases.UNKNOWN else f" in split {split}"
    if run is not None and trained:
        st.warning(
            f"The classifier of predict run {run.id} was trained on {trained:,} of the "
            f"{wording.count(images, 'image')} that it scored{where}, or on other images of their patients. "
            "Figures that include them look better than on new patients.",
            icon=":material/warning:",
        )


def refused(run: Run | None) -> str | None:
    """Why `evaluate` refuses the run, in a sentence; None if it does not for this reason."""
    found = _of(run).values()
    if run is None or not any(one.labelled for one in found) or any(one.judged for one in found):
        return None
    return (
        f"Predict run {run.id} cannot be evaluated: its classifier was trained on all patients whose labelled "
        "images it scored."
    )


def case(run: Run | None, image_id: int) -> bool:
    """Whether the classifier behind a predict run was trained on this image, or on another one of its patient."""
    if run is None or run.kind != "predict" or run.train_run_id is None:
        return False
    with resources.reading() as session:
        return not leakage.is_unseen(session, image_id, run.train_run_id)


def _of(run: Run | None) -> dict[str | None, Familiar]:
    if run is None or run.kind != "predict" or run.train_run_id is None:
        return {}
    with resources.reading() as session:
        ingest = runs.current(session, "ingest", run.dataset_id)
    return _counted(run.id, f"{run.finished} {ingest and (ingest.id, ingest.finished)}")


@st.cache_data(show_spinner=False, max_entries=64)
def _counted(run_id: int, state: str) -> dict[str | None, Familiar]:
    """state: changes when the run's predictions or the dataset's patients do."""
    with resources.reading() as session:
        return leakage.familiar(session, session.get_one(Run, run_id))
