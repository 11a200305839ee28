"""Locations of files: an image's file, a run's heatmap of it, exported files."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Artifact, Dataset, Image, Prediction, Run


def places(session: Session, sha256: str) -> list[tuple[str, str]]:
    """(dataset folder, relative path) of every image with these bytes, latest dataset first."""
    query = select(Dataset.root, Image.path).join(Image, Image.dataset_id == Dataset.id)
    rows = session.execute(query.where(Image.sha256 == sha256).order_by(Dataset.id.desc()))
    return [(row.root, row.path) for row in rows]


def heatmap(session: Session, run_id: int, sha256: str) -> tuple[str, int] | None:
    """(path relative to the artifact folder, row) of the run's heatmap for these bytes, or None if it has none."""
    query = (
        select(Artifact.path, Prediction.heatmap_row)
        .join(Prediction, Prediction.run_id == Artifact.run_id)
        .join(Image, Image.id == Prediction.image_id)
        .where(Artifact.run_id == run_id, Artifact.name == "heatmaps", Image.sha256 == sha256)
        .where(Prediction.heatmap_row.is_not(None))
    )
    row = session.execute(query).first()
    return None if row is None else (row.path, row.heatmap_row)


def exported(session: Session) -> Sequence[Artifact]:
    """All exported files in the artifact folder, in the order in which they were first recorded."""
    query = select(Artifact).join(Run, Run.id == Artifact.run_id).where(Run.kind == "export")
    return session.scalars(query.order_by(Artifact.id)).all()
