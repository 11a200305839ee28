"""What a file, a folder or a JSON value holds, as one sha256."""

import hashlib
import json
from pathlib import Path


def json_sha256(value: object) -> str:
    """sha256 of a JSON value, in whatever order its keys come."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's files (names and contents, in name order). Raises FileNotFoundError where
    there is neither, as an empty folder has a hash too."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    listing = "".join(f"{file.relative_to(path).as_posix()}:{file_sha256(file)}\n" for file in members(path))
    return hashlib.sha256(listing.encode()).hexdigest()


def members(folder: Path) -> list[Path]:
    """The files below a folder, in name order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def is_whole(path: Path, sha256: str) -> bool:
    """Whether a file or folder is there with the contents it was recorded with."""
    return path.exists() and file_sha256(path) == sha256
