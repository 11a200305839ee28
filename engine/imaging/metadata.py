"""Radiographs for showing: JPEG and PNG files without the metadata in which exports put names, pixels unchanged."""

import io
import re

from PIL import Image

from engine.imaging.dicom import is_dicom
from engine.imaging.images import decode, is_turned

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
SEGMENT = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
"""A JPEG marker, with the fill bytes that may precede it."""
AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
"""The first marker after the compressed pixels of a scan, which may contain restart markers."""
SCAN, END, APP0, APP14, APP15, COMMENT = 0xDA, 0xD9, 0xE0, 0xEE, 0xEF, 0xFE
CODING = frozenset((*range(0xC0, 0xC8), *range(0xC9, 0xD0), 0xDB, 0xDD))
"""JPEG frame headers and tables."""
SHOWN = frozenset((b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"IDAT", b"IEND"))
"""PNG chunks that determine what a browser shows."""


def without_metadata(data: bytes) -> bytes:
    """An image file as JPEG or PNG of up to 8 bits, without metadata, with the pixels that `decode` gives.

    From JPEG and PNG only the metadata are removed, with colour profiles, which `decode` ignores, and whatever follows
    the image. Deeper PNG, other formats, files that metadata turn or mirror, and those whose structure is not
    understood are decoded and encoded as greyscale PNG.
    Raises UnreadableImageError as `decode` does.
    """
    bare = None
    if data.startswith(JPEG) and not is_dicom(data):
        bare = _bare_jpeg(data)
    elif data.startswith(PNG) and not is_dicom(data):
        bare = _bare_png(data)
    if bare is not None and (bare == data or not is_turned(data)):
        return bare
    encoded = io.BytesIO()
    Image.fromarray(decode(data).pixels).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def _bare_jpeg(data: bytes) -> bytes | None:
    """The file without comments and application data, save what determines its colours; None if its structure is not
    understood."""
    kept, at = [data[:2]], 2
    while found := SEGMENT.match(data, at):
        code, at = found[1][0], found.end()
        if code == END:
            return b"".join((*kept, b"\xff\xd9"))
        length = int.from_bytes(data[at : at + 2], "big")
        end = at + length
        if length < 2 or end > len(data):
            return None
        content = data[at + 2 : end]
        if code == SCAN:
            following = AFTER_SCAN.search(data, end)
            if following is None:
                return None
            kept += [b"\xff\xda", data[at : (end := following.start())]]
        elif code in CODING:
            kept += [bytes((0xFF, code)), data[at:end]]
        elif code == APP0 and content.startswith(b"JFIF\0") and len(content) >= 14:
            kept += [b"\xff\xe0\x00\x10", content[:12], b"\0\0"]  # without its thumbnail
        elif code == APP14 and content.startswith(b"Adobe") and len(content) >= 12:
            kept += [b"\xff\xee\x00\x0e", content[:12]]
        elif not (APP0 <= code <= APP15 or code == COMMENT):
            return None
        at = end
    return None


def _bare_png(data: bytes) -> bytes | None:
    """The file with only the chunks that are SHOWN; None if it is deeper than 8 bits, animated, or its structure is not
    understood."""
    kept, at, before, scanned = [PNG], len(PNG), b"", False
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data) or not name.isalpha() or name == b"acTL":
            return None
        if (name == b"IHDR") != (not before) or (not before and (length != 13 or data[24] > 8)):
            return None
        if name == b"IDAT" != before and scanned:
            return None
        if name in SHOWN:
            kept.append(data[at:end])
        elif name[:1].isupper():
            return None
        if name == b"IEND":
            return None if length else b"".join(kept)
        at, before, scanned = end, name, scanned or name == b"IDAT"
    return None
