"""The location of a train run's checkpoint, and the command that restores a lost one."""

from pathlib import Path

from db import session
from db.models import Dataset, Run
from db.queries import runs
from engine.commands import job
from engine.digests import is_whole
from jobs.command import Context, JobError


def checkpoint_of(context: Context, trained: Run, name: str = "checkpoint") -> Path:
    """The folder of the weights that the train run stores under this name. Raises JobError, with the command to train
    again, if they are missing or have changed."""
    with session.reading(context.engine) as db:
        made = runs.artifact(db, trained.id, name)
    if made is None or not is_whole(context.artifacts / made.path, made.sha256):
        raise JobError(
            f"the {name} of train run {trained.id} is missing or damaged; train again with: "
            f"{repeating(context, trained)}"
        )
    return context.artifacts / made.path


def repeating(context: Context, run: Run) -> str:
    """The command that repeats a run: its own if that is known, else its job on its dataset."""
    with session.reading(context.engine) as db:
        return run.command or job(run.kind, db.get_one(Dataset, run.dataset_id).name)
