"""The files that only one run made, deleted once its row is gone: its folder, and the folders of its indexes."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.models import Run
from engine.digests import members
from engine.imaging.images import thumbnail_path
from jobs.run_folders import OWNER, belongs, folder_names, found_folder, owner_of


@dataclass(frozen=True)
class Size:
    """A number of files, and their total bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True)
class Left:
    """What a run left in the artifact folder; paths are relative to it."""

    run_id: int
    folder: str | None
    """None if there is none that belongs to it."""
    name: str
    """The default name of its folder."""
    owner: str
    """The text of the folder's owner file."""
    indexes: Sequence[str]

    @classmethod
    def of(cls, artifacts: Path, run: Run, indexes: Sequence[str]) -> "Left":
        """The run's files that exist. indexes: the folders of the indexes that it built."""
        found, (plain, _) = found_folder(artifacts, run), folder_names(artifacts, run)
        folder = None if found is None else found.relative_to(artifacts).as_posix()
        return cls(run.id, folder, plain.relative_to(artifacts).as_posix(), owner_of(run), tuple(indexes))

    def folders(self, artifacts: Path) -> Iterator[Path]:
        """The folders that belong to this run alone, its own folder last: until that is deleted it says whose the
        others are. A run of another database can have the same number, and so the same folder name."""
        own = artifacts / self.folder if self.folder else None
        is_own = (
            own is not None and own.is_dir() and (not any(own.iterdir()) or belongs(own, self.owner, otherwise=True))
        )
        if is_own or (own is None and not (artifacts / self.name).exists()):
            yield from (path for path in map(artifacts.joinpath, self.indexes) if _inside(artifacts, path))
        if is_own and own is not None:
            yield own

    def size(self, artifacts: Path) -> Size:
        """Their files and bytes."""
        files = [file for folder in self.folders(artifacts) for file in members(folder)]
        return Size(len(files), sum(file.stat().st_size for file in files))

    def remove(self, artifacts: Path, *, used: Collection[str]) -> Size:
        """Delete what still exists. used: paths that other runs' rows refer to, which are kept. Raises OSError."""
        removed = Size()
        for folder in self.folders(artifacts):
            path = folder.relative_to(artifacts).as_posix()
            if not any(one == path or one.startswith(f"{path}/") for one in used):
                removed += _remove(folder)
        return removed


def strangers(artifacts: Path, known: Collection[str]) -> list[str]:
    """Run folders that no run of this database owns: another database uses the artifact folder too, or a row was
    deleted by hand. known: the owner texts of this database's runs, see `jobs.run_folders.owner_of`."""
    found = []
    for folder in sorted((artifacts / "runs").glob("*/")):
        try:
            owner = (folder / OWNER).read_text(encoding="utf-8")
        except FileNotFoundError:  # left by an earlier version
            continue
        if owner not in known:
            found.append(folder.relative_to(artifacts).as_posix())
    return found


def remove_thumbnails(artifacts: Path, shas: Collection[str]) -> Size:
    """Delete the existing thumbnails of these images. Raises OSError."""
    removed = Size()
    for sha256 in shas:
        path = thumbnail_path(artifacts, sha256)
        if path.is_file():
            removed += Size(1, path.stat().st_size)
            path.unlink(missing_ok=True)
    return removed


def thumbnails(artifacts: Path, shas: Collection[str]) -> Size:
    """Files and bytes of these images' thumbnails."""
    there = [path for path in (thumbnail_path(artifacts, sha256) for sha256 in shas) if path.is_file()]
    return Size(len(there), sum(path.stat().st_size for path in there))


def _inside(artifacts: Path, path: Path) -> bool:
    """Whether the path is an index folder in the artifact folder, after following links."""
    return path.is_dir() and path.resolve().is_relative_to((artifacts / "indexes").resolve())


def _remove(folder: Path) -> Size:
    """Delete a folder, its owner file last, so that after an interruption the rest can still be attributed."""
    files = members(folder)
    size = Size(len(files), sum(file.stat().st_size for file in files))
    for path in sorted(folder.iterdir(), key=lambda path: path.name == OWNER):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()
    return size
