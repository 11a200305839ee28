"""The rows of a vector index with their images."""

from typing import TYPE_CHECKING

from db import session
from db.models import VectorIndex
from db.queries import predictions
from db.queries.predictions import KnownImage
from jobs import indexes
from jobs.command import Context

if TYPE_CHECKING:
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex

Rows = list[tuple[int, KnownImage]]
"""Row numbers of an index, each with its image."""


def index_rows(context: Context, index: VectorIndex) -> "tuple[OpenIndex, Rows]":
    """The opened index and its rows. Raises engine.retrieval.index.folder.IndexDamagedError if its folder has changed
    since it was written."""
    opened = indexes.open_index(context, index)
    with session.reading(context.engine) as db:
        known = predictions.images(db, opened.ids.tolist())
    return opened, [(row, known[int(number)]) for row, number in enumerate(opened.ids) if int(number) in known]


def test_rows(rows: Rows) -> tuple[str, Rows]:
    """ "test" and the rows of test images, or "all" and all rows if there is no test image."""
    test = [(row, image) for row, image in rows if image.split == "test"]
    return "test" if test else "all", test or rows
