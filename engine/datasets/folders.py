"""The files of a dataset folder, and what their paths, names and the label sheet say about them."""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from engine.datasets.csv_table import table
from engine.errors import InputError
from engine.imaging import attributes
from engine.imaging.attributes import Attributes
from engine.labels import CLASSES

SPLITS = ("train", "val", "test")
LABELS = {name: label for label, name in CLASSES.items()}
SHEET = "labels.csv"
REPORTS = "reports.csv"
"""Reference reports written by people; see engine.reporting.reference_reports."""
SHEET_LABELS = {"": None, "0": 0, "1": 1, "0.0": 0, "1.0": 1, **LABELS}
SHEET_SPLITS = ("", *SPLITS)
SHEET_COLUMNS = ("file", "label", "split", "patient", "cause")
"""Columns of a label sheet that are not attributes."""
MOST_VALUES = 50
"""Maximum number of distinct values of an attribute; a column with more identifies patients rather than groups."""
SHEET_CAUSES = {"": None, "bacterial": "bacterial", "bacteria": "bacterial", "viral": "viral", "virus": "viral"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".j2k", ".pgm", ".ppm", ".dcm")
IGNORED = ("__macosx", "thumbs.db", "desktop.ini")
PNEUMONIA_NAME = re.compile(r"person(\d{1,9})_(bacteria|virus)(?:_\d+)+", re.IGNORECASE)
NORMAL_NAME = re.compile(r"((?:NORMAL\d{0,9}-)?IM-\d{1,9})(?:-\d+)+", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """One file that may be an image. path: POSIX, relative to the folder. None means unknown."""

    path: str
    split: str | None = None
    label: int | None = None
    cause: str | None = None
    patient_key: str | None = None
    """From a file name of the Kaggle set, which is already pseudonymous."""
    patient_group: str | None = None
    """From the label sheet; used to group files and never stored."""
    attributes: Attributes = ()


@dataclass(frozen=True)
class Skipped:
    """One skipped file. reason: a slug to count by; duplicate_of: sha256 of the image that represents it."""

    path: str
    reason: str
    detail: str
    duplicate_of: str | None = None


@dataclass(frozen=True)
class Listing:
    """A folder's files before any is opened. layout: kaggle, sheet or unlabelled. fingerprint: sha256, hex."""

    root: Path
    layout: str
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    fingerprint: str


def list_folder(folder: Path, *, further: Sequence[str] = ()) -> Listing:
    """The files of `folder`, sorted by path; hidden files, __MACOSX, Thumbs.db, desktop.ini and its reports.csv are
    ignored.

    A labels.csv takes precedence over folder names. train|val|test/NORMAL|PNEUMONIA may be in any case, one level down,
    or without splits; any other layout is unlabelled. The fingerprint changes with any file's path, size or
    modification time. further: columns of the label sheet that are attributes in addition to attributes.KNOWN.
    Raises InputError for a missing or empty folder, one with several datasets, or an unusable label sheet.
    """
    root = folder.resolve()
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"folder {folder} was expected to hold images, but there is {found}; check the path")
    skipped: list[Skipped] = []
    files = sorted(file for file in _walk(root, skipped) if file[0] != REPORTS)
    if not files and not skipped:
        raise InputError(f"folder {folder} is empty; give one with images, or draw phantoms with: python -m jobs demo")
    marks = hashlib.sha256("".join(f"{path}\0{size}\0{mtime}\n" for path, size, mtime in files).encode())
    paths = [path for path, _, _ in files]
    sheet = next((path for path in paths if path.lower() == SHEET), None)
    if sheet is None and further:
        raise InputError(f"attributes are columns of {SHEET}, which folder {folder} does not have; leave them out")
    if sheet is not None:
        layout, records = "sheet", _by_sheet(root, sheet, paths, skipped, further)
    elif (base := _kaggle_base(root, paths)) is not None:
        layout, records = "kaggle", _by_folders(base, paths, skipped)
    else:
        layout, records = "unlabelled", [Record(path) for path in paths]
    skipped.sort(key=lambda file: file.path)
    return Listing(root, layout, tuple(_by_name(record) for record in records), tuple(skipped), marks.hexdigest())


def patient_of(name: str) -> tuple[str | None, str | None]:
    """(patient key, cause) from a file name of the Kaggle set, (None, None) from any other.

    person100_bacteria_475.jpeg gives ('bacterial-100', 'bacterial'): the numbering restarts with each cause, so only
    number and cause together identify a patient. NORMAL2-IM-1427-0001.jpeg gives ('NORMAL2-IM-1427', None).
    """
    stem = PurePosixPath(name).stem
    if found := PNEUMONIA_NAME.fullmatch(stem):
        cause = SHEET_CAUSES[found[2].lower()]
        return f"{cause}-{int(found[1])}", cause
    if found := NORMAL_NAME.fullmatch(stem):
        return found[1].upper(), None
    return None, None


def spelling(held: set[str]) -> Callable[[str], str]:
    """A function that maps a path as written in a sheet to the folder's spelling of it; unknown paths stay unchanged.

    held: the folder's paths, in the spelling to return. macOS may store as two characters (NFD) what the sheet writes
    as one (NFC), and the sheet may use Windows backslashes.
    """
    composed = {unicodedata.normalize("NFC", path): path for path in sorted(held)}

    def spelled(path: str) -> str:
        path = _below(path).as_posix()
        return path if path in held else composed.get(unicodedata.normalize("NFC", path), path)

    return spelled


def _below(path: str) -> PurePosixPath:
    return PurePosixPath(path.replace("\\", "/"))


def _walk(root: Path, skipped: list[Skipped]) -> Iterator[tuple[str, int, int]]:
    """(relative path, size in bytes, mtime in ns) of every regular file; anything else is added to `skipped`."""

    def unreadable(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename)).relative_to(root).as_posix()
        skipped.append(Skipped(_printable(path), "unreadable", f"folder: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if _counts(name) and name not in links)
        for name in filter(_counts, (*names, *links)):
            file = Path(folder, name)
            path = file.relative_to(root).as_posix()
            reason, detail, size, mtime = _look(root, file)
            if _printable(path) != path:
                reason, detail = "unreadable", "its name is not UTF-8"
            if reason:
                skipped.append(Skipped(_printable(path), reason, detail))
            else:
                yield path, size, mtime


def _look(root: Path, file: Path) -> tuple[str, str, int, int]:
    """(reason to skip or '', detail, size in bytes, mtime in ns), without opening the file."""
    try:
        if file.is_symlink() and not file.resolve(strict=True).is_relative_to(root):
            return "link", "a link that leaves the folder is not followed", 0, 0
        status = file.stat()
    except (OSError, RuntimeError) as error:
        return "unreadable", str(getattr(error, "strerror", None) or error), 0, 0
    if stat.S_ISDIR(status.st_mode):
        return "link", "a link to a folder is not followed", 0, 0
    if not stat.S_ISREG(status.st_mode):
        return "not-an-image", "not a regular file", 0, 0
    return "", "", status.st_size, status.st_mtime_ns


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in IGNORED


def _printable(path: str) -> str:
    """`path` in a form that can be stored: bytes that are not UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def _kaggle_base(root: Path, paths: Sequence[str]) -> tuple[str, ...] | None:
    """The folder parts above the split or class folders: () or one name; None if the layout is a different one.

    Raises InputError where several folders hold splits or classes.
    """
    bases = set()
    for path in paths:
        folders = PurePosixPath(path).parts[:-1]
        for depth in (0, 1):
            if _split_and_label(folders[depth:]) is not None:
                bases.add(folders[:depth])
                break
    if () in bases or not bases:
        return () if bases else None
    if len(bases) > 1:
        names = ", ".join(sorted("/".join(base) for base in bases))
        raise InputError(
            f"folder {root} holds several datasets ({names}); ingest them one at a time, or if they are splits of one "
            "dataset, rename them train, val and test"
        )
    return bases.pop()


def _split_and_label(folders: Sequence[str]) -> tuple[str | None, int] | None:
    """(split or None, label) for folders that start with SPLIT/CLASS or CLASS; None for any others."""
    names = [name.lower() for name in folders[:2]]
    if len(names) == 2 and names[0] in SPLITS and names[1] in LABELS:
        return names[0], LABELS[names[1]]
    return (None, LABELS[names[0]]) if names and names[0] in LABELS else None


def _by_folders(base: tuple[str, ...], paths: Sequence[str], skipped: list[Skipped]) -> list[Record]:
    records = []
    for path in paths:
        folders = PurePosixPath(path).parts[:-1]
        found = _split_and_label(folders[len(base) :]) if folders[: len(base)] == base else None
        if found is not None:
            records.append(Record(path, *found))
        else:
            skipped.append(_outside(path, "not under train|val|test/NORMAL|PNEUMONIA"))
    return records


def _outside(path: str, detail: str) -> Skipped:
    """A skipped file that is not part of the layout."""
    if PurePosixPath(path).suffix.lower() in SUFFIXES:
        return Skipped(path, "not-listed", detail)
    return Skipped(path, "not-an-image", "neither an image nor DICOM by its name")


def _by_name(record: Record) -> Record:
    """The record completed with what its file name says."""
    key, cause = patient_of(record.path)
    known = attributes.merged(record.attributes, attributes.of_file_name(key, record.label))
    return replace(record, patient_key=key, cause=record.cause or cause, attributes=known)


def _by_sheet(
    root: Path, sheet: str, paths: Sequence[str], skipped: list[Skipped], further: Sequence[str]
) -> list[Record]:
    """Records in the sheet's order; files listed but absent, and files present but not listed, are skipped."""
    present = set(paths) - {sheet}
    held = present | {file.path for file in skipped}
    spelled = spelling(held)
    named: dict[str, Record] = {}
    for line, record in _sheet_rows(root / sheet, further):
        record = replace(record, path=spelled(record.path))
        earlier = named.setdefault(record.path, record)
        if earlier != record:
            raise InputError(f"{SHEET}, line {line}: '{record.path}' is listed twice with different values; keep one")
    _refuse_identifiers(record.attributes for record in named.values())
    absent = named.keys() - held
    skipped += [Skipped(path, "absent", f"{SHEET} names it, the folder does not hold it") for path in absent]
    skipped += [_outside(path, f"{SHEET} does not name it") for path in sorted(present - set(named))]
    return [record for path, record in named.items() if path in present]


def _refuse_identifiers(known: Iterable[Attributes]) -> None:
    """Raises InputError if an attribute has more than MOST_VALUES distinct values."""
    values: dict[str, set[str]] = {}
    for name, value in (pair for pairs in known for pair in pairs):
        values.setdefault(name, set()).add(value)
    for name, different in values.items():
        if len(different) > MOST_VALUES:
            raise InputError(
                f"{SHEET}: column '{name}' has {len(different):,} different values, an attribute at most "
                f"{MOST_VALUES}; group them, or rename the column"
            )


def _sheet_rows(sheet: Path, further: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """(line number, record) of each row of labels.csv. Raises InputError for missing columns or invalid values."""
    try:
        with sheet.open(encoding="utf-8-sig", newline="") as stream:
            columns, rows = table(stream, name=SHEET, fits=lambda heads: {"file", "label"} <= set(heads))
            if missing := [name for name in ("file", "label") if name not in columns]:
                raise InputError(
                    f"{SHEET} lacks column {' and '.join(missing)}; expected file, label and, if known, split, "
                    f"patient, cause; found: {', '.join(columns) or 'nothing'}"
                )
            wanted = [name for name in columns if name in attributes.KNOWN or name in further]
            if absent := [name for name in further if name not in wanted]:
                raise InputError(f"{SHEET} lacks column {' and '.join(absent)}; found: {', '.join(columns)}")
            if twice := next((name for name in (*SHEET_COLUMNS, *wanted) if columns.count(name) > 1), None):
                raise InputError(f"{SHEET}: column '{twice}' appears twice; keep one")
            for line, row in rows:
                values = {name: row[at].strip() if at < len(row) else "" for at, name in enumerate(columns)}
                if any(values.values()):  # spreadsheets leave empty rows
                    yield line, _sheet_record(line, values, wanted)
    except UnicodeDecodeError as error:
        raise InputError(f"{SHEET} cannot be read ({error}); save it as CSV UTF-8") from error
    except OSError as error:
        raise InputError(f"{SHEET} cannot be read: {error.strerror}; check the file and its permissions") from error


def _sheet_record(line: int, row: dict[str, str], wanted: Sequence[str]) -> Record:
    """The record of a row, with the wanted columns as attributes. Raises InputError that names the line."""
    path = _below(row["file"])
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise InputError(
            f"{SHEET}, line {line}: file '{row['file']}' is not a path relative to the folder, such as sub/film.png; "
            "correct the line"
        )
    label, split, cause = row["label"].lower(), row.get("split", "").lower(), row.get("cause", "").lower()
    known = {"label": (label, SHEET_LABELS), "split": (split, SHEET_SPLITS), "cause": (cause, SHEET_CAUSES)}
    for column, (value, values) in known.items():
        if value not in values:
            expected = ", ".join(filter(None, values))
            raise InputError(f"{SHEET}, line {line}: {column} '{value}' is unknown; expected {expected} or nothing")
    group = row.get("patient") or None
    try:
        found = attributes.attributes_of({name: row[name] for name in wanted})
    except InputError as error:
        raise InputError(f"{SHEET}, line {line}: {error}") from error
    return Record(path.as_posix(), split or None, SHEET_LABELS[label], SHEET_CAUSES[cause], None, group, found)
