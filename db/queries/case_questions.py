"""Filters for lists of cases, and their conditions in SQL."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, exists, or_, select, true
from sqlalchemy.orm import aliased

from db.models import Image, ImageMeasure, ImageTag, Prediction, Report, Review, SliceMember
from db.queries import attributes, duplicates
from db.queries.audit import UNDER
from db.queries.outliers import OUTLIER

Outcome = Literal["TP", "FP", "TN", "FN"]
OUTCOMES: tuple[Outcome, ...] = ("TP", "FN", "FP", "TN")
LABELS: dict[str, int | None] = {"pneumonia": 1, "normal": 0, "unknown": None}
UNKNOWN = "unknown"

Later = aliased(Review)
Judged, Described = aliased(Image), aliased(Image)


@dataclass(frozen=True)
class Plan:
    """Which images are looked up first, because they are few, instead of testing every image; only affects speed."""

    attribute: tuple[str, str] | None = None
    """Those with this one of the question's attributes."""
    reports: bool = False
    """Those with a report."""


@dataclass(frozen=True)
class Question:
    """The filters and order of a list of cases; None means no filter.

    split and cause may be "unknown". outcome, changed_by_threshold, differs_from, agrees_with, low, high and every
    sort except "file" refer to the run's predictions.
    """

    dataset_id: int
    run_id: int | None = None
    threshold: float | None = None
    """In [0, 1]; a probability at or above it is predicted positive."""
    own_threshold: float | None = None
    """The run's own threshold, which may differ from `threshold`."""
    split: str | None = None
    label: str | None = None
    """A key of LABELS."""
    cause: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """(name, value) pairs, all of which images must have; value "unknown" means images without the attribute."""
    outcome: str | None = None
    """One of OUTCOMES, or "wrong" for FP and FN together."""
    changed_by_threshold: bool = False
    """Only cases with another prediction at the run's own threshold."""
    differs_from: tuple[int, float] | None = None
    """Another run and its threshold: only cases for which its prediction differs."""
    agrees_with: tuple[tuple[int, float], ...] = ()
    """Other runs and their thresholds: only cases that all of them scored and call the same."""
    reported: str | None = None
    """"yes" for images with a report, "no" for images without."""
    near_duplicate: tuple[int, bool] | None = None
    """A duplicates run, and whether across splits: only images with a near-duplicate, if True in another split."""
    slice_id: int | None = None
    """Only images in this slice of an audit."""
    changed_under: tuple[int, str] | None = None
    """An audit and a stress: only images whose call at the run's own threshold changed under it."""
    outlier_of: int | None = None
    """An embed run: only images that it found unlike most others."""
    tag: str | None = None
    ids: tuple[int, ...] | None = None
    """Only these images."""
    reviewed: str | None = None
    """"yes", "no", or "doubted": the latest verdict of some reader is the opposite of the label."""
    low: float = 0.0
    high: float = 1.0
    """Only probabilities in [low, high); with high = 1 also 1."""
    sort: str = "file"
    """One of case_order.SORTS."""
    plan: Plan = Plan()
    """See `case_counts.planned`."""


def given(question: Question) -> set[str]:
    """The names of the fields that differ from their default; "dataset_id" always does."""
    return {field.name for field in fields(question) if getattr(question, field.name) != field.default}


def asks_predictions(question: Question) -> bool:
    """Whether only images with a prediction can match."""
    narrowed = (question.low, question.high) != (0.0, 1.0)
    other = question.changed_by_threshold or question.differs_from is not None or bool(question.agrees_with)
    return narrowed or question.outcome is not None or other


def few(question: Question) -> bool:
    """Whether the images are a small set, for which looking them up and sorting is faster than scanning all of a run's
    predictions."""
    sets = (question.tag, question.slice_id, question.changed_under, question.outlier_of, question.ids)
    named = any(side is not None for side in sets)
    named = named or question.plan.attribute is not None
    return named or question.reviewed in ("yes", "doubted") or (question.reported == "yes" and question.plan.reports)


def joined(query: Select[Any], question: Question, *, inner: bool = False) -> Select[Any]:
    """`query`, a SELECT from Image, joined with the run's predictions; inner: only images with a prediction."""
    on = and_(Prediction.image_id == Image.id, Prediction.run_id == (question.run_id or 0))
    return query.join(Prediction, on, isouter=not inner)


def conditions(question: Question, *, by_id: bool = False, by_error: bool = True) -> list[ColumnElement[bool]]:
    """The question's conditions on Image and, if it has any, on Prediction.

    by_id: phrased so that no index of probabilities or errors is used and images are scanned by id; always so if there
    are `few`. by_error: include the redundant condition on the error that an outcome implies, which lets lists sorted
    by error skip other outcomes.
    """
    found = _of_images(question)
    if asks_predictions(question):
        by_id = by_id or few(question)
        found += _of_predictions(question, by_id=by_id, by_error=by_error and not by_id)
    return found


def _of_images(question: Question) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Image.dataset_id == question.dataset_id]
    if question.split is not None:
        found.append(Image.split.is_(None) if question.split == UNKNOWN else Image.split == question.split)
    if question.label is not None:
        label = LABELS[question.label]
        found.append(Image.label.is_(None) if label is None else Image.label == label)
    if question.cause is not None:
        found.append(cause_is(question.cause))
    found += [_has(question, *pair) for pair in question.attributes]
    if question.reported is not None:
        found.append(_described(question) if question.reported == "yes" else ~_described(question))
    if question.near_duplicate is not None:
        run_id, apart = question.near_duplicate
        found.append(duplicates.has_twin(run_id, other_split=apart))
    if question.slice_id is not None:
        members = select(SliceMember.image_id).where(SliceMember.slice_id == question.slice_id)
        found.append(Image.id.in_(members))
    if question.changed_under is not None:
        run_id, stress = question.changed_under
        changed = select(ImageMeasure.image_id).where(
            ImageMeasure.run_id == run_id, ImageMeasure.name == UNDER + stress
        )
        found.append(Image.id.in_(changed))
    if question.outlier_of is not None:
        odd = select(ImageMeasure.image_id).where(
            ImageMeasure.run_id == question.outlier_of, ImageMeasure.name == OUTLIER
        )
        found.append(Image.id.in_(odd))
    if question.tag is not None:
        found.append(Image.id.in_(select(ImageTag.image_id).where(ImageTag.name == question.tag)))
    if question.ids is not None:
        found.append(Image.id.in_(question.ids))
    if question.reviewed is not None:
        found.append(_reviewed(question.reviewed))
    return found


def _has(question: Question, name: str, value: str) -> ColumnElement[bool]:
    if (name, value) == question.plan.attribute:
        return Image.id.in_(attributes.holders(name, value))
    return attributes.has(name, value)


def cause_is(cause: str) -> ColumnElement[bool]:
    """Condition on Image: its cause is this one, or "unknown"; the cause of a normal image is not unknown."""
    unknown = Image.cause.is_(None) & Image.label.is_distinct_from(LABELS["normal"])
    return unknown if cause == UNKNOWN else Image.cause == cause


def _described(question: Question) -> ColumnElement[bool]:
    if question.plan.reports:
        here, films = Described.dataset_id == question.dataset_id, select(Report.image_sha256).distinct()
        return Image.id.in_(select(Described.id).where(here, Described.sha256.in_(films)))
    return exists().where(Report.image_sha256 == Image.sha256)


def _reviewed(state: str) -> ColumnElement[bool]:
    if state == "doubted":
        same = and_(Later.image_id == Review.image_id, Later.reviewer == Review.reviewer, Later.id > Review.id)
        opposite = or_(
            and_(Judged.label == 1, Review.verdict == "normal"), and_(Judged.label == 0, Review.verdict == "pneumonia")
        )
        doubted = select(Review.image_id).join(Judged, Judged.id == Review.image_id)
        return Image.id.in_(doubted.where(opposite, ~exists().where(same)))
    judged = Image.id.in_(select(Review.image_id).distinct())  # distinct, so that SQLite starts with them
    return judged if state == "yes" else ~judged


def _of_predictions(question: Question, *, by_id: bool, by_error: bool) -> list[ColumnElement[bool]]:
    probability: SQLColumnExpression[float] = Prediction.probability + 0.0 if by_id else Prediction.probability
    found: list[ColumnElement[bool]] = [probability.is_not(None)]
    if question.low > 0.0:
        found.append(probability >= question.low)
    if question.high < 1.0:
        found.append(probability < question.high)
    if question.outcome is not None:
        found.append(outcome_is(question.outcome, question.threshold, probability, by_error=by_error))
    if question.changed_by_threshold:
        found.append(_between(probability, question.threshold, question.own_threshold))
    called = probability >= (2.0 if question.threshold is None else question.threshold)
    if question.differs_from is not None:
        found.append(_called(~called, *question.differs_from))
    return found + [_called(called, *other) for other in question.agrees_with]


def _called(call: ColumnElement[bool], run_id: int, threshold: float) -> ColumnElement[bool]:
    """Condition on Image: another run scored it and, at this threshold, makes this call."""
    other = aliased(Prediction)
    elsewhere = and_(other.image_id == Image.id, other.run_id == run_id)
    return exists().where(elsewhere, (other.probability >= threshold) == call)


def _between(probability: SQLColumnExpression[float], one: float | None, other: float | None) -> ColumnElement[bool]:
    if one is None or other is None:
        return ~true()
    return and_(probability >= min(one, other), probability < max(one, other))


def outcome_is(
    wanted: str, threshold: float | None, probability: SQLColumnExpression[float], *, by_error: bool
) -> ColumnElement[bool]:
    """Condition on Image and Prediction: they have this outcome. by_error: see `conditions`."""
    if threshold is None:
        return ~true()
    found = probability >= threshold
    error = Prediction.error
    outcomes = {
        "TP": (Image.label == 1, found, error <= 1.0 - threshold),
        "FN": (Image.label == 1, ~found, error >= 1.0 - threshold),
        "FP": (Image.label == 0, found, error >= threshold),
        "TN": (Image.label == 0, ~found, error <= threshold),
    }
    clauses = {name: and_(*(sides if by_error else sides[:2])) for name, sides in outcomes.items()}
    if wanted != "wrong":
        return clauses[wanted]
    wrong = or_(clauses["FP"], clauses["FN"])
    return and_(wrong, error >= min(threshold, 1.0 - threshold)) if by_error else wrong
