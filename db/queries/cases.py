"""The images that match a question, a page at a time, with predictions."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import CompoundSelect, Select, and_, bindparam, exists, select
from sqlalchemy.orm import Session, aliased

from db.batches import batches
from db.models import Dataset, Image, ImageTally, Prediction, Run
from db.queries.case_counts import confusion as confusion
from db.queries.case_counts import count as count
from db.queries.case_order import Place as Place
from db.queries.case_order import listed as listed
from db.queries.case_order import place as place
from db.queries.case_questions import LABELS as LABELS
from db.queries.case_questions import UNKNOWN as UNKNOWN
from db.queries.case_questions import Outcome as Outcome
from db.queries.case_questions import Question as Question
from db.queries.case_questions import asks_predictions, conditions, joined
from db.queries.case_questions import given as given
from db.queries.runs import CURRENT_FIRST


@dataclass(frozen=True)
class Case:
    """One image with a run's prediction; probability and outcome are None if unknown."""

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


LABEL_NAMES: dict[int | None, str] = {value: name for name, value in LABELS.items()}
"""Label -> its name in files and on the command line."""


def label_name(label: int | None) -> str | None:
    """The label's name, None if it is unknown."""
    return None if label is None else LABEL_NAMES[label]


def outcome(label: int | None, probability: float | None, threshold: float | None) -> Outcome | None:
    """TP, FP, TN or FN, or None if label, probability or threshold is unknown."""
    if label is None or probability is None or threshold is None:
        return None
    if probability >= threshold:
        return "TP" if label == 1 else "FP"
    return "FN" if label == 1 else "TN"


def page(session: Session, question: Question, *, limit: int = 48, offset: int = 0) -> list[Case]:
    """The cases of one page, in the question's order; without any that a job deletes in the meantime."""
    wanted = listed(session, question, limit=limit, offset=offset)
    found = several(session, wanted, run_id=question.run_id, threshold=question.threshold)
    return [found[image_id] for image_id in wanted if image_id in found]


def ids(session: Session, question: Question) -> Sequence[int]:
    """The ids of all images that match."""
    return session.scalars(matching(question)).all()


def ids_narrowed(session: Session, question: Question) -> Sequence[int] | None:
    """The ids of all images that `matching_held_out` finds; None if the question has no filters, so that every image
    of the dataset matches."""
    if question == Question(question.dataset_id):
        return None
    return session.scalars(matching_held_out(session, question)).all()


def matching(question: Question) -> Select[int]:
    """The query for the ids of all images that match, for use in other queries."""
    query: Select[int] = select(Image.id).where(*conditions(question))
    return joined(query, question, inner=True) if asks_predictions(question) else query


def matching_held_out(session: Session, question: Question) -> Select[int] | CompoundSelect[int]:
    """As `matching`; for images without a prediction by the question's predict run, the out-of-fold predictions of its
    train run are used, at the question's threshold."""
    found = matching(question)
    run = session.get(Run, question.run_id) if asks_predictions(question) and question.run_id else None
    trained = run.config.get("train_run") if run else None
    if trained is None:
        return found
    own = aliased(Prediction)
    scored = exists().where(own.run_id == question.run_id, own.image_id == Image.id)
    return found.union_all(matching(replace(question, run_id=int(trained))).where(~scored))


def of_dataset(session: Session, dataset_id: int, ids: Sequence[int]) -> Sequence[int]:
    """Those of these images that are in the dataset."""
    of_it = select(Image.id).where(Image.dataset_id == dataset_id)
    return [number for part in batches(ids) for number in session.scalars(of_it.where(Image.id.in_(part)))]


def dataset_of(session: Session, image_id: int) -> int | None:
    """The id of the image's dataset, or None if there is no such image."""
    return session.scalar(select(Image.dataset_id).where(Image.id == image_id))


def named(session: Session, dataset_id: int, name: str) -> int | None:
    """The id of the first image whose file has this name, with or without folders and suffix, ignoring case and the
    encoding of accents; None if there is none."""
    wanted = _plain(name)
    # Databases differ in handling case and accents beyond ASCII, so only the ASCII parts are compared there.
    ascii_parts = re.findall("[ -~]+", unicodedata.normalize("NFC", name))
    query = select(Image.id, Image.path).where(
        Image.dataset_id == dataset_id, *(Image.path.icontains(part, autoescape=True) for part in ascii_parts)
    )
    for number, path in session.execute(query.order_by(Image.id)):
        file = PurePosixPath(_plain(path))
        if wanted in (str(file), file.name, file.stem):
            return int(number)
    return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def of_patient(session: Session, image_id: int) -> Sequence[int]:
    """The ids of all images of the image's patient, itself included."""
    own = select(Image.dataset_id, Image.patient_key).where(Image.id == image_id).subquery()
    same = and_(Image.dataset_id == own.c.dataset_id, Image.patient_key == own.c.patient_key)
    return session.scalars(select(Image.id).join(own, same)).all()


def one(session: Session, image_id: int, *, run_id: int | None = None, threshold: float | None = None) -> Case | None:
    """One image with the run's prediction, or None if there is no such image."""
    question = Question(dataset_id=0, run_id=run_id, threshold=threshold)
    row = session.execute(joined(_columns(), question).where(Image.id == image_id)).first()
    return None if row is None else _case(row, question)


def several(session: Session, ids: Sequence[int], *, run_id: int | None, threshold: float | None) -> dict[int, Case]:
    """The images with these ids, with the run's predictions, by id."""
    question = Question(dataset_id=0, run_id=run_id, threshold=threshold)
    rows = (row for part in batches(ids) for row in session.execute(_several(run_id), {"ids": part}))
    return {row.id: _case(row, question) for row in rows}


def predictions(session: Session, image_id: int) -> list[tuple[Run, Prediction]]:
    """The predictions for the image by all finished runs, latest run first."""
    query = select(Run, Prediction).join(Prediction, Prediction.run_id == Run.id).where(Prediction.image_id == image_id)
    rows = session.execute(query.where(Run.status == "finished").order_by(Run.id.desc()))
    return [(run, prediction) for run, prediction in rows]


def explained(session: Session, image_id: int) -> Run | None:
    """Of the finished runs with a heatmap of the image, the one that became current last; None if there is none."""
    query = select(Run).join(Prediction, Prediction.run_id == Run.id).where(Prediction.image_id == image_id)
    query = query.where(Prediction.heatmap_row.is_not(None), Run.status == "finished")
    return session.scalars(query.order_by(*CURRENT_FIRST).limit(1)).first()


def runs(session: Session, dataset_id: int) -> Sequence[Run]:
    """Finished runs with predictions for the dataset: predict runs, then train runs (out of fold); each kind with the
    current run first."""
    predicted = exists().where(Prediction.run_id == Run.id)
    query = select(Run).where(Run.dataset_id == dataset_id, Run.kind.in_(("predict", "train")), predicted)
    query = query.where(Run.status == "finished")
    return session.scalars(query.order_by(Run.kind, *CURRENT_FIRST)).all()


def causes(session: Session, dataset_id: int) -> list[str]:
    """The causes of pneumonia in the dataset, sorted."""
    query = select(ImageTally.cause).where(ImageTally.dataset_id == dataset_id).distinct()
    return sorted(cause for cause in session.scalars(query) if cause)


@lru_cache(maxsize=64)
def _several(run_id: int | None) -> Select[Any]:
    """The query of `several`, with the parameter `ids`. Cached, because building it takes as long as running it."""
    asked = joined(_columns(), Question(dataset_id=0, run_id=run_id))
    return asked.where(Image.id.in_(bindparam("ids", expanding=True)))


def _columns() -> Select[Any]:
    """A SELECT of the fields of a Case, in order, except the outcome."""
    columns: list[Any] = [Image.id, Image.dataset_id, Image.sha256, Image.path, Dataset.root, Image.split, Image.label]
    columns += [Image.cause, Image.patient_key, Image.width, Image.height, Image.file_count]
    columns += [Prediction.probability, Prediction.fold, Prediction.heatmap_row, Prediction.zones]
    return select(*columns).select_from(Image).join(Dataset, Dataset.id == Image.dataset_id)


def _case(row: Any, question: Question) -> Case:
    values: list[Any] = [*row, outcome(row.label, row.probability, question.threshold)]
    return Case(*values)
