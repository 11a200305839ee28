"""In which order cases come, and where one of them stands: each order walks an index, however many cases there are.

A list sorted by what a run says has two parts: the images that it says it of, then the others as they were ingested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, tuple_, union_all
from sqlalchemy.orm import Session

from db.models import Image, Prediction
from db.queries.case_questions import Question, asks_predictions, conditions, joined

SORTS = ("wrong", "uncertain", "high", "low", "file")
"""Most wrong, nearest to the threshold, highest and lowest probability first; or as ingested."""
NEAR = 1e-9
"""Rounding that a distance from the threshold may carry."""


@dataclass(frozen=True)
class Place:
    """Where an image stands in a list: its place from 1, and the images before and after it."""

    position: int
    previous: int | None
    following: int | None


def listed(session: Session, question: Question, *, limit: int, offset: int = 0) -> Sequence[int]:
    """The ids on one page of the list."""
    if not _ranked(question):
        return session.scalars(_plain(question).order_by(Image.id).limit(limit).offset(offset)).all()
    if question.sort == "uncertain":
        first = session.scalars(_nearest(question, limit=limit, offset=offset)).all()
    else:
        first = session.scalars(_ahead(question).order_by(*_order(question)).limit(limit).offset(offset)).all()
    if len(first) == limit:
        return first
    before = offset + len(first) if first else _size(session, _ahead(question))
    rest = _behind(question).order_by(Image.id).limit(limit - len(first)).offset(max(0, offset - before))
    return [*first, *session.scalars(rest)]


def place(session: Session, question: Question, image_id: int) -> Place | None:
    """Where the image stands in the question's list, or None where it is not in it."""
    if not _ranked(question):
        return _place_in(session, _plain(question), image_id, earlier=0, last=None)
    ahead = _ahead(question)
    found = session.execute(ahead.add_columns(Prediction.probability, Prediction.error).where(Image.id == image_id))
    at = found.first()
    if at is None:
        last = session.scalars(ahead.order_by(*_order(question, backwards=True)).limit(1)).first()
        return _place_in(session, _behind(question), image_id, earlier=_size(session, ahead), last=last)
    before, after = _around(question, image_id, at.probability, at.error)
    following = session.scalars(ahead.where(after).order_by(*_order(question)).limit(1)).first()
    if following is None:
        following = session.scalars(_behind(question).order_by(Image.id).limit(1)).first()
    return Place(
        position=_size(session, ahead.where(before)) + 1,
        previous=session.scalars(ahead.where(before).order_by(*_order(question, backwards=True)).limit(1)).first(),
        following=following,
    )


def _place_in(session: Session, query: Select[Any], image_id: int, *, earlier: int, last: int | None) -> Place | None:
    """The place in a list by id, behind `earlier` others whose last is `last`."""
    if session.scalars(query.where(Image.id == image_id)).first() is None:
        return None
    before = query.where(Image.id < image_id)
    previous = session.scalars(before.order_by(Image.id.desc()).limit(1)).first()
    return Place(
        position=earlier + _size(session, before) + 1,
        previous=last if previous is None else previous,
        following=session.scalars(query.where(Image.id > image_id).order_by(Image.id).limit(1)).first(),
    )


def _ranked(question: Question) -> bool:
    return question.sort != "file" and question.run_id is not None


def _size(session: Session, query: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0


def _plain(question: Question) -> Select[Any]:
    query = select(Image.id).where(*conditions(question))
    return joined(query, question) if asks_predictions(question) else query


def _ahead(question: Question) -> Select[Any]:
    """The images that the run says something of, as a selection of ids from its predictions."""
    query = select(Prediction.image_id).join(Image, Image.id == Prediction.image_id)
    query = query.where(Prediction.run_id == question.run_id, *conditions(question))
    return query.where(Prediction.error.is_not(None)) if question.sort == "wrong" else query


def _behind(question: Question) -> Select[Any]:
    """The others that match."""
    said = [Prediction.image_id == Image.id, Prediction.run_id == question.run_id]
    said += [Prediction.error.is_not(None)] if question.sort == "wrong" else []
    if asks_predictions(question):
        missing: list[ColumnElement[bool]] = [~and_(*said[1:])]
        return joined(select(Image.id), question, inner=True).where(*conditions(question), *missing)
    return select(Image.id).where(*conditions(question), ~exists().where(*said))


def _order(question: Question, *, backwards: bool = False) -> list[Any]:
    key: dict[str, tuple[Any, bool]] = {
        "wrong": (Prediction.error, True),
        "high": (Prediction.probability, True),
        "low": (Prediction.probability, False),
    }
    if question.sort == "uncertain":
        distance, tie = _distance(question)
        return [distance.desc(), tie.desc()] if backwards else [distance, tie]
    column, falling = key[question.sort]
    return [part.desc() if falling != backwards else part for part in (column, Prediction.image_id)]


def _around(
    question: Question, image_id: int, probability: float, error: float | None
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """What stands before the image, and what stands after it."""
    if question.sort == "uncertain":
        return _around_uncertain(question, image_id, probability)
    column, value = (Prediction.error, error) if question.sort == "wrong" else (Prediction.probability, probability)
    here, there = tuple_(column, Prediction.image_id), tuple_(value, image_id)
    return (here < there, here > there) if question.sort == "low" else (here > there, here < there)


def _distance(question: Question) -> tuple[Any, Any]:
    """How far from the threshold, and what decides between equals: below it first, each side as its index runs."""
    threshold = 0.5 if question.threshold is None else question.threshold
    side = case((Prediction.probability >= threshold, Prediction.image_id), else_=-Prediction.image_id)
    return func.abs(Prediction.probability - threshold), side


def _around_uncertain(question: Question, image_id: int, probability: float) -> tuple[Any, Any]:
    threshold = 0.5 if question.threshold is None else question.threshold
    distance, tie = _distance(question)
    mine, rank = abs(probability - threshold), image_id if probability >= threshold else -image_id
    before = or_(distance < mine, and_(distance == mine, tie < rank))
    after = or_(distance > mine, and_(distance == mine, tie > rank))
    near = Prediction.probability.between(threshold - mine - NEAR, threshold + mine + NEAR)
    return and_(near, before), after


def _nearest(question: Question, *, limit: int, offset: int) -> Select[Any]:
    """The page of those nearest to the threshold: of each side as many as could be on it, then in order."""
    threshold = 0.5 if question.threshold is None else question.threshold
    distance, tie = _distance(question)
    ahead = _ahead(replace(question, sort="high")).add_columns(distance.label("distance"), tie.label("tie"))
    above = ahead.where(Prediction.probability >= threshold)
    above = above.order_by(Prediction.probability, Prediction.image_id).limit(offset + limit)
    below = ahead.where(Prediction.probability < threshold)
    below = below.order_by(Prediction.probability.desc(), Prediction.image_id.desc()).limit(offset + limit)
    both = union_all(select(above.subquery()), select(below.subquery())).subquery()
    return select(both.c.image_id).order_by(both.c.distance, both.c.tie).limit(limit).offset(offset)
