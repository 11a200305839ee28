"""Which images have a report that a person wrote: reports.csv beside the images."""

import csv
from pathlib import Path, PurePosixPath

from engine.errors import InputError

NAME = "reports.csv"
COLUMNS = ("path", "report")


def read(root: Path) -> dict[str, str]:
    """Path of the image below `root`, as the data set lists it -> its reference report; empty without a reports.csv.

    Raises InputError that names file and line where the file cannot be read, lacks a column, or says two things of one
    image.
    """
    file = root / NAME
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(f"{file}, line 1: no column '{missing[0]}'; it needs {' and '.join(COLUMNS)}")
            for row in rows:
                path, text = str(PurePosixPath((row["path"] or "").strip())), (row["report"] or "").strip()
                if found.setdefault(path, text) != text:
                    raise InputError(f"{file}, line {rows.line_num}: a second report for {path}; keep one")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as UTF-8 CSV") from error
    return {path: text for path, text in found.items() if text}
