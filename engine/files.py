"""How a file or folder appears whole or not at all: written beside its place, flushed to the disk, renamed."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in `path`'s folder (made where missing) that becomes `path` once the body ends well.

    Whatever ends the body or the process early leaves an older `path` as it was. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_urlsafe(6)}{path.suffix}")
    temporary.touch(exist_ok=False)
    mode = stat.S_IMODE(temporary.stat().st_mode)  # as the umask has it; some writers put a private file in its place
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8, as one whole file."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as one whole .npy file."""
    with whole_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty temporary folder beside `folder` that takes its place once the body ends well; what a killed try left
    there goes first. Raises OSError."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            flush(path)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush(path: Path) -> None:
    """Make a file's bytes, or a folder's names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kept_array(path: Path, *shape: int) -> NDArray[Any] | None:
    """The .npy file that an earlier try left, or None where it is absent, not whole, or of another shape.

    shape: the leading axes that it must have; none accepts any.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape[: len(shape)] == shape else None
