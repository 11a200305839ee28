"""Which of a folder's files become images of the dataset, and why each of the others does not."""

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine import attributes, dicom, images
from engine.attributes import Attributes
from engine.datasets import Record, Skipped
from engine.errors import UnreadableImageError

PATIENT = "patient-"
Name = tuple[str, str]
"""What files of one patient share: whether it is a group, a published key or one image alone, and which."""
SPLIT_ORDER = ("test", "val", "train", None)
"""Of copies in several splits the first is kept: a test image must not be seen in training."""


@dataclass(frozen=True)
class Inspected:
    """A file that decodes: its content's hash, its upright size, a token that groups its patient's files, and the
    attributes that its record or header tell."""

    record: Record
    sha256: str
    width: int
    height: int
    patient_group: str | None
    attributes: Attributes = ()


@dataclass(frozen=True)
class CuratedImage:
    """One distinct image. file_count: its byte-identical files of the same split and label."""

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
    """Distinct images and left-out files, both in path order."""

    images: tuple[CuratedImage, ...]
    skipped: tuple[Skipped, ...]


def inspect(root: Path, record: Record, *, artifacts: Path, key: bytes) -> Inspected | Skipped:
    """Read, hash and decode one file and write its thumbnail; content that has a thumbnail is not decoded again.

    key: random bytes that patients' numbers are hashed with; see engine.dicom.patient_token.
    Raises OSError where the thumbnail cannot be written; a file that cannot be read is skipped.
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
    """The whole file or none. Not flushed to the disk one by one: that would take longer than everything else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def curate(files: Iterable[Inspected], *, known_keys: Mapping[str, str]) -> Curated:
    """Distinct images out of decoded files.

    Equal bytes under both labels, or a file whose name or sheet gives a cause of pneumonia while its label is NORMAL,
    are mislabelled and skipped. Of other copies one is kept (SPLIT_ORDER, then path) and the rest are duplicates.
    Files with one patient_group get one patient key, and so do the patients whose film the same bytes are said to be.
    known_keys: sha256 to patient key, from earlier ingests, so that keys stay as they are when a patient's files are
    added later.
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
    """Every copy, where their labels contradict each other or a known cause."""
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
    """The image that the copies, best first, stand for; its patient key is still to come."""
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
    """Each name of a patient, and the one name that stands for all that copies of a film join (union-find)."""
    above: dict[Name, Name] = {}

    def top(name: Name) -> Name:
        while above.setdefault(name, name) != name:
            above[name] = name = above[above[name]]
        return name

    for sha256, same in copies.items():
        for file in same:
            above[top(_patient_name(file))] = top(("image", sha256))
    return {name: top(name) for name in list(above)}


def _patient_keys(
    copies: Mapping[str, Sequence[Inspected]], kept: Sequence[str], known: Mapping[str, str]
) -> dict[str, str]:
    """Each kept image's sha256 -> pseudonymous patient key.

    A patient who is known by a sheet's or DICOM's number is called after one of their own images: nothing can be
    computed back from that, and no key or list has to be kept secret to continue it.
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
