"""Which vector index answers a search: the current one or, if its files are damaged, the latest intact one before it;
and whether the installed embedder is the one that made it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from engine.errors import InputError
from engine.retrieval.embedders.protocol import Embedder
from engine.retrieval.index.folder import IndexDamagedError
from engine.retrieval.index.vector_index import VectorIndex

Row = TypeVar("Row")
"""The caller's handle of an index, such as its database row."""


@dataclass(frozen=True)
class ServedIndex(Generic[Row]):
    """An opened index: the caller's handle, and its vectors."""

    index: Row
    vectors: VectorIndex
    damage: str | None = None
    """If this is a fallback: what is wrong with the requested index, and how to rebuild it."""


def open_or_raise(index: Row, load: Callable[[Row], VectorIndex], *, rebuild: Callable[[], str]) -> VectorIndex:
    """The index's vectors. load: opens and verifies its folder. rebuild: the command that builds it again.
    Raises IndexDamagedError with this command."""
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
    """The index or, if it is damaged, the first intact one of `earlier`; see `open_or_raise`.

    earlier: previous indexes by the same embedder and weights, the latest first; called only if needed. Raises
    IndexDamagedError if none is intact.
    """
    try:
        return ServedIndex(index, open_or_raise(index, load, rebuild=rebuild))
    except IndexDamagedError as error:
        for other in earlier():
            with suppress(IndexDamagedError):
                return ServedIndex(other, load(other), damage=str(error))
        raise


@contextmanager
def given_weights(path: str | None) -> Iterator[Path | None]:
    """The weights at the path that `embed` was given, to load an embedder with; None, for the embedder's own places, if
    it was given none or they are no longer there, which an InputError inside then says."""
    there = Path(path) if path is not None and Path(path).exists() else None
    try:
        yield there
    except InputError as error:
        if path is None or there is not None:
            raise
        gone = f"embed was given {path}, which is no longer there: name it again with --weights"
        raise InputError(f"{error}; {gone}") from error


def check_revision(embedder: Embedder, revision: str, *, rebuild: Callable[[], str]) -> None:
    """Raises InputError if an index was made by another revision of the embedder. revision: the index's.
    rebuild: the command that builds it again."""
    if embedder.revision != revision:
        raise InputError(
            f"index of '{embedder.name}' was made with other weights, or from pictures prepared otherwise: revision "
            f"{revision[:16]}, but {embedder.revision[:16]} is here; build it again with: {rebuild()}"
        )
