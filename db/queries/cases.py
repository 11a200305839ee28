"""Which images match a question: by split, label, cause, outcome and probability, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select, true
from sqlalchemy.orm import Session

from db.models import Dataset, Image, Prediction, Report, Run
from db.queries import duplicates

Outcome = Literal["TP", "FP", "TN", "FN"]
OUTCOMES: tuple[Outcome, ...] = ("TP", "FN", "FP", "TN")
LABELS: dict[str, int | None] = {"pneumonia": 1, "normal": 0, "unknown": None}
UNKNOWN = "unknown"
LAST = -9.0
"""Sort key of an image that the run has no prediction for."""


@dataclass(frozen=True)
class Question:
    """What a list of cases is about; None leaves a side open.

    split and cause may be "unknown". outcome, low, high and every sort but "file" speak of the run's predictions.
    """

    dataset_id: int
    run_id: int | None = None
    threshold: float | None = None
    """In [0, 1]; a probability at or above it counts as pneumonia."""
    split: str | None = None
    label: str | None = None
    """A key of LABELS."""
    cause: str | None = None
    outcome: str | None = None
    """One of OUTCOMES, or "wrong" for FP and FN together."""
    reported: str | None = None
    """"yes" for images that a report describes, "no" for those that none does."""
    twin: tuple[int, bool] | None = None
    """A duplicates run: only images that it found another nearly like; True: one of another split."""
    low: float = 0.0
    high: float = 1.0
    sort: str = "file"
    """A key of SORTS."""


@dataclass(frozen=True)
class Case:
    """One image as a run sees it; probability and outcome are None where that is unknown."""

    id: int
    dataset_id: int
    sha256: str
    path: str
    root: str
    split: str | None
    label: int | None
    cause: str | None
    patient_key: str
    width: int
    height: int
    file_count: int
    probability: float | None
    fold: int | None
    heatmap_row: int | None
    zones: dict[str, Any] | None
    outcome: Outcome | None


@dataclass(frozen=True)
class Place:
    """Where an image stands in a list: its place from 1, and the images before and after it."""

    position: int
    previous: int | None
    following: int | None


SORTS: dict[str, Any] = {
    "wrong": func.abs(Prediction.probability - Image.label),
    "uncertain": None,  # needs the threshold, see _key
    "high": Prediction.probability,
    "low": 1.0 - Prediction.probability,
    "file": literal(0.0),
}
"""Sort keys; the largest comes first, then the image that was ingested first."""


def outcome(label: int | None, probability: float | None, threshold: float | None) -> Outcome | None:
    """TP, FP, TN or FN of a probability against a label, or None where one of the three is unknown."""
    if label is None or probability is None or threshold is None:
        return None
    if probability >= threshold:
        return "TP" if label == 1 else "FP"
    return "FN" if label == 1 else "TN"


def page(session: Session, question: Question, *, limit: int = 48, offset: int = 0) -> list[Case]:
    """The cases of one page, in the question's order."""
    query = _cases(question).order_by(_key(question).desc(), Image.id).limit(limit).offset(offset)
    return [_case(row, question) for row in session.execute(query)]


def count(session: Session, question: Question) -> int:
    """How many distinct images match."""
    query = select(func.count()).select_from(Image).where(*_where(question))
    return session.scalar(_joined(query, question) if _asks_predictions(question) else query) or 0


def ids(session: Session, question: Question) -> Sequence[int]:
    """The ids of all images that match."""
    return session.scalars(matching(question)).all()


def matching(question: Question) -> Select[int]:
    """The selection of their ids, for other queries to stand on."""
    query: Select[int] = select(Image.id).where(*_where(question))
    return _joined(query, question) if _asks_predictions(question) else query


def of_patient(session: Session, image_id: int) -> Sequence[int]:
    """The ids of all images of the image's patient, its own among them."""
    own = select(Image.dataset_id, Image.patient_key).where(Image.id == image_id).subquery()
    same = and_(Image.dataset_id == own.c.dataset_id, Image.patient_key == own.c.patient_key)
    return session.scalars(select(Image.id).join(own, same)).all()


def confusion(session: Session, question: Question) -> dict[Outcome, int] | None:
    """Distinct images by outcome under the question's other sides; None where there is no run or no threshold."""
    if question.run_id is None or question.threshold is None:
        return None
    positive = case((Prediction.probability >= question.threshold, 1), else_=0)
    query = (
        _joined(select(Image.label, positive, func.count()).select_from(Image), question, inner=True)
        .where(*_where(replace(question, outcome=None)), Image.label.is_not(None))
        .group_by(Image.label, positive)
    )
    counts: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
    names: dict[tuple[int, int], Outcome] = {(1, 1): "TP", (1, 0): "FN", (0, 1): "FP", (0, 0): "TN"}
    for label, predicted, number in session.execute(query):
        counts[names[label, predicted]] = number
    return counts


def one(session: Session, image_id: int, *, run_id: int | None = None, threshold: float | None = None) -> Case | None:
    """One image with the run's prediction of it, or None where no such image is."""
    question = Question(dataset_id=0, run_id=run_id, threshold=threshold)
    row = session.execute(_joined(_columns(), question).where(Image.id == image_id)).first()
    return None if row is None else _case(row, question)


def several(session: Session, ids: Sequence[int], *, run_id: int | None, threshold: float | None) -> dict[int, Case]:
    """The images with these ids, by id."""
    question = Question(dataset_id=0, run_id=run_id, threshold=threshold)
    rows = session.execute(_joined(_columns(), question).where(Image.id.in_(ids)))
    return {row.id: _case(row, question) for row in rows}


def place(session: Session, question: Question, image_id: int) -> Place | None:
    """Where the image stands in the question's list, or None where it is not in it."""
    key = _key(question)
    listed = _joined(select(key).select_from(Image), question).where(*_where(question), Image.id == image_id)
    at = session.scalars(listed).first()
    if at is None:
        return None
    before = or_(key > at, and_(key == at, Image.id < image_id))
    after = or_(key < at, and_(key == at, Image.id > image_id))
    ids = _joined(select(Image.id), question).where(*_where(question)).limit(1)
    earlier = _joined(select(func.count()).select_from(Image), question).where(*_where(question), before)
    return Place(
        position=(session.scalar(earlier) or 0) + 1,
        previous=session.scalar(ids.where(before).order_by(key, Image.id.desc())),
        following=session.scalar(ids.where(after).order_by(key.desc(), Image.id)),
    )


def runs(session: Session, dataset_id: int) -> Sequence[Run]:
    """Finished runs that predicted images of the dataset: test predictions, then out-of-fold ones, latest first."""
    predicted = exists().where(Prediction.run_id == Run.id)
    query = select(Run).where(Run.dataset_id == dataset_id, Run.kind.in_(("predict", "train")), predicted)
    query = query.where(Run.status == "finished")
    return session.scalars(query.order_by(Run.kind, Run.id.desc())).all()


def causes(session: Session, dataset_id: int) -> list[str]:
    """The causes that the dataset names."""
    query = select(Image.cause).where(Image.dataset_id == dataset_id, Image.cause.is_not(None)).distinct()
    return sorted(cause for cause in session.scalars(query) if cause)


def _columns() -> Select[Any]:
    columns: list[Any] = [Image.id, Image.dataset_id, Image.sha256, Image.path, Image.split, Image.label, Image.cause]
    columns += [Image.patient_key, Image.width, Image.height, Image.file_count, Dataset.root]
    columns += [Prediction.probability, Prediction.fold, Prediction.heatmap_row, Prediction.zones]
    return select(*columns).select_from(Image).join(Dataset, Dataset.id == Image.dataset_id)


def _cases(question: Question) -> Select[Any]:
    return _joined(_columns(), question).where(*_where(question))


def _joined(query: Select[Any], question: Question, *, inner: bool = False) -> Select[Any]:
    on = and_(Prediction.image_id == Image.id, Prediction.run_id == (question.run_id or 0))
    return query.join(Prediction, on, isouter=not inner)


def _key(question: Question) -> ColumnElement[float]:
    key = SORTS[question.sort]
    if question.sort == "uncertain":
        threshold = 0.5 if question.threshold is None else question.threshold
        key = 1.0 - func.abs(Prediction.probability - threshold)
    return func.coalesce(key, LAST)


def _asks_predictions(question: Question) -> bool:
    return question.outcome is not None or (question.low, question.high) != (0.0, 1.0)


def _where(question: Question) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = [Image.dataset_id == question.dataset_id]
    if question.split is not None:
        clauses.append(Image.split.is_(None) if question.split == UNKNOWN else Image.split == question.split)
    if question.label is not None:
        label = LABELS[question.label]
        clauses.append(Image.label.is_(None) if label is None else Image.label == label)
    if question.cause is not None:
        # a normal image has no cause to know
        unknown = Image.cause.is_(None) & Image.label.is_distinct_from(LABELS["normal"])
        clauses.append(unknown if question.cause == UNKNOWN else Image.cause == question.cause)
    if question.reported is not None:
        described = exists().where(Report.image_sha256 == Image.sha256)
        clauses.append(described if question.reported == "yes" else ~described)
    if question.twin is not None:
        run_id, apart = question.twin
        clauses.append(duplicates.has_twin(run_id, other_split=apart))
    if _asks_predictions(question):
        clauses.append(Prediction.probability.between(question.low, question.high))
    if question.outcome is not None:
        clauses.append(_outcome_is(question.outcome, question.threshold))
    return clauses


def _outcome_is(wanted: str, threshold: float | None) -> ColumnElement[bool]:
    if threshold is None:
        return ~true()
    found = Prediction.probability >= threshold
    clauses = {
        "TP": and_(Image.label == 1, found),
        "FN": and_(Image.label == 1, ~found),
        "FP": and_(Image.label == 0, found),
        "TN": and_(Image.label == 0, ~found),
    }
    return or_(clauses["FP"], clauses["FN"]) if wanted == "wrong" else clauses[wanted]


def _case(row: Any, question: Question) -> Case:
    values = dict(row._mapping)
    return Case(**values, outcome=outcome(row.label, row.probability, question.threshold))
