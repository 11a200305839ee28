"""SHA-256 digests of files, folders and JSON values."""

import hashlib
import json
from pathlib import Path


def json_sha256(value: object) -> str:
    """sha256 (hex) of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, or of a folder's files (names and contents, sorted by name); an empty folder has a hash
    too. Raises FileNotFoundError if the path does not exist."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    listing = "".join(f"{file.relative_to(path).as_posix()}:{file_sha256(file)}\n" for file in members(path))
    return hashlib.sha256(listing.encode()).hexdigest()


def members(folder: Path) -> list[Path]:
    """All files below a folder, sorted by path."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file or folder exists with the recorded contents. sha256: as `file_sha256` gives it."""
    return path.exists() and file_sha256(path) == sha256
