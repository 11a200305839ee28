"""The order of case lists, and the position of a case in one: every order follows an index, for any number of cases.

A list sorted by a run's predictions has two parts: images with a prediction, then the others in order of ingestion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select, tuple_, union_all
from sqlalchemy.orm import Session

from db.models import Image, Prediction
from db.queries import case_counts, case_seeking
from db.queries.case_questions import Question, asks_predictions, conditions, few, joined
from db.queries.case_seeking import NEAR, Start

SORTS = ("wrong", "uncertain", "high", "low", "file")
"""Most wrong, nearest to the threshold, highest or lowest probability first; or in order of ingestion."""
FAR = 10_000
"""Offset from which a page is not reached by scanning from the start of the list."""


WALKED = 16
"""Number of images scanned in the time that finding and sorting one takes, among a million."""


@dataclass(frozen=True)
class Place:
    """An image's position in a list, from 1, and the ids of the images before and after it."""

    position: int
    previous: int | None
    following: int | None


def listed(session: Session, question: Question, *, limit: int, offset: int = 0) -> Sequence[int]:
    """The ids on one page of the list."""
    question = case_counts.planned(session, _indexed(question))
    ranked = _ranked(question)
    share = case_counts.share(session, question)
    if share is not None and not share[0]:
        return []
    start = case_seeking.start(session, question, _ahead(question), offset) if ranked and offset >= FAR else None
    by_id = not ranked and _common(share, offset + limit)
    first = session.scalars(_first(question, start, limit, offset, by_id)).all()
    if len(first) == limit or not ranked:
        return first
    before = offset + len(first) if first else _ahead_count(session, question)
    rest = _behind(question).order_by(Image.id).limit(limit - len(first)).offset(max(0, offset - before))
    return [*first, *session.scalars(rest)]


@lru_cache(maxsize=256)
def _first(question: Question, start: Start | None, limit: int, offset: int, by_id: bool) -> Select[Any]:
    """The query for a page's ids from the list's first part, or from a list by id, scanning from `start`. Cached,
    because building it takes longer than running it."""
    if not _ranked(question):
        return _plain(question, by_id=by_id).order_by(Image.id).limit(limit).offset(offset)
    ahead = _ahead(question)
    if start is not None:
        ahead, offset = ahead.where(~case_seeking.past(question, start.value)), offset - start.before
    if question.sort == "uncertain":
        return _nearest(question, ahead, start.value if start else 0.0, limit=limit, offset=offset)
    return ahead.order_by(*_order(question)).limit(limit).offset(offset)


def place(session: Session, question: Question, image_id: int) -> Place | None:
    """The image's place in the question's list, or None if it is not in it."""
    question = case_counts.planned(session, _indexed(question))
    if not _ranked(question):
        query = _plain(question, by_id=_common(case_counts.share(session, question), 1))
        return _place_in(session, query, image_id, earlier=0, last=None)
    ahead = _ahead(question)
    found = session.execute(ahead.add_columns(Prediction.probability, Prediction.error).where(Image.id == image_id))
    at = found.first()
    if at is None:
        last = session.scalars(_last(question, ahead)).first()
        return _place_in(session, _behind(question), image_id, earlier=_ahead_count(session, question), last=last)
    before, after = _around(question, image_id, at.probability, at.error)
    value = at.error if question.sort == "wrong" else at.probability
    if question.sort == "uncertain":
        value = abs(at.probability - case_seeking.nearest(question))
    earlier = case_seeking.before(session, question, ahead, before, value)
    if question.sort == "uncertain":
        later = _nearest(question, ahead.where(after), value, limit=1, offset=0)
    else:
        later = ahead.where(after).order_by(*_order(question)).limit(1)
    following = session.scalars(later).first()
    if following is None:
        following = session.scalars(_behind(question).order_by(Image.id).limit(1)).first()
    return Place(
        position=(_size(session, ahead.where(before)) if earlier is None else earlier) + 1,
        previous=session.scalars(_last(question, ahead.where(before))).first(),
        following=following,
    )


def _place_in(session: Session, query: Select[Any], image_id: int, *, earlier: int, last: int | None) -> Place | None:
    """The place in a list by id that comes after `earlier` other images, the last of which is `last`."""
    if session.scalars(query.where(Image.id == image_id)).first() is None:
        return None
    before = query.where(Image.id < image_id)
    previous = session.scalars(before.order_by(Image.id.desc()).limit(1)).first()
    return Place(
        position=earlier + _size(session, before) + 1,
        previous=last if previous is None else previous,
        following=session.scalars(query.where(Image.id > image_id).order_by(Image.id).limit(1)).first(),
    )


def _indexed(question: Question) -> Question:
    """The same list sorted by error, if that gives the same order: among normal images the highest probability is the
    most wrong, among pneumonias the lowest. Images on the other side of the threshold are then not scanned.
    """
    falling = question.sort == "high" and (question.label == "normal" or question.outcome in ("FP", "TN"))
    rising = question.sort == "low" and (question.label == "pneumonia" or question.outcome in ("FN", "TP"))
    return replace(question, sort="wrong") if falling or rising else question


def _ranked(question: Question) -> bool:
    return question.sort != "file" and question.run_id is not None


def _ahead_count(session: Session, question: Question) -> int:
    """The number of images in the list's first part."""
    number = case_seeking.total(session, question)
    return _size(session, _ahead(question)) if number is None else number


def _size(session: Session, query: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0


def _plain(question: Question, *, by_id: bool) -> Select[Any]:
    query = select(Image.id).where(*conditions(question, by_id=by_id))
    return joined(query, question) if asks_predictions(question) else query


def _common(share: tuple[int, int] | None, reach: int) -> bool:
    """Whether so many images of a list by id match that scanning to its first `reach` is faster than finding all
    matches by probability or error and sorting them, which costs WALKED times as much per image."""
    return share is not None and WALKED * share[0] ** 2 > reach * share[1]


def _unindexed(question: Question, column: Any) -> Any:
    """The column, or if there are few images an expression that no index covers."""
    return column + 0 if few(question) else column


def _ahead(question: Question) -> Select[Any]:
    """A query for the ids of matching images in the list's first part, from the run's predictions."""
    query = select(Prediction.image_id).join(Image, Image.id == Prediction.image_id)
    wanted = conditions(question, by_error=question.sort == "wrong")
    query = query.where(_unindexed(question, Prediction.run_id) == question.run_id, *wanted)
    return query.where(_unindexed(question, Prediction.error).is_not(None)) if question.sort == "wrong" else query


def _behind(question: Question) -> Select[Any]:
    """A query for the ids of the other matching images."""
    ranked = [Prediction.image_id == Image.id, Prediction.run_id == question.run_id]
    ranked += [Prediction.error.is_not(None)] if question.sort == "wrong" else []
    if asks_predictions(question):
        missing: list[ColumnElement[bool]] = [~and_(*ranked[1:])]
        return joined(select(Image.id), question, inner=True).where(*conditions(question), *missing)
    return select(Image.id).where(*conditions(question), ~exists().where(*ranked))


def _last(question: Question, ahead: Select[Any]) -> Select[Any]:
    """A query for the last image of `ahead` in the list."""
    if question.sort == "uncertain":
        return _farthest(question, ahead)
    return ahead.order_by(*_order(question, backwards=True)).limit(1)


def _order(question: Question, *, backwards: bool = False) -> list[Any]:
    """The ORDER BY of every sort except "uncertain", which needs two index scans; see `_nearest`."""
    falling = (question.sort != "low") != backwards
    key = _unindexed(question, case_seeking.key(question))
    return [part.desc() if falling else part for part in (key, Prediction.image_id)]


def _around(
    question: Question, image_id: int, probability: float, error: float | None
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Conditions for what comes before the image, and after it."""
    if question.sort == "uncertain":
        return _around_uncertain(question, image_id, probability)
    column, value = (Prediction.error, error) if question.sort == "wrong" else (Prediction.probability, probability)
    column = _unindexed(question, column)
    here, there = tuple_(column, Prediction.image_id), tuple_(value, image_id)
    return (here < there, here > there) if question.sort == "low" else (here > there, here < there)


def _distance(question: Question) -> tuple[Any, Any, Any]:
    """The distance from the threshold, and two keys that break ties (also those due to rounding): images below the
    threshold first, each side in the order of its index."""
    above = Prediction.probability >= case_seeking.nearest(question)
    outwards = case((above, Prediction.probability), else_=-Prediction.probability)
    return case_seeking.key(question), outwards, case((above, Prediction.image_id), else_=-Prediction.image_id)


def _keys(question: Question) -> list[Any]:
    return [key.label(name) for key, name in zip(_distance(question), ("distance", "outwards", "tie"), strict=True)]


def _around_uncertain(question: Question, image_id: int, probability: float) -> tuple[Any, Any]:
    threshold = case_seeking.nearest(question)
    distance, side = abs(probability - threshold), 1 if probability >= threshold else -1
    here, there = tuple_(*_distance(question)), tuple_(distance, side * probability, side * image_id)
    predicted = _unindexed(question, Prediction.probability)
    near = predicted.between(threshold - distance - NEAR, threshold + distance + NEAR)
    return and_(near, here < there), here > there


def _nearest(question: Question, ahead: Select[Any], reached: float, *, limit: int, offset: int) -> Select[Any]:
    """A query for the page of `ahead` sorted by distance from the threshold: from each side as many as could be on the
    page, then merged. reached: a lower bound of the distance on this page."""
    threshold, keys = case_seeking.nearest(question), _keys(question)
    probability, number, reached = Prediction.probability, Prediction.image_id, max(0.0, reached - NEAR)
    if few(question):
        return ahead.order_by(*_distance(question)).limit(limit).offset(offset)
    query = ahead.add_columns(*keys)
    above = query.where(probability >= threshold + reached).order_by(probability, number)
    below = query.where(probability < threshold, probability <= threshold - reached)
    below = below.order_by(probability.desc(), number.desc())
    both = union_all(*(select(side.limit(offset + limit).subquery()) for side in (above, below))).subquery()
    return select(both.c.image_id).order_by(*(both.c[key.name] for key in keys)).limit(limit).offset(offset)


def _farthest(question: Question, ahead: Select[Any]) -> Select[Any]:
    """A query for the image of `ahead` farthest from the threshold, the last one of ties."""
    threshold, keys = case_seeking.nearest(question), _keys(question)
    probability, number = Prediction.probability, Prediction.image_id
    if few(question):
        return ahead.order_by(*(key.desc() for key in _distance(question))).limit(1)
    query = ahead.add_columns(*keys)
    above = query.where(probability >= threshold).order_by(probability.desc(), number.desc())
    below = query.where(probability < threshold).order_by(probability, number)
    both = union_all(*(select(side.limit(1).subquery()) for side in (above, below))).subquery()
    return select(both.c.image_id).order_by(*(both.c[key.name].desc() for key in keys)).limit(1)
