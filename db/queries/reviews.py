"""Readers' reviews of images; and the next image for a blind review, without information that could bias the reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from db.batches import batches
from db.models import AnswerSeen, Image, ImageTag, Prediction, Review
from db.queries import cases
from db.queries.cases import Question

PREFIX = 16
"""Number of hash characters that identify an image in a URL; its id would reveal its position in the dataset."""
OFFERED = 200

Other = aliased(Review)


@dataclass(frozen=True)
class Film:
    """All that a blind review may reveal about an image before the verdict: its id and hash."""

    image_id: int
    sha256: str

    @property
    def name(self) -> str:
        """Its name in URLs and widgets."""
        return self.sha256[:PREFIX]


@dataclass(frozen=True)
class ListedReview:
    """A review with its tags. superseded: whether the same reader reviewed the image again later."""

    review: Review
    image: Image
    tags: tuple[str, ...]
    superseded: bool


@dataclass(frozen=True)
class ReviewQuestion:
    """The filters of a list of reviews; None means no filter."""

    dataset_id: int
    reviewer: str | None = None
    verdict: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class FirstVerdict:
    """A reader's first verdict on an image, with label and prediction."""

    image_id: int
    patient_key: str
    reviewer: str
    verdict: str
    label: int | None
    probability: float | None
    """By the question's run; None if it has no prediction."""


def film(session: Session, dataset_id: int, image_id: int) -> Film | None:
    """The image with this id, or None if the dataset has no such image."""
    query = select(Image.id, Image.sha256).where(Image.dataset_id == dataset_id, Image.id == image_id)
    return _film(session, query)


def named(session: Session, dataset_id: int, name: str) -> Film | None:
    """The image whose hash starts with `name`, or None."""
    query = select(Image.id, Image.sha256).where(Image.dataset_id == dataset_id, _from(name), Image.sha256 < f"{name}g")
    return _film(session, query.order_by(Image.sha256))


def next_film(session: Session, question: Question, reviewer: str, *, after: str | None = None) -> Film | None:
    """The next image of the question that the reader has not reviewed, or None if there is none.

    Images are ordered by hash, which reveals nothing about their content and is the same for every reader, so that
    readers who review only some of many images review the same ones and can be compared. after: the name of an image to
    skip for now; it and those before it come after all others.
    """
    own = exists().where(Review.image_id == Image.id, Review.reviewer == reviewer)
    query = cases.matching(question).with_only_columns(Image.id, Image.sha256).where(~own).order_by(Image.sha256)
    start = f"{after}g" if after else ""
    return _film(session, query.where(_from(start))) or _film(session, query.where(~_from(start)))


def judged(session: Session, question: Question, reviewer: str) -> int:
    """The number of images of the question that the reader has reviewed."""
    query = select(func.count(Review.image_id.distinct())).where(Review.reviewer == reviewer)
    return session.scalar(query.where(_is_of(cases.matching(question)))) or 0


def latest(session: Session, image_id: int, reviewer: str) -> ListedReview | None:
    """The reader's latest review of the image, or None."""
    query = select(Review, Image).join(Image).where(Review.image_id == image_id, Review.reviewer == reviewer)
    return next(iter(_listed(session, query.order_by(Review.id.desc()).limit(1))), None)


def answer_seen(session: Session, image_id: int, reviewer: str) -> bool:
    """Whether the reader took back a verdict on the image, after which they may have seen the answer."""
    return session.get(AnswerSeen, (image_id, reviewer)) is not None


def last(session: Session, dataset_id: int, reviewer: str) -> ListedReview | None:
    """The reader's last review in the dataset, of any image, or None."""
    query = _matching(select(Review, Image).join(Image), ReviewQuestion(dataset_id, reviewer=reviewer))
    return next(iter(_listed(session, query.order_by(Review.id.desc()).limit(1))), None)


def of_image(session: Session, image_id: int) -> list[ListedReview]:
    """All reviews of the image, latest first."""
    query = select(Review, Image).join(Image).where(Review.image_id == image_id)
    return _listed(session, query.order_by(Review.id.desc()))


def tags_alone(session: Session, image_id: int) -> Sequence[str]:
    """The image's tags that are not part of a review."""
    query = select(ImageTag.name).where(ImageTag.image_id == image_id, ImageTag.review_id.is_(None))
    return session.scalars(query.order_by(ImageTag.name)).all()


def tags_in_use(session: Session, dataset_id: int) -> Sequence[str]:
    """The tags on the dataset's images, most frequent first, at most OFFERED."""
    query = select(ImageTag.name).join(Image, Image.id == ImageTag.image_id).where(Image.dataset_id == dataset_id)
    query = query.group_by(ImageTag.name).order_by(func.count().desc(), ImageTag.name).limit(OFFERED)
    return session.scalars(query).all()


def tags_of(session: Session, image_ids: Sequence[int]) -> dict[int, list[str]]:
    """Image id -> its tags, sorted by name, for these images."""
    query = select(ImageTag.image_id, ImageTag.name).where(ImageTag.image_id.in_(image_ids)).distinct()
    found: dict[int, list[str]] = {}
    for image_id, name in session.execute(query.order_by(ImageTag.name)):
        found.setdefault(image_id, []).append(name)
    return found


def reviewers(session: Session, dataset_id: int) -> dict[str, int]:
    """Reviewer -> number of reviews of the dataset's images, most first."""
    query = _matching(select(Review.reviewer, func.count()), ReviewQuestion(dataset_id)).group_by(Review.reviewer)
    return dict(session.execute(query.order_by(func.count().desc(), Review.reviewer)).all())


def count(session: Session, question: ReviewQuestion) -> int:
    """The number of reviews that match."""
    return session.scalar(_matching(select(func.count()).select_from(Review), question)) or 0


def page(
    session: Session, question: ReviewQuestion, *, limit: int | None = None, offset: int = 0
) -> list[ListedReview]:
    """Reviews that match, latest first; all without a limit."""
    query = _matching(select(Review, Image).join(Image), question).order_by(Review.id.desc()).offset(offset)
    return _listed(session, query if limit is None else query.limit(limit))


def probabilities(session: Session, run_id: int | None, question: ReviewQuestion) -> dict[int, float]:
    """Image id -> probability by the run, for the images of these reviews."""
    reviewed = _matching(select(Review.image_id), question)
    query = select(Prediction.image_id, Prediction.probability).where(Prediction.run_id == (run_id or 0))
    return dict(session.execute(query.where(Prediction.image_id.in_(reviewed))).all())


def verdicts(session: Session, question: Question, *, blind: bool) -> list[FirstVerdict]:
    """Every reader's first verdict on each image of the question, which later information cannot have influenced, with
    the run's prediction. blind: only verdicts of readers who had been shown nothing about the image."""
    columns = (Image.id, Image.patient_key, Review.reviewer, Review.verdict, Image.label, Prediction.probability)
    own = and_(Prediction.image_id == Image.id, Prediction.run_id == (question.run_id or 0))
    query = select(*columns).join(Image, Image.id == Review.image_id).join(Prediction, own, isouter=True)
    query = query.where(~_repeated(), _is_of(cases.matching(question)))
    if blind:
        query = query.where(Review.unblinded_by == "")
    query = query.order_by(Review.image_id, Review.reviewer)
    return [FirstVerdict(*row) for row in session.execute(query)]


def _film(session: Session, query: Select[*tuple[Any, ...]]) -> Film | None:
    row = session.execute(query.limit(1)).first()
    return None if row is None else Film(*row)


def _from(start: str) -> ColumnElement[bool]:
    return Image.sha256 >= start


def _superseded() -> ColumnElement[bool]:
    return exists().where(Other.image_id == Review.image_id, Other.reviewer == Review.reviewer, Other.id > Review.id)


def _repeated() -> ColumnElement[bool]:
    return exists().where(Other.image_id == Review.image_id, Other.reviewer == Review.reviewer, Other.id < Review.id)


def _is_of(images: Select[int]) -> ColumnElement[bool]:
    """Condition on Review: its image is among these. Tested per review, because there are far fewer reviews than
    images, which a join would scan."""
    return images.where(Image.id == Review.image_id).correlate(Review).scalar_subquery().is_not(None)


def _matching(query: Select[*tuple[Any, ...]], question: ReviewQuestion) -> Select[*tuple[Any, ...]]:
    query = query.where(_is_of(select(Image.id).where(Image.dataset_id == question.dataset_id)))
    if question.reviewer is not None:
        query = query.where(Review.reviewer == question.reviewer)
    if question.verdict is not None:
        query = query.where(Review.verdict == question.verdict)
    if question.tag is not None:
        query = query.where(exists().where(ImageTag.review_id == Review.id, ImageTag.name == question.tag))
    return query


def _listed(session: Session, query: Select[*tuple[Any, ...]]) -> list[ListedReview]:
    """The reviews and images of a query, with their tags."""
    rows = session.execute(query.add_columns(_superseded())).all()
    tags: dict[int | None, list[str]] = {}
    for part in batches(review.id for review, _, _ in rows):
        found = select(ImageTag.review_id, ImageTag.name).where(ImageTag.review_id.in_(part)).order_by(ImageTag.id)
        for review_id, name in session.execute(found):
            tags.setdefault(review_id, []).append(name)
    return [ListedReview(review, image, tuple(tags.get(review.id, ())), bool(later)) for review, image, later in rows]
