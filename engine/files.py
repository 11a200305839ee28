"""Atomic writes: a file or folder is written beside its destination, flushed to disk and renamed into place."""

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
    """A temporary path in `path`'s folder (created if missing) that becomes `path` when the body ends without an error.

    If the body or the process ends early, an existing `path` stays as it was. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_urlsafe(6)}{path.suffix}")
    temporary.touch(exist_ok=False)
    mode = stat.S_IMODE(temporary.stat().st_mode)  # from the umask; some writers replace the file by a private one
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8, atomically."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as a .npy file, atomically."""
    with whole_file(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty temporary folder beside `folder` that replaces it when the body ends without an error; leftovers of a
    killed attempt are removed first. Raises OSError."""
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
    """fsync a file's contents, or a folder's entries, so that they survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kept_array(path: Path, *shape: int) -> NDArray[Any] | None:
    """The array in a .npy file left by an earlier attempt; None if it is absent, incomplete or of another shape.

    shape: the required leading dimensions; none given accepts any shape.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape[: len(shape)] == shape else None
