"""Predictions of two runs of the same kind on the same images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from db.models import Image, Prediction, Run
from db.queries import leakage
from db.queries.predictions import KNOWN, KnownImage

KINDS = ("predict", "train")


def why_incomparable(first: Run | None, second: Run | None) -> str | None:
    """Why two runs cannot be compared, as a clause, or None if they can."""
    if first is None or second is None:
        return "one of the two runs does not exist"
    if first.id == second.id:
        return f"run {first.id} is compared with itself"
    for run in (first, second):
        if run.kind not in KINDS or run.status != "finished":
            return f"run {run.id} is a {run.status} {run.kind} run; finished predict or train runs can be compared"
    if first.kind != second.kind:
        return f"run {first.id} is a {first.kind} run and run {second.id} a {second.kind} run"
    if first.dataset_id != second.dataset_id:
        return f"runs {first.id} and {second.id} are of different data sets"
    return None


def partners(session: Session, run: Run) -> Sequence[Run]:
    """The other runs of its kind and dataset, of any status, latest first, at most 100."""
    return session.scalars(_alike(run).where(Run.id != run.id).limit(100)).all()


def previous(session: Session, run: Run) -> Run | None:
    """The previous run of its kind and dataset, of an audit that of the same predict run; None if it was the first."""
    query = _alike(run).where(Run.id < run.id)
    if run.kind == "audit":
        query = query.where(Run.config["predict_run"].as_integer() == run.config.get("predict_run"))
    return session.scalars(query.limit(1)).first()


def _alike(run: Run) -> Select[Run]:
    return select(Run).where(Run.kind == run.kind, Run.dataset_id == run.dataset_id).order_by(Run.id.desc())


@dataclass(frozen=True, slots=True)
class PairedImage(KnownImage):
    """An image with its probability of pneumonia by each of two runs."""

    first: float
    second: float


def paired(session: Session, first: Run, second: Run) -> list[PairedImage]:
    """Labelled images with predictions by both runs that neither classifier was trained on, ordered by id.

    Train runs have out-of-fold predictions, so all their labelled images are included.
    """
    one, other = aliased(Prediction), aliased(Prediction)
    query = (
        select(*KNOWN, one.probability, other.probability)
        .join(one, one.image_id == Image.id)
        .join(other, other.image_id == Image.id)
        .where(one.run_id == first.id, other.run_id == second.id, Image.label.is_not(None))
        .order_by(Image.id)
    )
    if first.kind == "predict":
        query = query.where(leakage.unseen(first.train_run_id, second.train_run_id))
    rows: Iterable[Sequence[Any]] = session.execute(query)
    return [PairedImage(*row) for row in rows]


def right(image: PairedImage, first: Run, second: Run) -> Run:
    """The run with the correct prediction, for a labelled image on which the two differ, each at its own threshold."""
    assert first.threshold is not None
    return first if (image.first >= first.threshold) == (image.label == 1) else second
