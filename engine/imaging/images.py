"""Safe decoding of image files to 8-bit greyscale; resizing, batches and thumbnails."""

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from engine.errors import InputError, UnreadableImageError
from engine.imaging import dicom
from engine.imaging.windowing import percentile_window, to_eight_bits

T = TypeVar("T")
R = TypeVar("R")
Pixels = NDArray[np.uint8]

MAX_PIXELS = 64_000_000
"""A full-field digital radiograph has 10 to 20 million pixels; Pillow itself warns from 89 million."""
MAX_BYTES = 256 * 2**20
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")
"""Formats that Pillow may open. EPS, for example, is excluded because it would start another program.
MPO files from phones are opened as JPEG; their first image is used."""
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
TRUNCATED = ("truncated", "unexpected end", "not enough", "ended prematurely")

warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # warnings about bad metadata, one per file
# Between its limit and twice that, Pillow only warns of a decompression bomb; here the warning is an error.
warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Header:
    """Format and size in pixels, before decoding; width and height are those of the upright image."""

    source_format: str
    width: int
    height: int


@dataclass(frozen=True)
class Decoded:
    """pixels: uint8 (h, w), greyscale, bright where the body absorbs. source_format: 'JPEG', 'PNG', 'DICOM' etc."""

    pixels: Pixels
    source_format: str


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Format and size, without decoding pixels. Raises UnreadableImageError as `decode` does."""
    if dicom.is_dicom(data):
        return Header("DICOM", *dicom.size(data, max_pixels=max_pixels))
    with _opened(data, max_pixels) as picture:
        on_its_side = picture.getexif().get(0x0112) in (5, 6, 7, 8)
        turned = on_its_side and not isinstance(picture, TiffImageFile)  # Pillow already swaps the size of a TIFF
        return Header(str(picture.format), *(picture.size[::-1] if turned else picture.size))


def is_turned(data: bytes, *, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether a file that is not DICOM has metadata by which `decode` turns or mirrors it. Raises UnreadableImageError
    as `decode` does."""
    with _opened(data, max_pixels) as picture:
        return picture.getexif().get(0x0112) in range(2, 9)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The image in a file's bytes: upright, greyscale, 8 bits; transparent pixels are black.

    Deeper images are windowed: DICOM by its own window, others from their 0.5th to their 99.5th percentile.
    Raises UnreadableImageError with reason empty, not-an-image, broken, truncated, too-large (by the header, before
    anything is decoded) or unsupported (several frames, or a DICOM compression that is not supported).
    """
    if dicom.is_dicom(data):
        return Decoded(dicom.decode(data, max_pixels=max_pixels), "DICOM")
    with _opened(data, max_pixels) as picture:
        negative = isinstance(picture, TiffImageFile) and picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
        return Decoded(_grey(ImageOps.exif_transpose(picture), negative=negative), str(picture.format))


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises UnreadableImageError above MAX_BYTES, OSError if it cannot be read."""
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size <= MAX_BYTES:
            data = stream.read(MAX_BYTES + 1)  # the file may be growing
            if len(data) <= MAX_BYTES:
                return data
    raise UnreadableImageError("too-large", f"larger than {MAX_BYTES // 2**20} MiB")


@dataclass(frozen=True)
class Ingested:
    """A file of a dataset, and the sha256 of its bytes when it was ingested with its label and patient."""

    path: Path
    sha256: str


def read_grey(file: Path | Ingested) -> Pixels:
    """The file as uint8 (h, w). Raises InputError that names the file, also if it changed since it was ingested."""
    path = file.path if isinstance(file, Ingested) else file
    try:
        data = read_bytes(path)
        if isinstance(file, Ingested) and hashlib.sha256(data).hexdigest() != file.sha256:
            raise InputError(f"image {path} changed since it was ingested; ingest its folder again with --prune")
        return decode(data).pixels
    except UnreadableImageError as error:
        raise UnreadableImageError(error.reason, f"image {path} cannot be used: {error}") from error
    except OSError as error:
        is_row = isinstance(file, Ingested)
        way_out = (
            "ingest its folder again, under its --name (--prune removes missing files)" if is_row else "check the path"
        )
        raise InputError(f"image {path} cannot be read ({error.strerror}); {way_out}") from error


def resize(pixels: Pixels, size: int) -> Pixels:
    """uint8 (h, w) -> (size, size), bicubic with antialiasing; the aspect ratio is not kept, so that no lung is cut."""
    if pixels.shape == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def read_batch(files: Sequence[Path | Ingested], *, size: int = 224, workers: int | None = None) -> Pixels:
    """The files as uint8 (n, size, size), decoded in `workers` threads (default: one per core). Raises InputError."""
    batch = np.empty((len(files), size, size), dtype=np.uint8)
    for row, pixels in enumerate(parallel(lambda file: resize(read_grey(file), size), files, workers=workers)):
        batch[row] = pixels
    return batch


def read_fitted(files: Sequence[Path | Ingested], fit: Callable[[Pixels], Pixels]) -> Pixels:
    """n > 0 files as uint8 (n, h, w), each preprocessed by an embedder's `fit`. Raises InputError."""
    return np.stack(list(parallel(lambda file: fit(read_grey(file)), files)))


def parallel(function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None) -> Iterator[R]:
    """function(item) for each item, in order, computed in threads; at most four results per thread are buffered."""
    workers = workers or os.cpu_count() or 1
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        waiting: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(remaining, 4 * workers))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def thumbnail_webp(pixels: Pixels) -> bytes:
    """uint8 (h, w) as WebP with sides of at most 256 pixels; the aspect ratio is kept, nothing is enlarged."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((256, 256), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=80, method=0)
    return encoded.getvalue()


def thumbnail_path(root: Path, sha256: str) -> Path:
    """The path of the image's thumbnail in the artifact folder `root`."""
    return root / "thumbnails" / sha256[:2] / f"{sha256}.webp"


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image with only its header read; anything Pillow raises in the body becomes an UnreadableImageError."""
    if not data:
        raise UnreadableImageError("empty", "the file has no bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise UnreadableImageError("too-large", f"{width} x {height} pixels, limit {max_pixels:,}")
            if picture.format != "MPO" and getattr(picture, "is_animated", False):
                raise UnreadableImageError("unsupported", "several frames or pages, expected one picture")
            yield picture
    except (UnreadableImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError("too-large", f"more than {max_pixels:,} pixels by its header") from error
    except UnidentifiedImageError as error:
        if data.startswith(SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
            raise UnreadableImageError("broken", "starts like an image, but its header cannot be read") from error
        raise UnreadableImageError("not-an-image", "neither an image nor DICOM by its content") from error
    except Exception as error:  # malformed bytes can raise anything in a decoder; no such error may end a job
        reason = "truncated" if any(word in str(error).lower() for word in TRUNCATED) else "broken"
        raise UnreadableImageError(reason, f"{type(error).__name__}: {error}") from error


def _grey(picture: Image.Image, *, negative: bool) -> Pixels:
    """An image of any Pillow mode as uint8 (h, w). negative: the file stores white as 0, which Pillow inverts in images
    of up to 8 bits but not in deeper ones."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture)
        if negative:
            values = -values.astype(np.float32)
        return to_eight_bits(values, *percentile_window(values))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture)
    elif picture.mode not in ("1", "L", "RGB"):
        picture = picture.convert("RGB")
    return np.asarray(picture.convert("L"))
