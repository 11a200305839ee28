"""The message about a lost checkpoint names the command that restores it."""

from pathlib import Path

import pytest

from db import session
from db.models import Run
from jobs.checkpoints import checkpoint_of
from jobs.command import Context, JobError
from tests.finished_runs import make_world


@pytest.mark.parametrize("command", ["python -m jobs train --dataset drawn --recipe quick --seed 3", None])
def test_a_lost_or_torn_checkpoint_is_told_of_with_the_command_of_its_run(
    context: Context, job_options: list[str], tmp_path: Path, command: str | None
) -> None:
    train = make_world(context, job_options, tmp_path / "drawn", synthetic=False).add_train()
    with session.transaction(context.engine) as db:
        trained = db.get_one(Run, train.id)
        trained.command = command
    way_out = f"train again with: {command or 'python -m jobs train --dataset drawn'}$"
    with pytest.raises(JobError, match=way_out):
        checkpoint_of(context, trained)
    (train.folder / "checkpoint").mkdir()
    (train.folder / "checkpoint" / "model.json").write_text("{}")
    train.artifact("checkpoint", train.folder / "checkpoint")
    assert checkpoint_of(context, trained) == train.folder / "checkpoint"
    (train.folder / "checkpoint" / "model.json").write_text("{")
    with pytest.raises(JobError, match=way_out):
        checkpoint_of(context, trained)
