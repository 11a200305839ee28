"""What is shown of a file has its pixels and none of its metadata, whatever the file."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.errors import InputError, UnreadableImageError
from engine.imaging.images import decode
from engine.imaging.metadata import JPEG, PNG, without_metadata

NAME = "Doe^Jane 1956-03-04"
COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + len(NAME)) + NAME.encode()


def picture(mode: str = "L", *, size: tuple[int, int] = (48, 40)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    return Image.fromarray(np.sort(values, axis=1)).convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    found = Image.Exif()
    found[0x010E], found[0x0112] = NAME, orientation
    return found


def jpeg(mode: str = "L", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def png(mode: str = "L", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(mode).save(stream, "PNG", **options)
    return stream.getvalue()


def texts(*, compressed: bool = False) -> PngInfo:
    found = PngInfo()
    found.add_text("PatientName", NAME, zip=compressed)
    found.add_itxt("Comment", NAME, zip=compressed)
    return found


def before_scan(data: bytes, *segments: bytes) -> bytes:
    """The JPEG with these bytes before its first scan."""
    at = data.index(b"\xff\xda")
    return data[:at] + b"".join(segments) + data[at:]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def after_header(data: bytes, *chunks: bytes) -> bytes:
    """The PNG with these chunks after its IHDR."""
    return data[:33] + b"".join(chunks) + data[33:]


def scans_with_comments(data: bytes) -> bytes:
    """The progressive JPEG with a comment before every scan."""
    first, *scans = data.split(b"\xff\xda")
    return first + b"".join(COMMENT + b"\xff\xda" + scan for scan in scans)


WITH_NAMES: dict[str, Callable[[], bytes]] = {
    "EXIF": lambda: jpeg(exif=exif(), comment=NAME),
    "colour": lambda: jpeg("RGB", exif=exif(), comment=NAME),
    "CMYK": lambda: jpeg("CMYK", comment=NAME),
    "XMP": lambda: jpeg("RGB", xmp=f"<x>{NAME}</x>".encode()),
    "ICC": lambda: jpeg("RGB", icc_profile=NAME.encode()),
    "IPTC": lambda: before_scan(jpeg(), b"\xff\xed" + COMMENT[2:]),
    "fill bytes": lambda: before_scan(jpeg(), b"\xff\xff\xff" + COMMENT, COMMENT, b"\xff"),
    "between scans": lambda: scans_with_comments(jpeg("RGB", progressive=True)),
    "restarts": lambda: jpeg(comment=NAME, restart_marker_blocks=1),
    "after the end": lambda: jpeg() + NAME.encode(),
    "JFIF thumbnail": lambda: before_scan(jpeg(), b"\xff\xe0\x00\x22JFIF\0\1\1\0\0\1\0\1\1\1" + NAME[:18].encode()),
    "other APP0": lambda: before_scan(jpeg(), b"\xff\xe0" + COMMENT[2:]),
    "other APP14": lambda: before_scan(jpeg(), b"\xff\xee" + COMMENT[2:]),
    "between segments": lambda: before_scan(jpeg(), NAME.encode()),
    "PNG text": lambda: png(pnginfo=texts(), exif=exif()),
    "PNG compressed text": lambda: png(pnginfo=texts(compressed=True)),
    "PNG palette": lambda: png("P", pnginfo=texts()),
    "PNG transparency": lambda: png("LA", pnginfo=texts()),
    "PNG unknown chunk": lambda: after_header(png(), chunk(b"naMe", NAME.encode())),
    "PNG profile": lambda: png(icc_profile=NAME.encode()),
    "after the PNG": lambda: png() + NAME.encode(),
}
TURNED: dict[str, Callable[[int], bytes]] = {
    "JPEG": lambda orientation: jpeg(exif=exif(orientation)),
    "PNG": lambda orientation: png(exif=exif(orientation)),
    "XMP": lambda orientation: jpeg(xmp=f'<x tiff:Orientation="{orientation}">{NAME}</x>'.encode()),
    "XMP in PNG": lambda orientation: after_header(
        png(), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + f'<x tiff:Orientation="{orientation}">{NAME}'.encode())
    ),
}


def anything_said(data: bytes) -> str:
    """All that Pillow finds in the file beside its pixels, and its bytes."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        return f"{opened.info} {dict(opened.getexif())} {data!r}"


@pytest.mark.parametrize("kind", WITH_NAMES)
def test_a_name_is_removed_and_the_pixels_stay(kind: str) -> None:
    data = WITH_NAMES[kind]()
    assert NAME[:18] in anything_said(data)
    bare = without_metadata(data)
    assert NAME[:18] not in anything_said(bare)
    assert (decode(bare).pixels == decode(data).pixels).all()
    in_colour = [Image.open(io.BytesIO(one)).convert("RGB").tobytes() for one in (data, bare)]
    assert kind == "between segments" or in_colour[0] == in_colour[1]
    assert without_metadata(bare) == bare


@pytest.mark.parametrize("data", [jpeg(), jpeg("RGB"), jpeg("RGB", progressive=True), png(), png("P"), png("1")])
def test_a_file_without_metadata_stays_as_it_is(data: bytes) -> None:
    assert without_metadata(data) == data


@pytest.mark.parametrize("kind", TURNED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_its_metadata_turn_is_stored_upright(kind: str, orientation: int) -> None:
    data = TURNED[kind](orientation)
    bare = without_metadata(data)
    assert (decode(bare).pixels == decode(data).pixels).all()
    assert NAME not in anything_said(bare) and 0x0112 not in Image.open(io.BytesIO(bare)).getexif()
    assert bare.startswith(JPEG) == (data.startswith(JPEG) and orientation == 1)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM"])
def test_other_formats_become_png(kind: str) -> None:
    stream = io.BytesIO()
    picture().save(stream, kind)
    bare = without_metadata(stream.getvalue())
    assert bare.startswith(PNG) and (decode(bare).pixels == decode(stream.getvalue()).pixels).all()


def test_a_deeper_png_is_windowed_to_eight_bits() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(stream, "PNG")
    bare = without_metadata(stream.getvalue())
    assert bare[24] == 8 and (decode(bare).pixels == decode(stream.getvalue()).pixels).all()


@pytest.mark.parametrize("data", [b"", b"no picture", JPEG, PNG, jpeg()[:200], png()[:60], JPEG + b"\xe1\xff\xff"])
def test_what_cannot_be_decoded_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        without_metadata(data)


GOOD = [made() for made in WITH_NAMES.values()] + [jpeg(), png(), *(made(6) for made in TURNED.values())]
CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 2), st.binary(min_size=1, max_size=4)), max_size=4)
MARKERS = st.sampled_from(
    [bytes((0xFF, code)) for code in (0x00, 0x01, 0xC0, 0xD0, 0xD8, 0xD9, 0xDA, 0xE1, 0xFE, 0xFF)]
)


def damaged(data: bytes, changes: list[tuple[int, int, bytes]], keep: int | None) -> bytes:
    """The file with bytes replaced, inserted or deleted, then cut off."""
    for place, how, piece in changes:
        at = place % max(1, len(data))
        data = data[:at] + (b"" if how == 2 else piece) + data[at + (0 if how == 1 else len(piece)) :]
    return data[:keep]


@given(
    data=st.sampled_from(GOOD),
    changes=CHANGES | st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 1), MARKERS), max_size=3),
    keep=st.none() | st.integers(0, 2**12),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_are_shown_as_they_are_decoded_or_refused(
    data: bytes, changes: list[tuple[int, int, bytes]], keep: int | None
) -> None:
    data = damaged(data, changes, keep)
    try:
        pixels = decode(data).pixels
    except InputError:
        pixels = None
    try:
        bare = without_metadata(data)
    except InputError:
        assert pixels is None
        return
    if pixels is not None:
        assert (decode(bare).pixels == pixels).all()


@given(st.sampled_from([JPEG, PNG]), st.binary(max_size=200))
@example(JPEG, b"\xff" * 100)
@example(PNG, b"\xff" * 100)
def test_arbitrary_bytes_are_refused_or_shown(start: bytes, data: bytes) -> None:
    try:
        without_metadata(start + data)
    except InputError:
        return
