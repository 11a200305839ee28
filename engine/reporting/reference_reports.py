"""Which images have a report that a person wrote: reports.csv beside the images."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from engine.datasets import REPORTS, spelling
from engine.errors import InputError

NAME = REPORTS
COLUMNS = ("path", "report")


@dataclass(frozen=True)
class References:
    """reports: path of the image -> its reference report. strays: paths of reports on no image."""

    reports: Mapping[str, str] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


def read(root: Path, paths: Iterable[str], copies: Mapping[str, str] = MappingProxyType({})) -> References:
    """The reference reports of the images that the data set lists below `root`; none without a reports.csv.

    paths: the images', which a row may spell as a row of labels.csv may. copies: path of a byte-identical file -> the
    path of the image that stands for it, whose report a row on either is. Raises InputError that names file and line
    where the file cannot be read, lacks a column, or says two things of one image.
    """
    file = root / NAME
    held = set(paths)
    spelled = spelling(held | copies.keys())
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(f"{file}, line 1: no column '{missing[0]}'; it needs {' and '.join(COLUMNS)}")
            for row in rows:
                path, text = spelled((row["path"] or "").strip()), (row["report"] or "").strip()
                path = copies.get(path, path)
                if found.setdefault(path, text) != text:
                    raise InputError(f"{file}, line {rows.line_num}: a second report for {path}; keep one")
    except FileNotFoundError:
        return References()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as UTF-8 CSV") from error
    written = {path: text for path, text in found.items() if text}
    return References(
        {path: text for path, text in written.items() if path in held},
        tuple(path for path in written if path not in held),
    )
