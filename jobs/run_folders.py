"""The folder in which a run keeps its files, and which run a folder belongs to."""

import hashlib
from pathlib import Path

from db.models import Run
from engine.files import write_whole

OWNER = "owner.txt"
"""The file in a run's folder that identifies its run, by fingerprint and start."""


def owner_of(row: Run) -> str:
    """The text of OWNER in the run's folder."""
    return f"{row.fingerprint} {row.started.isoformat()}\n"


def own_folder(artifacts: Path, row: Run, *, older: bool) -> Path:
    """The folder that belongs to this run alone, created if missing: runs/NNNN-KIND, or runs/NNNN-KIND-HASH if that
    name is taken, for example by the run with that number in another database or in one that was deleted.

    older: the row existed before; a folder without an owner file, as earlier versions left them, then belongs to it.
    """
    owner = owner_of(row)
    plain, apart = folder_names(artifacts, row)
    folder = apart if apart.exists() else plain
    try:
        folder.mkdir(parents=True)  # if two claim at once, only one of them creates it
    except FileExistsError:
        if not belongs(folder, owner, otherwise=older):
            folder = apart
            folder.mkdir(exist_ok=True)
    if not (folder / OWNER).exists():
        write_whole(folder / OWNER, owner)
    return folder


def folder_names(artifacts: Path, row: Run) -> tuple[Path, Path]:
    """The two possible folders of the run: number and kind, or number, kind and hash."""
    plain = artifacts / "runs" / f"{row.id:04d}-{row.kind}"
    return plain, plain.with_name(f"{plain.name}-{hashlib.sha256(owner_of(row).encode()).hexdigest()[:8]}")


def found_folder(artifacts: Path, row: Run) -> Path | None:
    """The folder that the run left; None if there is none, or if the folder of that name belongs to another run."""
    plain, apart = folder_names(artifacts, row)
    if apart.is_dir():
        return apart
    return plain if plain.is_dir() and belongs(plain, owner_of(row), otherwise=True) else None


def belongs(folder: Path, owner: str, *, otherwise: bool) -> bool:
    """Whether the folder names this owner; `otherwise` if it names none."""
    try:
        return (folder / OWNER).read_text(encoding="utf-8") == owner
    except FileNotFoundError:
        return otherwise
