"""Which vector index a job asks: of each embedder that in force, chosen by name, opened after its hashes agree."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, VectorIndex
from db.queries import evaluation
from engine.commands import job
from jobs.command import Context, JobError, UsageError

if TYPE_CHECKING:
    from engine.retrieval.vector_index import VectorIndex as OpenIndex


def built(context: Context, dataset: Dataset) -> list[VectorIndex]:
    """The index of each embedder that is in force, the one that came into force last first."""
    with session.reading(context.engine) as db:
        return evaluation.indexes(db, dataset.id)


def chosen(context: Context, dataset: Dataset, embedder: str | None) -> VectorIndex:
    """The index of that embedder, or the one that came into force last. Raises JobError or UsageError where none is."""
    known = built(context, dataset)
    if not known:
        raise JobError(f"no index holds dataset '{dataset.name}'; build one with: {job('embed', dataset.name)}")
    for index in known:
        if embedder in (None, index.embedder):
            return index
    names = ", ".join(index.embedder for index in known)
    raise UsageError(f"dataset '{dataset.name}' has no index of embedder '{embedder}'; it has: {names}")


def opened(context: Context, index: VectorIndex) -> "OpenIndex":
    """The index's folder, verified. Raises engine.retrieval.vector_index.IndexDamagedError, with the way out."""
    from engine.retrieval.vector_index import IndexDamagedError
    from engine.retrieval.vector_index import VectorIndex as OpenIndex

    try:
        return OpenIndex.open(context.artifacts / index.path, sha256=index.sha256)
    except IndexDamagedError as error:
        with session.reading(context.engine) as db:
            again = job("embed", db.get_one(Dataset, index.dataset_id).name, "--embedder", index.embedder)
        raise IndexDamagedError(f"{error}; build it again with: {again}") from error


def served(context: Context, index: VectorIndex) -> "tuple[VectorIndex, OpenIndex]":
    """The index that answers a search, and its folder; where it is damaged, the last good one before it, and a line
    that says so. What is stored under an index's name takes `opened`. Raises IndexDamagedError where there is none."""
    from engine.retrieval.vector_index import IndexDamagedError

    try:
        return index, opened(context, index)
    except IndexDamagedError as error:
        with session.reading(context.engine) as db:
            earlier = evaluation.earlier_indexes(db, index)
        for other in earlier:
            with suppress(IndexDamagedError):
                found = opened(context, other)
                print(f"note: {error}; the index of run {other.run_id} answers instead", file=sys.stderr)
                return other, found
        raise
