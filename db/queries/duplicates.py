"""Near-duplicate images, as found by a duplicates run."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.models import Image, NearDuplicate

Other = aliased(Image)
NEAR_DUPLICATE = "near-duplicate"
"""The stored verdict (see engine.retrieval.duplicates) of pairs that count; pairs with another verdict are only shown
on a case's page."""


@dataclass(frozen=True)
class NearDuplicateCase:
    """A near-duplicate of an image, with the stored pair."""

    pair: NearDuplicate
    image: Image


def of_image(session: Session, run_id: int, image_id: int) -> Sequence[NearDuplicateCase]:
    """The images paired with this one, nearest first."""
    other = or_(
        (NearDuplicate.image_id == image_id) & (Image.id == NearDuplicate.other_id),
        (NearDuplicate.other_id == image_id) & (Image.id == NearDuplicate.image_id),
    )
    query = select(NearDuplicate, Image).join(Image, other).where(NearDuplicate.run_id == run_id)
    query = query.order_by(NearDuplicate.hash_distance, Image.id)
    return [NearDuplicateCase(pair, image) for pair, image in session.execute(query)]


def across(session: Session, run_id: int) -> int:
    """The number of near-duplicate pairs across splits, by the images' current splits."""
    return _apart(session, run_id, Image.split.is_distinct_from(Other.split))


def of_two_patients(session: Session, run_id: int) -> int:
    """The number of near-duplicate pairs across patients, by the images' current patient keys."""
    return _apart(session, run_id, Image.patient_key.is_distinct_from(Other.patient_key))


def _apart(session: Session, run_id: int, differing: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(NearDuplicate).join(Image, Image.id == NearDuplicate.image_id)
    query = query.join(Other, Other.id == NearDuplicate.other_id).where(differing)
    query = query.where(NearDuplicate.run_id == run_id, NearDuplicate.verdict == NEAR_DUPLICATE)
    return session.scalar(query) or 0


def has_twin(run_id: int, *, other_split: bool) -> ColumnElement[bool]:
    """Condition on Image: it has a near-duplicate, with other_split one in another split."""
    pair = or_(
        (NearDuplicate.image_id == Image.id) & (Other.id == NearDuplicate.other_id),
        (NearDuplicate.other_id == Image.id) & (Other.id == NearDuplicate.image_id),
    )
    apart = [Other.split.is_distinct_from(Image.split)] if other_split else []
    return exists().where(NearDuplicate.run_id == run_id, NearDuplicate.verdict == NEAR_DUPLICATE, pair, *apart)
