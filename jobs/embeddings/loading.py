"""Loads the embedder that a job uses."""

from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Run
from jobs.checkpoints import checkpoint_of
from jobs.command import Context

if TYPE_CHECKING:
    from engine.retrieval.embedders import Embedder


def load(context: Context, name: str, *, train_run_id: int | None, weights: Path | None = None) -> "Embedder":
    """The embedder called `name`; `classifier` loads the train run's checkpoint. Raises InputError, JobError."""
    from engine.retrieval.embedders import load_embedder

    checkpoint = None
    if train_run_id is not None:
        with session.reading(context.engine) as db:
            trained = db.get_one(Run, train_run_id)
        checkpoint = checkpoint_of(context, trained)
    return load_embedder(name, models=context.models, weights=weights, checkpoint=checkpoint)
