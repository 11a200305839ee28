"""The train run whose classifier a job uses, where its checkpoint is, and the command that restores a lost one."""

from pathlib import Path

from db import session
from db.models import Dataset, Run
from db.queries import runs
from engine.commands import job
from engine.digests import is_whole
from jobs.command import Context, JobError, UsageError


def train_run(context: Context, dataset: Dataset, number: int | None) -> Run:
    """The finished train run with this number, or the dataset's current one.

    Another dataset's classifier must be named explicitly, and one trained on phantoms is never used on radiographs.
    Raises UsageError or JobError.
    """
    with session.reading(context.engine) as db:
        if number is not None:
            found = db.get(Run, number)
            if found is None or found.kind != "train" or found.status != "finished":
                raise UsageError(
                    f"run {number} is not a finished train run; choose one on the Runs page, or leave --train-run out"
                )
            learned_from = db.get(Dataset, found.dataset_id)
            if learned_from is not None and learned_from.synthetic and not dataset.synthetic:
                raise UsageError(
                    f"run {number} was trained on SYNTHETIC phantoms and cannot be used on radiographs; choose another "
                    "with --train-run"
                )
            return found
        found = runs.current(db, "train", dataset.id)
        other = runs.current(db, "train")
    if found is None:
        known = f", or use another dataset's with --train-run {other.id}" if other else ""
        raise JobError(
            f"dataset '{dataset.name}' has no trained classifier; train one with: {job('train', dataset.name)}{known}"
        )
    return found


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
