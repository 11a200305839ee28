"""Which vector index answers a search: the one in force, or, where its files are damaged, the last whole one before it;
and whether the embedder at hand is the one that made it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.errors import InputError
from engine.retrieval.embedders.protocol import Embedder
from engine.retrieval.vector_index import IndexDamagedError, VectorIndex

Row = TypeVar("Row")
"""What the caller knows an index by, as its database row."""


@dataclass(frozen=True)
class ServedIndex(Generic[Row]):
    """An index that answers: what the caller knows it by, and its vectors."""

    index: Row
    vectors: VectorIndex
    damage: str | None = None
    """What is wrong with the index that was asked for, and the way out, where this earlier one stands in for it."""


def open_or_raise(index: Row, load: Callable[[Row], VectorIndex], *, rebuild: Callable[[], str]) -> VectorIndex:
    """The index's vectors. load: opens and verifies its folder. rebuild: the command that builds it again.
    Raises IndexDamagedError that names this command."""
    try:
        return load(index)
    except IndexDamagedError as error:
        raise IndexDamagedError(f"{error}; build it again with: {rebuild()}") from error


def serve(
    index: Row,
    load: Callable[[Row], VectorIndex],
    *,
    earlier: Callable[[], Iterable[Row]],
    rebuild: Callable[[], str],
) -> ServedIndex[Row]:
    """The index, or the first of `earlier` that is whole where it is damaged; see `open_or_raise`.

    earlier: the indexes by the same embedder and weights that were in force before, the latest first; asked for only
    where it is needed. Raises IndexDamagedError where none is whole.
    """
    try:
        return ServedIndex(index, open_or_raise(index, load, rebuild=rebuild))
    except IndexDamagedError as error:
        for other in earlier():
            with suppress(IndexDamagedError):
                return ServedIndex(other, load(other), damage=str(error))
        raise


def check_revision(embedder: Embedder, revision: str, *, rebuild: Callable[[], str]) -> None:
    """Raises InputError where an index was made by another revision of the embedder. revision: the index's.
    rebuild: the command that builds it again."""
    if embedder.revision != revision:
        raise InputError(
            f"index of '{embedder.name}' was made with other weights, or from pictures prepared otherwise: revision "
            f"{revision[:16]}, but {embedder.revision[:16]} is here; build it again with: {rebuild()}"
        )
