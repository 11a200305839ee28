"""The note written before any row is deleted, so that an interrupted run's remaining files can still be found."""

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
from jobs.run import ActiveRun
from jobs.run_folders import found_folder

LEFT = "left.json"
"""The file in the run's folder that holds the note."""


@dataclass(frozen=True)
class Note:
    """The files to delete after the rows, and a summary of both."""

    left: Sequence[Left]
    thumbnails: Sequence[str]
    """The images' sha256."""
    size: Size
    rows: dict[str, int]
    runs: Sequence[dict[str, object]]
    """Id, kind and command of each forgotten run."""

    @classmethod
    def of(cls, found: Plan) -> "Note":
        """The note for this plan."""
        forgotten: list[dict[str, object]] = [
            {"run": run.id, "kind": run.kind, "command": run.command} for run in found.runs
        ]
        return cls(found.left, found.thumbnails, found.size, found.rows, forgotten)

    def json(self) -> str:
        """The note as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Note":
        """The note from its JSON text."""
        stored = json.loads(text)
        left = [Left(**{**one, "indexes": tuple(one["indexes"])}) for one in stored["left"]]
        return cls(left, stored["thumbnails"], Size(**stored["size"]), stored["rows"], stored["runs"])


def unfinished(context: Context) -> list[tuple[Run, Note]]:
    """The forget runs that were interrupted after their rows were deleted, with their notes."""
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
    """Delete the note's files that still exist and that no other run's rows refer to, and store in the run's summary
    what was forgotten. Raises OSError."""
    context = run.context
    with session.reading(context.engine) as db:
        used = forgetting.paths_of_others(db, [one.run_id for one in note.left])
        held = forgetting.elsewhere(db, note.thumbnails)
    for one in run.track(note.left, stage="removing files"):
        one.remove(context.artifacts, used=used)
    leftovers.remove_thumbnails(context.artifacts, [sha256 for sha256 in note.thumbnails if sha256 not in held])
    run.summary = {"rows": note.rows, **asdict(note.size), "runs": list(note.runs)}
