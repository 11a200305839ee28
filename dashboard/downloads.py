"""Download of a run's files by artifact id, verified against the recorded hash; folders as one zip."""

import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from dashboard import resources
from dashboard.pictures import AWAY, PREFIX, AbsentError, refused
from db.models import Artifact, Run
from db.queries import runs
from db.session import DatabaseUnavailableError
from engine import digests

CHUNK = 1 << 20
LARGEST_ID = 2**31 - 1
"""Largest row id that both databases accept."""
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class GoneError(AbsentError):
    """The file that the run wrote no longer exists."""


def url(artifact: Artifact) -> str:
    """URL of the file, or of the folder as a zip."""
    return f"{PREFIX}/artifact/{artifact.id}"


def located(artifact: Artifact) -> Path:
    """The artifact's file or folder, with links resolved.

    Raises AbsentError if it is missing, differs in size from what the run wrote, or is outside the artifact folder.
    """
    root = resources.artifacts()
    path = (root / artifact.path).resolve()
    if path == root or not path.is_relative_to(root):
        raise AbsentError(f"{artifact.path} is not inside the artifact folder")
    if not path.exists():
        raise GoneError(f"{artifact.path} is missing")
    if any(not member.resolve().is_relative_to(path) for member in _files(path)):
        raise AbsentError(f"{artifact.path} contains a link that leads out of it")
    if sum(member.stat().st_size for member in _files(path)) != artifact.bytes:
        raise AbsentError(f"{artifact.path} has changed since the run wrote it")
    return path


def name_of(artifact: Artifact, path: Path) -> str:
    """File name of a download: the run and the file's own name, in characters valid on every file system."""
    name = f"run-{artifact.run_id}-{UNSAFE.sub('_', path.name)}"
    return f"{name}.zip" if path.is_dir() else name


def zipped(folder: Path, top: str) -> Iterator[bytes]:
    """The folder's files as an uncompressed, deterministic zip below `top`, in chunks as they are read."""
    written = _Written()
    with zipfile.ZipFile(written, "w") as archive:
        for file in digests.members(folder):
            entry = zipfile.ZipInfo(f"{top}/{file.relative_to(folder).as_posix()}")
            entry.file_size, entry.external_attr = file.stat().st_size, 0o644 << 16
            with file.open("rb") as stream, archive.open(entry, "w") as member:
                while piece := stream.read(CHUNK):
                    member.write(piece)
                    yield written.taken()
            yield written.taken()
    yield written.taken()


class _Written:
    """Write target of a zip: holds what was written since it was last taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is buffered elsewhere."""

    def close(self) -> None:
        """Nothing is held open."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _files(path: Path) -> list[Path]:
    return digests.members(path) if path.is_dir() else [path]


def _is_whole(path: Path, sha256: str) -> bool:
    """Whether the contents have the recorded hash; unmodified files are not read again."""
    return _sha256(path, _touched(path)) == sha256


Touched = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file."""


def _touched(path: Path) -> Touched:
    stats = ((member, member.stat()) for member in _files(path))
    return tuple((str(member), stat.st_size, stat.st_mtime_ns) for member, stat in stats)


@lru_cache(maxsize=256)
def _sha256(path: Path, _touched: Touched) -> str:
    return digests.file_sha256(path)


@lru_cache(maxsize=256)
def _zipped_bytes(folder: Path, top: str, _touched: Touched) -> int:
    return sum(map(len, zipped(folder, top)))


def _found(number: str) -> tuple[Artifact, Run]:
    there = number.isdecimal() and len(number) < 11 and int(number) <= LARGEST_ID
    with resources.reading() as session:
        artifact = runs.artifact_by_id(session, int(number)) if there else None
        run = runs.find(session, artifact.run_id) if artifact else None
    if artifact is None or run is None:
        raise AbsentError(f"there is no file with the number {number[:20]}")
    return artifact, run


def _remedy(run: Run) -> str:
    """How to restore the file: the job detects that it is not intact and runs again."""
    again = f": {run.command}" if run.command else ""
    return f"the command of run {run.id} recreates it{again}"


def _artifact(request: Request) -> Response:
    """The file or zip; 304 if the browser has it; 404 or 503 with one line that says why and what to do."""
    try:
        artifact, run = _found(request.path_params["number"])
    except AbsentError as error:
        return refused(str(error), 404)
    except (DBAPIError, DatabaseUnavailableError):
        return refused(AWAY, 503)
    try:
        return _sent(request, artifact)
    except AbsentError as error:
        reason = str(error)
    except OSError:
        reason = f"{artifact.path} cannot be read"
    return refused(f"{reason}; {_remedy(run)}", 404)


def _sent(request: Request, artifact: Artifact) -> Response:
    path = located(artifact)
    if not _is_whole(path, artifact.sha256):
        raise AbsentError(f"{artifact.path} has changed since the run wrote it")
    name = name_of(artifact, path)
    headers = {
        "ETag": f'"{artifact.sha256}"',
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if path.is_file():
        return FileResponse(path, media_type="application/octet-stream", headers=headers)
    top = name.removesuffix(".zip")
    headers["Content-Length"] = str(_zipped_bytes(path, top, _touched(path)))
    pieces = zipped(path, top) if request.method == "GET" else iter(())
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


ROUTES = [Route(f"{PREFIX}/artifact/{{number}}", _artifact)]
