"""Images by URL, named by content hash and cached permanently, served by the same server as the pages.

Streamlit passes URLs below /app/static/ to the browser unchanged, so `st.image` and our components can use them.
"""

import hashlib
import io
import re
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image as Picture
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from dashboard import resources
from db.queries import files
from db.session import DatabaseUnavailableError
from engine.errors import InputError
from engine.imaging.images import Pixels, decode, read_bytes, resize, thumbnail_path
from engine.imaging.metadata import JPEG, without_metadata
from engine.imaging.overlays import layer

PREFIX = "/app/static"
SHA256, RUN = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9]{1,9}")
HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
FOR_A_DAY = HEADERS | {"Cache-Control": "public, max-age=86400"}
AWAY = "the database cannot be reached; try again later"
HEAT_SIDE = 256
"""Width and height of a heatmap overlay in pixels, for any image shape: it is smooth, and the browser stretches it."""


def thumbnail_url(sha256: str) -> str:
    """URL of the image's thumbnail (WebP, at most 256 px)."""
    return f"{PREFIX}/thumbnail/{sha256}.webp"


def image_url(sha256: str) -> str:
    """URL of the image at full size."""
    return f"{PREFIX}/image/{sha256}"


def heat_url(run_id: int, sha256: str, *, version: str) -> str:
    """URL of the run's heatmap of the image as an overlay; version is the hash of the heatmaps."""
    return f"{PREFIX}/heat/{run_id}/{sha256}.webp?v={version[:12]}"


def altered_url(sha256: str, stress: str) -> str:
    """URL of the image under the named stress, at the size of the classifier's input (PNG)."""
    return f"{PREFIX}/altered/{quote(stress, safe='')}/{sha256}.png"


class AbsentError(Exception):
    """Nothing can be shown at this URL; the message says why."""


def refused(reason: str, status: int) -> Response:
    """A response with the reason in one line, which browsers do not cache."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(reason, status, headers=headers)


def confined(root: Path, relative: str) -> Path:
    """`relative` inside `root`, with links resolved. Raises AbsentError if it is outside or not a file."""
    root = root.resolve()
    path = (root / relative).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise AbsentError(f"file {relative} is missing, or outside its folder")
    return path


def original(sha256: str) -> bytes:
    """The bytes that were ingested under this hash. Raises AbsentError if no dataset folder has them any more."""
    with resources.reading() as session:
        places = files.places(session, sha256)
    if not places:
        raise AbsentError("no dataset has this image")
    for root, relative in places:
        try:
            data = read_bytes(confined(Path(root), relative))
        except (AbsentError, OSError, InputError):
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    relative = places[0][1]  # the folder itself is shown only locally, on the overview
    raise AbsentError(f"file {relative} is missing from the dataset's folder, or has changed since it was ingested")


def _answer(function: Callable[[Request, str], Response]) -> Callable[[Request], Response]:
    """Check the hash in the URL; errors are 404, or 503 without a database, with one line that says why."""

    @wraps(function)
    def endpoint(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        if not SHA256.fullmatch(sha256):
            return refused("not a sha256", 404)
        try:
            return function(request, sha256)
        except (AbsentError, InputError, OSError) as error:
            return refused("the file cannot be read" if isinstance(error, OSError) else str(error), 404)
        except (DBAPIError, DatabaseUnavailableError):
            return refused(AWAY, 503)

    return endpoint


@_answer
def _thumbnail(_request: Request, sha256: str) -> Response:
    artifacts = resources.artifacts()
    path = thumbnail_path(artifacts, sha256)
    return FileResponse(
        confined(artifacts, path.relative_to(artifacts).as_posix()), media_type="image/webp", headers=HEADERS
    )


@_answer
def _image(_request: Request, sha256: str) -> Response:
    data = without_metadata(original(sha256))
    return Response(data, media_type="image/jpeg" if data.startswith(JPEG) else "image/png", headers=HEADERS)


@_answer
def _heat(request: Request, sha256: str) -> Response:
    run = request.path_params["run"]
    if not RUN.fullmatch(run):
        raise AbsentError("no run has this number")
    with resources.reading() as session:
        found = files.heatmap(session, int(run), sha256)
    if found is None:
        raise AbsentError("the run stored no heatmap of this image")
    relative, row = found
    try:
        heatmaps = np.load(confined(resources.artifacts(), relative), mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise AbsentError("the heatmap file is damaged; run predict again") from error
    if heatmaps.ndim != 3 or not 0 <= row < len(heatmaps):
        raise AbsentError("the heatmap file is not the one that the run wrote; run predict again")
    coloured = layer(np.asarray(heatmaps[row], dtype=np.float32), HEAT_SIDE, HEAT_SIDE)
    encoded = io.BytesIO()
    Picture.fromarray(coloured).save(
        encoded, "WEBP", lossless=True, exact=True, method=2
    )  # keep colours where alpha is 0
    return Response(encoded.getvalue(), media_type="image/webp", headers=HEADERS)


@_answer
def _altered(request: Request, sha256: str) -> Response:
    from engine.classification.stresses import STRESSES, stressed

    stress = request.path_params["stress"]
    if stress not in STRESSES:
        raise AbsentError("no stress test has this name")
    encoded = io.BytesIO()
    Picture.fromarray(stressed(_as_input(sha256)[None].copy(), stress)[0]).save(encoded, "PNG", compress_level=1)
    return Response(encoded.getvalue(), media_type="image/png", headers=FOR_A_DAY)


@lru_cache(maxsize=32)  # a page shows one image under many stresses
def _as_input(sha256: str) -> Pixels:
    """The image as a classifier's input, uint8 (s, s)."""
    from engine.classification.views.kinds import SIZE

    return resize(decode(original(sha256)).pixels, SIZE)


ROUTES = [
    Route(f"{PREFIX}/thumbnail/{{sha256}}.webp", _thumbnail),
    Route(f"{PREFIX}/image/{{sha256}}", _image),
    Route(f"{PREFIX}/heat/{{run}}/{{sha256}}.webp", _heat),
    Route(f"{PREFIX}/altered/{{stress}}/{{sha256}}.png", _altered),
]
