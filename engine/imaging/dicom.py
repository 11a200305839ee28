"""Decoding DICOM files to greyscale images and reading image attributes from their headers; no name, number or date of
the patient leaves this module."""

import hashlib
import io
import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import get_frame
from pydicom.pixels import apply_modality_lut, pixel_array

from engine.errors import InputError, UnreadableImageError
from engine.imaging.attributes import Attributes, attributes_of
from engine.imaging.windowing import percentile_window, to_eight_bits, voi_window

DECODERS = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
}
"""Transfer syntaxes that are decoded, and the pydicom plugin for each; fixed so that every machine decodes alike.
Deflated files are not supported, because their decompressed size is not known in advance."""
CONVERT = "convert it to an uncompressed one, for example with: gdcmconv --raw FILE NEW"
"""Advice for transfer syntaxes that are not decoded."""
NOBODY = frozenset(
    {
        *("anon", "anonym", "anonymous", "anonymouspatient", "anonymized", "anonymised", "deidentified", "redacted"),
        *("removed", "deleted", "withheld", "masked", "hidden", "blank", "empty", "none", "null", "nil", "na", ""),
        *("unknown", "unspecified", "undefined", "noid", "nopatientid", "patient", "patientid"),
    }
)
"""Placeholder PatientIDs, reduced to lower-case letters and digits, that identify no patient."""
HEADER = {"sex": "PatientSex", "age": "PatientAge", "view": "ViewPosition"}
"""The DICOM element for each attribute; `device` is made of manufacturer and model."""
DEVICE = ("Manufacturer", "ManufacturerModelName")
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Warnings about minor violations of the standard quote the offending value, which may be the patient's name.
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def is_dicom(data: bytes) -> bool:
    """Whether the bytes are DICOM: "DICM" after the preamble, or no preamble and a first tag of group 2 or 8."""
    bare = data[:2] in (b"\x02\0", b"\x08\0") and (data[4:6].isalpha() or data[6:8] == b"\0\0")  # a VR, or a length
    return data[128:132] == b"DICM" or bare


def size(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """(width, height) in pixels, from the header. Raises UnreadableImageError as `decode` does."""
    dataset = _read(data, max_pixels, pixels=False)
    return int(dataset.Columns), int(dataset.Rows)


def decode(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """The single frame as uint8 (h, w), bright where the body absorbs (MONOCHROME1 is inverted).

    The modality rescale is applied, then the VOI LUT or the first window. Without a usable one, 8-bit values are kept
    and deeper values are windowed from their 0.5th to their 99.5th percentile. Raises UnreadableImageError.
    """
    dataset = _read(data, max_pixels, pixels=True)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed:
            _check_frame(dataset, max_pixels)
        values = pixel_array(dataset, decoding_plugin=DECODERS[syntax])
        return _colour(dataset, values) if values.ndim == 3 else _grey(dataset, values)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # hostile bytes reach every corner of a decoder; none of its errors may end a job
        if "less than expected" in str(error):
            raise UnreadableImageError("truncated", "DICOM with less pixel data than its header says") from error
        raise UnreadableImageError("broken", f"DICOM pixel data, {syntax.name}: {type(error).__name__}") from error


def patient_token(data: bytes, *, key: bytes) -> str | None:
    """A token that is equal for equal PatientIDs under one `key`; None if the file has no PatientID or only a
    placeholder (NOBODY, zeros, x's, punctuation).

    Patient numbers are short enough to be guessed, so anyone with the key can recover the number from a token: use a
    random key, use the tokens only to group files, and store neither.
    """
    try:
        patient = str(dcmread(io.BytesIO(data), force=True, specific_tags=["PatientID"]).get("PatientID") or "").strip()
    except Exception:
        return None
    bare = "".join(letter for letter in patient.casefold() if letter.isalnum())
    if bare in NOBODY or set(bare) <= {"0"} or set(bare) == {"x"}:
        return None
    return hashlib.blake2b(patient.encode(), key=key, digest_size=16).hexdigest()


def attributes(data: bytes) -> Attributes:
    """Sex, age group, view and device from the header; elements with invalid values are left out."""
    try:
        header = dcmread(io.BytesIO(data), force=True, specific_tags=[*HEADER.values(), *DEVICE])
        given = {name: str(header.get(element) or "") for name, element in HEADER.items()}
        maker, model = (str(header.get(element) or "").strip() for element in DEVICE)
    except Exception:
        return ()
    given["device"] = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    known: Attributes = ()
    for name, value in given.items():
        try:
            known += attributes_of({name: value})
        except InputError:
            continue
    return tuple(sorted(known))


def _read(data: bytes, max_pixels: int, *, pixels: bool) -> Dataset:
    """The parsed dataset, checked to hold one frame in a supported transfer syntax and within `max_pixels`."""
    if b"1.2.840.10008.1.2.1.99" in data[:1024]:
        name = "Deflated Explicit VR Little Endian"
        raise UnreadableImageError("unsupported", f"DICOM transfer syntax {name}; {CONVERT}")
    try:
        dataset = dcmread(io.BytesIO(data), force=True, stop_before_pixels=not pixels)
        rows, columns = dataset.get("Rows"), dataset.get("Columns")
        frames = int(dataset.get("NumberOfFrames") or 1)
        if dataset.original_encoding == (True, True):  # pydicom's default for a file without file meta information
            dataset.file_meta.setdefault("TransferSyntaxUID", uid.ImplicitVRLittleEndian)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        twelve_bit = syntax == uid.JPEGExtended12Bit and dataset.BitsStored > 8
        shifted = "HighBit" in dataset and dataset.HighBit != dataset.get("BitsStored", dataset.HighBit + 1) - 1
        shifted = shifted and syntax is not None and not syntax.is_compressed
    except Exception as error:
        # the message itself may quote the patient's name
        raise UnreadableImageError("broken", f"DICOM header cannot be read: {type(error).__name__}") from error
    if not rows or not columns:
        raise UnreadableImageError("not-an-image", f"DICOM {dataset.get('Modality', 'file')} without a picture")
    if rows * columns > max_pixels:
        raise UnreadableImageError("too-large", f"{columns} x {rows} pixels, limit {max_pixels:,}")
    if frames > 1:
        raise UnreadableImageError("unsupported", f"DICOM with {frames} frames, expected one picture")
    if syntax not in DECODERS or twelve_bit:
        name = f"{syntax.name}{', 12 bits' if twelve_bit else ''}" if syntax else "missing"
        raise UnreadableImageError("unsupported", f"DICOM transfer syntax {name}; {CONVERT}")
    if shifted:
        raise UnreadableImageError("unsupported", f"DICOM whose HighBit is not BitsStored - 1; {CONVERT}")
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise UnreadableImageError("unsupported", "DICOM with a colour palette")
    return dataset


def _check_frame(dataset: Dataset, max_pixels: int) -> None:
    """Reject a compressed frame whose own header exceeds the limit, whatever the DICOM header says."""
    if dataset.file_meta.TransferSyntaxUID == uid.RLELossless:
        return  # expands 64-fold at most, and pydicom checks the length
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as picture:
        width, height = picture.size
    if width * height > max_pixels:
        raise UnreadableImageError("too-large", f"{width} x {height} pixels, limit {max_pixels:,}")


def _colour(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB (h, w, 3) as luminance (ITU-R BT.601)."""
    return to_eight_bits(values.astype(np.float32) @ LUMINANCE, 0.0, 2.0**dataset.BitsStored - 1)


def _grey(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.uint8]:
    values = apply_modality_lut(stored, dataset)
    shown = _voi(dataset, values)
    if shown is None and dataset.BitsStored <= 8 and not dataset.get("PixelRepresentation"):
        shown = to_eight_bits(stored, 0.0, 2.0**dataset.BitsStored - 1)
        shown = 255 - shown if float(dataset.get("RescaleSlope") or 1) < 0 else shown
    elif shown is None:
        padding = dataset.get("PixelPaddingValue")
        shown = to_eight_bits(values, *percentile_window(values, known=None if padding is None else stored != padding))
    return 255 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _voi(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Values after the VOI LUT or the first window; None if there is no usable one."""
    if dataset.get("VOILUTSequence"):
        return _voi_lut(dataset, values)
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None
    try:
        unit = voi_window(values, center=center, width=width, function=dataset.get("VOILUTFunction") or "LINEAR")
    except ValueError:
        return None
    return to_eight_bits(unit, 0.0, 1.0) if np.ptp(unit) > 0 else None


def _voi_lut(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values after the first VOI LUT (PS3.3 C.11.2.1.1).

    pydicom 3.0's apply_voi casts table indexes to the bit depth of the entries, so long tables come out wrong.
    """
    table = dataset.VOILUTSequence[0]
    count, first, depth = (int(number) for number in table.LUTDescriptor)
    entries, words = table.LUTData, np.dtype("<u2" if dataset.original_encoding[1] else ">u2")
    if isinstance(entries, bytes):
        entries = np.frombuffer(entries, words)
    lut = np.asarray(entries)
    if len(lut) < (count or 65536) and depth <= 8:  # two entries of eight bits in each word
        lut = lut.astype(words).view(np.uint8)
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(lut) - 1)
    return to_eight_bits(lut[index], 0.0, 2.0**depth - 1)


def _first(value: Any) -> float | None:
    """The first of a DICOM element's values, or None."""
    if value is None or value == "":
        return None
    return float(value if isinstance(value, float | int | str) else value[0])
