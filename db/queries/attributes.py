"""Attributes of images: sex, age group, view and the like."""

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, select
from sqlalchemy.orm import Session

from db.batches import batches
from db.models import Image, ImageAttribute

UNKNOWN = "unknown"
"""Value that stands for images without the attribute."""


def of_images(session: Session, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Image id -> value by attribute name, for these images; images without attributes are left out."""
    parts = (_rows().where(ImageAttribute.image_id.in_(part)) for part in batches(ids))
    return _by_image(row for query in parts for row in session.execute(query))


def of_dataset(session: Session, dataset_id: int) -> dict[int, dict[str, str]]:
    """Image id -> value by attribute name, for all images of a dataset that have attributes."""
    query = _rows().join(Image, Image.id == ImageAttribute.image_id).where(Image.dataset_id == dataset_id)
    return _by_image(session.execute(query))


def counts(session: Session, dataset_id: int) -> dict[str, dict[str, int]]:
    """The number of images of the dataset with each value of each attribute, counted from the rows."""
    query = select(ImageAttribute.name, ImageAttribute.value, func.count())
    query = query.join(Image, Image.id == ImageAttribute.image_id).where(Image.dataset_id == dataset_id)
    found: dict[str, dict[str, int]] = {}
    keys = query.selected_columns[:2]
    for name, value, images in session.execute(query.group_by(*keys).order_by(*keys)):
        found.setdefault(name, {})[value] = images
    return found


def fingerprint(session: Session, dataset_id: int) -> str:
    """Hash of the attributes of a dataset's images; "" if there are none."""
    query = select(Image.sha256, ImageAttribute.name, ImageAttribute.value)
    query = query.join(Image, Image.id == ImageAttribute.image_id).where(Image.dataset_id == dataset_id)
    digest, rows = hashlib.sha256(), 0
    for row in session.execute(query.order_by(Image.sha256, ImageAttribute.name)):
        digest.update(repr(tuple(row)).encode())
        rows += 1
    return digest.hexdigest() if rows else ""


def holders(name: str, value: str) -> Select[int]:
    """The ids of all images that have this value of an attribute."""
    return select(ImageAttribute.image_id).where(ImageAttribute.name == name, ImageAttribute.value == value)


def has(name: str, value: str) -> ColumnElement[bool]:
    """Condition on Image: it has this value of an attribute, or for UNKNOWN no value."""
    of_it = and_(ImageAttribute.image_id == Image.id, ImageAttribute.name == name)
    if value == UNKNOWN:
        return ~exists().where(of_it)
    return exists().where(of_it, ImageAttribute.value == value)


def _rows() -> Select[int, str, str]:
    query = select(ImageAttribute.image_id, ImageAttribute.name, ImageAttribute.value)
    return query.order_by(ImageAttribute.image_id, ImageAttribute.name)


def _by_image(rows: Iterable[Row[int, str, str]]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for image_id, name, value in rows:
        found.setdefault(image_id, {})[name] = value
    return found
