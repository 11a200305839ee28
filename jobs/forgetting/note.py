"""What is written down before any row goes, so that the files which are left can be found whenever it is cut off."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from db import forgetting, session
from db.models import Run
from db.queries import datasets, runs
from jobs.command import Context
from jobs.forgetting import leftovers
from jobs.forgetting.leftovers import Left, Size
from jobs.forgetting.plan import Plan
from jobs.run import ActiveRun, found_folder

LEFT = "left.json"
"""The file in the run's folder that holds the note."""


@dataclass(frozen=True)
class Note:
    """The files that are to go after the rows, and what is told of those."""

    left: Sequence[Left]
    thumbnails: Sequence[str]
    """Pictures, by sha256."""
    size: Size
    rows: dict[str, int]
    runs: Sequence[dict[str, object]]
    """Number, kind and command of each run that is forgotten."""

    @classmethod
    def of(cls, found: Plan) -> "Note":
        """The plan's."""
        told: list[dict[str, object]] = [
            {"run": run.id, "kind": run.kind, "command": run.command} for run in found.runs
        ]
        return cls(found.left, found.thumbnails, found.size, found.rows, told)

    def json(self) -> str:
        """As the file has it."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Note":
        """From the file."""
        said = json.loads(text)
        left = [Left(**{**one, "indexes": tuple(one["indexes"])}) for one in said["left"]]
        return cls(left, said["thumbnails"], Size(**said["size"]), said["rows"], said["runs"])


def unswept(context: Context) -> list[tuple[Run, Note]]:
    """The runs that were cut off after the rows had gone, with their notes."""
    found = []
    with session.reading(context.engine) as db:
        for row in runs.forgettings(db):
            folder = found_folder(context.artifacts, row)
            if row.status == "finished" or runs.status(row) == "running" or folder is None:
                continue
            there = any(runs.find(db, number) is not None for number in row.config["runs"])
            if (folder / LEFT).is_file() and not there and datasets.find(db, row.config.get("dataset", "")) is None:
                found.append((row, Note.read((folder / LEFT).read_text(encoding="utf-8"))))
    return found


def sweep(run: ActiveRun, note: Note) -> None:
    """Delete the files, and say in the run's summary what was forgotten. What was deleted already is left out, and so
    is what another run's rows refer to by now. Raises OSError."""
    context = run.context
    with session.reading(context.engine) as db:
        used = forgetting.paths_of_others(db, [one.run_id for one in note.left])
        held = forgetting.elsewhere(db, note.thumbnails)
    for one in run.track(note.left, stage="removing files"):
        one.remove(context.artifacts, used=used)
    leftovers.remove_thumbnails(context.artifacts, [sha256 for sha256 in note.thumbnails if sha256 not in held])
    run.summary = {"rows": note.rows, **asdict(note.size), "runs": list(note.runs)}
