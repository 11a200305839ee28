"""Which files of a folder become images of the dataset, and why each of the others is skipped."""

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.datasets.folders import Record, Skipped
from engine.errors import UnreadableImageError
from engine.imaging import attributes, dicom, images
from engine.imaging.attributes import Attributes

PATIENT = "patient-"
Name = tuple[str, str]
"""An identifier that files of one patient share: its kind ("group", published "key" or single "image") and value."""
SPLIT_ORDER = ("test", "val", "train", None)
"""Of copies in several splits, the copy in the first of these is kept: a test image must not be seen in training."""


@dataclass(frozen=True)
class Inspected:
    """A file that decodes: hash of its content, upright size in pixels, a token that groups the patient's files, and
    the attributes from its record or header."""

    record: Record
    sha256: str
    width: int
    height: int
    patient_group: str | None
    attributes: Attributes = ()


@dataclass(frozen=True)
class CuratedImage:
    """One distinct image. file_count: the number of byte-identical files with its split and label, itself included."""

    sha256: str
    path: str
    split: str | None
    label: int | None
    cause: str | None
    patient_key: str
    width: int
    height: int
    file_count: int
    attributes: Attributes = ()


@dataclass(frozen=True)
class Curated:
    """Distinct images and skipped files, both sorted by path."""

    images: tuple[CuratedImage, ...]
    skipped: tuple[Skipped, ...]


def inspect(root: Path, record: Record, *, artifacts: Path, key: bytes) -> Inspected | Skipped:
    """Read, hash and decode one file and write its thumbnail; content that already has a thumbnail is not decoded.

    key: random bytes that patient numbers are hashed with; see engine.imaging.dicom.patient_token.
    Raises OSError if the thumbnail cannot be written; a file that cannot be read is returned as Skipped.
    """
    try:
        data = images.read_bytes(root / record.path)
    except UnreadableImageError as error:
        return Skipped(record.path, error.reason, str(error))
    except OSError as error:
        return Skipped(record.path, "unreadable", error.strerror or str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    thumbnail = images.thumbnail_path(artifacts, sha256)
    seen = thumbnail.is_file() and thumbnail.stat().st_size > 0
    try:
        header = images.read_header(data)
        encoded = None if seen else images.thumbnail_webp(images.decode(data).pixels)
    except UnreadableImageError as error:
        return Skipped(record.path, error.reason, str(error))
    if encoded is not None:
        _write(thumbnail, encoded)
    group, known = record.patient_group, record.attributes
    if header.source_format == "DICOM":
        group = group or dicom.patient_token(data, key=key)
        known = attributes.merged(known, dicom.attributes(data))
    return Inspected(record, sha256, header.width, header.height, group, known)


def _write(path: Path, data: bytes) -> None:
    """Write the file whole or not at all. Without fsync: for each thumbnail it would take longer than all the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def curate(files: Iterable[Inspected], *, known_keys: Mapping[str, str]) -> Curated:
    """Distinct images from decoded files.

    Identical bytes with both labels, or a file labelled NORMAL whose name or sheet gives a cause of pneumonia, are
    skipped as mislabelled. Of other identical files one is kept (by SPLIT_ORDER, then path); the rest are duplicates.
    Files with the same patient_group get the same patient key. If identical files are assigned to different patients,
    those patients are merged. known_keys: sha256 -> patient key from earlier ingests, so that keys stay stable when
    files of a patient are added later.
    """
    copies: dict[str, list[Inspected]] = defaultdict(list)
    for file in files:
        copies[file.sha256].append(file)
    kept: list[CuratedImage] = []
    skipped: list[Skipped] = []
    for same in copies.values():
        same.sort(key=lambda file: (SPLIT_ORDER.index(file.record.split), file.record.path))
        if wrong := _mislabelled(same):
            skipped += wrong
        else:
            kept.append(_image(same))
            skipped += [_duplicate(file, same[0]) for file in same[1:]]
    keys = _patient_keys(copies, [image.sha256 for image in kept], known_keys)
    named = (replace(image, patient_key=keys[image.sha256]) for image in kept)
    return Curated(
        tuple(sorted(named, key=lambda image: image.path)), tuple(sorted(skipped, key=lambda file: file.path))
    )


def _mislabelled(same: Sequence[Inspected]) -> list[Skipped]:
    """All copies as skipped, if their labels contradict each other or a known cause; else []."""
    by_label: dict[int | None, str] = {file.record.label: file.record.path for file in reversed(same)}
    if 0 in by_label and 1 in by_label:
        return [
            Skipped(
                file.record.path,
                "mislabelled",
                f"same bytes as {by_label[0 if file.record.label else 1]}, which has the other label; none is used",
            )
            for file in same
        ]
    causes = {file.record.cause for file in same} - {None}
    if 0 in by_label and causes:
        detail = f"labelled NORMAL, but its name or sheet says {' and '.join(sorted(map(str, causes)))} pneumonia"
        return [Skipped(file.record.path, "mislabelled", detail) for file in same]
    return []


def _image(same: Sequence[Inspected]) -> CuratedImage:
    """The image for these copies, the preferred one first; the patient key is filled in later."""
    best = same[0]
    label = next((file.record.label for file in same if file.record.label is not None), None)
    cause = next((file.record.cause for file in same if file.record.cause is not None), None)
    count = sum((file.record.split, file.record.label) == (best.record.split, best.record.label) for file in same)
    cause = cause if label == 1 else None
    known = attributes.merged(*(file.attributes for file in same))
    return CuratedImage(
        best.sha256, best.record.path, best.record.split, label, cause, "", best.width, best.height, count, known
    )


def _duplicate(file: Inspected, kept: Inspected) -> Skipped:
    detail = f"same bytes as {kept.record.path}"
    if file.record.split != kept.record.split:
        splits = f"{kept.record.split} and {file.record.split or 'no split'}"
        detail += f"; a leak between {splits}: the {kept.record.split} copy is kept"
    return Skipped(file.record.path, "duplicate", detail, duplicate_of=kept.sha256)


def _patient_name(file: Inspected) -> Name:
    if file.patient_group is not None:
        return "group", file.patient_group
    return ("image", file.sha256) if file.record.patient_key is None else ("key", file.record.patient_key)


def _joined(copies: Mapping[str, Sequence[Inspected]]) -> dict[Name, Name]:
    """Each patient identifier -> the representative of all identifiers that identical files connect."""
    from scipy.cluster.hierarchy import DisjointSet

    connected = DisjointSet()
    for sha256, same in copies.items():
        connected.add(("image", sha256))
        for file in same:
            connected.add(_patient_name(file))
            connected.merge(_patient_name(file), ("image", sha256))
    return {name: connected[name] for name in connected}


def _patient_keys(
    copies: Mapping[str, Sequence[Inspected]], kept: Sequence[str], known: Mapping[str, str]
) -> dict[str, str]:
    """Each kept image's sha256 -> pseudonymous patient key.

    A patient known by a number from a sheet or DICOM header is named after the hash of one of their own images: the
    number cannot be recovered from it, and no secret key or list is needed to extend it later.
    """
    joined = _joined(copies)
    published: dict[Name, str] = {}
    for (kind, key), patient in sorted(joined.items()):
        if kind == "key":
            published.setdefault(patient, key)
    groups: dict[Name, list[str]] = defaultdict(list)
    for sha256 in kept:
        groups[joined["image", sha256]].append(sha256)
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for patient, members in sorted(groups.items(), key=lambda group: min(group[1])):
        earlier = sorted(known[sha256] for sha256 in members if known.get(sha256, "").startswith(PATIENT))
        first = min(members)
        own = (*earlier, f"{PATIENT}{first[:12]}", f"{PATIENT}{first}")
        key = published.get(patient) or next(key for key in own if key not in taken)
        taken.add(key)
        keys |= dict.fromkeys(members, key)
    return keys
