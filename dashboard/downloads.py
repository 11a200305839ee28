"""How a run's files leave the workbench: by the artifact's number, whole as the run wrote them, folders as one zip."""

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
"""What both databases take as a number of a row."""
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class GoneError(AbsentError):
    """The run wrote it, and it is no longer there."""


def url(artifact: Artifact) -> str:
    """Where the file, or the folder as a zip, can be had."""
    return f"{PREFIX}/artifact/{artifact.id}"


def located(artifact: Artifact) -> Path:
    """The artifact's file or folder, links followed.

    Raises AbsentError where it is gone, has another size than the run wrote, or leads out of the artifact folder.
    """
    root = resources.artifacts()
    path = (root / artifact.path).resolve()
    if path == root or not path.is_relative_to(root):
        raise AbsentError(f"{artifact.path} is not inside the artifact folder")
    if not path.exists():
        raise GoneError(f"{artifact.path} is gone")
    if any(not member.resolve().is_relative_to(path) for member in _files(path)):
        raise AbsentError(f"{artifact.path} holds a link that leads out of it")
    if sum(member.stat().st_size for member in _files(path)) != artifact.bytes:
        raise AbsentError(f"{artifact.path} changed since the run wrote it")
    return path


def name_of(artifact: Artifact, path: Path) -> str:
    """What a download is called: the run and the file's own name, in letters that every file system takes."""
    name = f"run-{artifact.run_id}-{UNSAFE.sub('_', path.name)}"
    return f"{name}.zip" if path.is_dir() else name


def zipped(folder: Path, top: str) -> Iterator[bytes]:
    """The folder's files as a zip, stored, below `top`, in pieces as they are read; the same files, the same bytes."""
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
    """Where a zip is written to: what came since it was last taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def close(self) -> None:
        """Nothing is held open."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _files(path: Path) -> list[Path]:
    return digests.members(path) if path.is_dir() else [path]


def _is_whole(path: Path, sha256: str) -> bool:
    """Whether the contents are those recorded; what has not been touched since it was read is not read again."""
    return _sha256(path, _touched(path)) == sha256


Touched = tuple[tuple[str, int, int], ...]
"""Name, size and time of each file."""


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
        raise AbsentError(f"no run wrote a file with the number {number[:20]}")
    return artifact, run


def _remedy(run: Run) -> str:
    """How the file comes back: the job finds that it is not whole, and does its work again."""
    again = f": {run.command}" if run.command else ""
    return f"the command of run {run.id} makes it again{again}"


def _artifact(request: Request) -> Response:
    """The file or the zip; 304 where the browser has it; 404 or 503 in one line that says why and what to do."""
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
        raise AbsentError(f"{artifact.path} changed since the run wrote it")
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
