"""Which vector index a job asks: of each embedder the one in force, chosen by name, opened after its hashes agree."""

import sys
from functools import partial
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, VectorIndex
from db.queries import evaluation
from engine.commands import embed_again, job
from jobs.command import Context, JobError, UsageError

if TYPE_CHECKING:
    from engine.retrieval.serving import ServedIndex
    from engine.retrieval.vector_index import VectorIndex as OpenIndex


def in_force(context: Context, dataset: Dataset) -> list[VectorIndex]:
    """The index of each embedder that is in force, the one that came into force last first."""
    with session.reading(context.engine) as db:
        return evaluation.indexes(db, dataset.id)


def choose(context: Context, dataset: Dataset, embedder: str | None) -> VectorIndex:
    """The index of that embedder, or the one that came into force last. Raises JobError or UsageError where none is."""
    known = in_force(context, dataset)
    if not known:
        raise JobError(f"no index holds dataset '{dataset.name}'; build one with: {job('embed', dataset.name)}")
    for index in known:
        if embedder in (None, index.embedder):
            return index
    names = ", ".join(index.embedder for index in known)
    raise UsageError(f"dataset '{dataset.name}' has no index of embedder '{embedder}'; it has: {names}")


def open_index(context: Context, index: VectorIndex) -> "OpenIndex":
    """The index's folder, verified. Raises engine.retrieval.vector_index.IndexDamagedError, with the way out."""
    from engine.retrieval.serving import open_or_raise

    return open_or_raise(index, partial(_load, context), rebuild=partial(rebuild, context, index))


def serve_index(context: Context, index: VectorIndex) -> "ServedIndex[VectorIndex]":
    """The index that answers a search; where it is damaged, the last whole one before it, and a line that says so. What
    is stored under an index's name takes `open_index`. Raises IndexDamagedError where there is none."""
    from engine.retrieval.serving import serve

    def earlier() -> list[VectorIndex]:
        with session.reading(context.engine) as db:
            return evaluation.earlier_indexes(db, index)

    found = serve(index, partial(_load, context), earlier=earlier, rebuild=partial(rebuild, context, index))
    if found.damage is not None:
        print(f"note: {found.damage}; the index of run {found.index.run_id} answers instead", file=sys.stderr)
    return found


def rebuild(context: Context, index: VectorIndex) -> str:
    """The command that brings the index up to date."""
    with session.reading(context.engine) as db:
        return embed_again(db.get_one(Dataset, index.dataset_id).name, index.embedder)


def _load(context: Context, index: VectorIndex) -> "OpenIndex":
    from engine.retrieval.vector_index import VectorIndex as OpenIndex

    return OpenIndex.open(context.artifacts / index.path, sha256=index.sha256)
