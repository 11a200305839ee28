"""The files that only a run made, which go once its row is gone: its folder, and the folders of its indexes."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.models import Run
from engine.digests import members
from engine.images import thumbnail_path
from jobs.run import OWNER, belongs, folder_names, found_folder, owner_of


@dataclass(frozen=True)
class Size:
    """How many files, and the bytes in them."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True)
class Left:
    """What a run left in the artifact folder; paths are relative to it."""

    run_id: int
    folder: str | None
    """None where there is none, or none that is its own."""
    name: str
    """What its folder would be called."""
    owner: str
    """What the folder says of whose it is."""
    indexes: Sequence[str]

    @classmethod
    def of(cls, artifacts: Path, run: Run, indexes: Sequence[str]) -> "Left":
        """What is there of the run. indexes: the folders of those that it built."""
        found, (plain, _) = found_folder(artifacts, run), folder_names(artifacts, run)
        folder = None if found is None else found.relative_to(artifacts).as_posix()
        return cls(run.id, folder, plain.relative_to(artifacts).as_posix(), owner_of(run), tuple(indexes))

    def folders(self, artifacts: Path) -> Iterator[Path]:
        """The folders that are the run's and nobody else's, its own last: until it is gone it tells whose the others
        are. Another database's run may have this one's number, and then has the name of its folder too."""
        own = artifacts / self.folder if self.folder else None
        is_own = (
            own is not None and own.is_dir() and (not any(own.iterdir()) or belongs(own, self.owner, otherwise=True))
        )
        if is_own or (own is None and not (artifacts / self.name).exists()):
            yield from (path for path in map(artifacts.joinpath, self.indexes) if _inside(artifacts, path))
        if is_own and own is not None:
            yield own

    def size(self, artifacts: Path) -> Size:
        """How much it is."""
        files = [file for folder in self.folders(artifacts) for file in members(folder)]
        return Size(len(files), sum(file.stat().st_size for file in files))

    def remove(self, artifacts: Path, *, used: Collection[str]) -> Size:
        """Delete it; what was deleted already is left out. used: paths that other runs' rows refer to, which stay.
        Raises OSError."""
        removed = Size()
        for folder in self.folders(artifacts):
            path = folder.relative_to(artifacts).as_posix()
            if not any(one == path or one.startswith(f"{path}/") for one in used):
                removed += _remove(folder)
        return removed


def strangers(artifacts: Path, known: Collection[str]) -> list[str]:
    """The folders of runs that no run of this database owns: another database works here too, or a row was deleted by
    hand. known: what the owners of this one's folders say, see `jobs.run.owner_of`."""
    found = []
    for folder in sorted((artifacts / "runs").glob("*/")):
        try:
            owner = (folder / OWNER).read_text(encoding="utf-8")
        except FileNotFoundError:  # as earlier versions left them
            continue
        if owner not in known:
            found.append(folder.relative_to(artifacts).as_posix())
    return found


def remove_thumbnails(artifacts: Path, shas: Collection[str]) -> Size:
    """Delete the thumbnails of these pictures, as far as there are any. Raises OSError."""
    removed = Size()
    for sha256 in shas:
        path = thumbnail_path(artifacts, sha256)
        if path.is_file():
            removed += Size(1, path.stat().st_size)
            path.unlink(missing_ok=True)
    return removed


def thumbnails(artifacts: Path, shas: Collection[str]) -> Size:
    """How much the thumbnails of these pictures are."""
    there = [path for path in (thumbnail_path(artifacts, sha256) for sha256 in shas) if path.is_file()]
    return Size(len(there), sum(path.stat().st_size for path in there))


def _inside(artifacts: Path, path: Path) -> bool:
    """Whether it is a folder of an index in the artifact folder, links followed."""
    return path.is_dir() and path.resolve().is_relative_to((artifacts / "indexes").resolve())


def _remove(folder: Path) -> Size:
    """Delete a folder, the file that names its owner last: where this is cut off, it can be told whose the rest is."""
    files = members(folder)
    size = Size(len(files), sum(file.stat().st_size for file in files))
    for path in sorted(folder.iterdir(), key=lambda path: path.name == OWNER):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()
    return size
