"""What two runs of the same kind said of the same images."""

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
    """Why two runs cannot be compared, in words, or None where they can."""
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
    """The other runs of its kind and data set, however they ended, the latest first; no more than 100."""
    return session.scalars(_alike(run).where(Run.id != run.id).limit(100)).all()


def previous(session: Session, run: Run) -> Run | None:
    """The run of its kind and data set before it, or None where it was the first."""
    return session.scalars(_alike(run).where(Run.id < run.id).limit(1)).first()


def _alike(run: Run) -> Select[Run]:
    return select(Run).where(Run.kind == run.kind, Run.dataset_id == run.dataset_id).order_by(Run.id.desc())


@dataclass(frozen=True, slots=True)
class PairedImage(KnownImage):
    """An image with the probability of pneumonia that each of two runs gave it."""

    first: float
    second: float


def paired(session: Session, first: Run, second: Run) -> list[PairedImage]:
    """Labelled images that both runs scored and that are a test of both classifiers, in image order.

    Of train runs the predictions are out of fold, so all count.
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
    """Of two runs whose verdicts on a labelled image differ, each at its own threshold, the one that has it right."""
    assert first.threshold is not None
    return first if (image.first >= first.threshold) == (image.label == 1) else second
