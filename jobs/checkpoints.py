"""Where a train run's checkpoint is, and the command that makes it again where it is lost."""

from pathlib import Path

from db import session
from db.models import Dataset, Run
from db.queries import runs
from engine.commands import job
from engine.digests import is_whole
from jobs.command import Context, JobError


def checkpoint_of(context: Context, trained: Run, name: str = "checkpoint") -> Path:
    """The folder of the weights that the train run keeps under this name. Raises JobError where it is not as the run
    wrote it, with the command that makes it again."""
    with session.reading(context.engine) as db:
        made = runs.artifact(db, trained.id, name)
    if made is None or not is_whole(context.artifacts / made.path, made.sha256):
        raise JobError(
            f"train run {trained.id} has no {name}, or not that which it wrote; train again with: "
            f"{repeating(context, trained)}"
        )
    return context.artifacts / made.path


def repeating(context: Context, run: Run) -> str:
    """The command that does a run again: its own where that is known, else its job on its dataset."""
    with session.reading(context.engine) as db:
        return run.command or job(run.kind, db.get_one(Dataset, run.dataset_id).name)
