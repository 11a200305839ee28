"""The vector indexes of a dataset, current and earlier."""

from collections.abc import Collection

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.models import Run, VectorIndex


def current(session: Session, dataset_id: int) -> list[VectorIndex]:
    """The current index of each embedder, the one that became current last first; that one is used by default."""
    found: dict[str, VectorIndex] = {}
    for row in session.scalars(_latest_first().where(VectorIndex.dataset_id == dataset_id, Run.status == "finished")):
        found.setdefault(row.embedder, row)
    return list(found.values())


def existing(session: Session, ids: Collection[int]) -> list[VectorIndex]:
    """Those of these indexes that still exist, the one that became current last first."""
    return list(session.scalars(_latest_first().where(VectorIndex.id.in_(ids))))


def _latest_first() -> Select[VectorIndex]:
    joined = select(VectorIndex).join(Run, Run.id == VectorIndex.run_id)
    return joined.order_by(Run.current_since.desc(), VectorIndex.id.desc())


def of_run(session: Session, run_id: int) -> VectorIndex | None:
    """The index that the run built, or None."""
    return session.scalars(select(VectorIndex).where(VectorIndex.run_id == run_id)).first()


def earlier(session: Session, index: VectorIndex) -> list[VectorIndex]:
    """Earlier indexes of finished runs by the same embedder and weights, for the same dataset, latest first."""
    known = of_embedder(session, index.dataset_id, index.embedder, index.revision)
    ids = [other.id for other in known]
    return known[ids.index(index.id) + 1 :] if index.id in ids else known  # missing while its run is repeated


def of_embedder(session: Session, dataset_id: int, embedder: str, revision: str) -> list[VectorIndex]:
    """The dataset's indexes of finished runs by that embedder and weights, the current one first."""
    same = (VectorIndex.dataset_id == dataset_id, VectorIndex.embedder == embedder, VectorIndex.revision == revision)
    return list(session.scalars(_latest_first().where(*same, Run.status == "finished")))
