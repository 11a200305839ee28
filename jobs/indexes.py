"""The vector index that a job searches: each embedder's current one, chosen by name, opened after verification."""

import sys
from functools import partial
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, VectorIndex
from db.queries import indexes
from engine.commands import embed_again, job
from engine.retrieval.embedders import lies_apart
from jobs.command import Context, JobError, UsageError

if TYPE_CHECKING:
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex
    from engine.retrieval.serving import ServedIndex


def current(context: Context, dataset: Dataset) -> list[VectorIndex]:
    """Each embedder's current index, the latest first."""
    with session.reading(context.engine) as db:
        return indexes.current(db, dataset.id)


def choose(context: Context, dataset: Dataset, embedder: str | None, *, alike: bool = False) -> VectorIndex:
    """The current index of that embedder, or the latest index. Raises JobError or UsageError if there is none.

    alike: prefer an index whose embedder treats training images as it does others.
    """
    known = current(context, dataset)
    if alike:
        known.sort(key=lambda index: lies_apart(index.embedder))
    if not known:
        raise JobError(f"dataset '{dataset.name}' has no vector index; build one with: {job('embed', dataset.name)}")
    for index in known:
        if embedder in (None, index.embedder):
            return index
    names = ", ".join(index.embedder for index in known)
    raise UsageError(f"dataset '{dataset.name}' has no index of embedder '{embedder}'; it has: {names}")


def open_index(context: Context, index: VectorIndex) -> "OpenIndex":
    """The index, verified and opened. Raises engine.retrieval.index.folder.IndexDamagedError, with the way out."""
    from engine.retrieval.serving import open_or_raise

    return open_or_raise(index, partial(_load, context), rebuild=partial(rebuild, context, index))


def serve_index(context: Context, index: VectorIndex) -> "ServedIndex[VectorIndex]":
    """The index that answers a search; if it is damaged, the latest intact one before it, with a note. Use `open_index`
    for results that are stored under the index's name. Raises IndexDamagedError if there is none."""
    from engine.retrieval.serving import serve

    def earlier() -> list[VectorIndex]:
        with session.reading(context.engine) as db:
            return indexes.earlier(db, index)

    found = serve(index, partial(_load, context), earlier=earlier, rebuild=partial(rebuild, context, index))
    if found.damage is not None:
        print(f"note: {found.damage}; using the earlier index of run {found.index.run_id}", file=sys.stderr)
    return found


def rebuild(context: Context, index: VectorIndex) -> str:
    """The command that brings the index up to date."""
    with session.reading(context.engine) as db:
        return embed_again(db.get_one(Dataset, index.dataset_id).name, index.embedder)


def _load(context: Context, index: VectorIndex) -> "OpenIndex":
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex

    return OpenIndex.open(context.artifacts / index.path, sha256=index.sha256)
