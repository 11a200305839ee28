"""What is written: inserts that can be repeated, on both databases."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Table, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.models import Artifact, Base, Image, Metric

T = TypeVar("T")
BATCH = 500


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of at most `size` items, in order."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def upsert(
    session: Session, model: type[Base], rows: Sequence[dict[str, Any]], *, unique: Sequence[str], update: bool = True
) -> None:
    """Insert `rows`; where `unique` columns collide, overwrite the others, or with update=False keep the old row."""
    table = model.__table__
    assert isinstance(table, Table)
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    for batch in batches(rows):
        statement = dialect.insert(table).values(batch)
        changed = {name: statement.excluded[name] for name in batch[0] if name not in unique}
        if update and changed:
            statement = statement.on_conflict_do_update(index_elements=list(unique), set_=changed)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=list(unique))
        session.execute(statement)


def metrics(session: Session, run_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Store a run's metric values (name, split, value; slice, step, low, high, n where known) over older ones."""
    empty = {"slice": "all", "step": -1, "low": None, "high": None, "n": None}
    full = [{**empty, **row, "run_id": run_id} for row in rows]
    upsert(session, Metric, full, unique=("run_id", "name", "split", "slice", "step"))


def clear(session: Session, model: type[Base], run_id: int) -> None:
    """Forget the rows of `model` that the run wrote, before it writes them anew."""
    table = model.__table__
    session.execute(delete(table).where(table.c.run_id == run_id))  # type: ignore[arg-type]


def forget_images(session: Session, ids: Sequence[int]) -> None:
    """Delete images with everything that hangs on them: predictions, reports, reviews."""
    for batch in batches(ids):
        session.execute(delete(Image).where(Image.id.in_(batch)))


def disown(session: Session, run_id: int, paths: Sequence[str]) -> None:
    """Forget that runs other than `run_id` made the files at `paths`, which it has written anew."""
    for batch in batches(paths):
        session.execute(delete(Artifact).where(Artifact.path.in_(batch), Artifact.run_id != run_id))
