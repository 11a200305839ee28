"""What a CSV file says of images that it names by their path, a row each."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from engine.datasets import spelling
from engine.errors import InputError

T = TypeVar("T")
PATH = "path"
EXAMPLES = 3
"""Paths that a message names."""


@dataclass(frozen=True)
class Sheet(Generic[T]):
    """values: path of the image -> what the file says of it. strays: paths that are no image's."""

    values: Mapping[str, T] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


def examples(paths: Sequence[str]) -> str:
    """The first of these paths, for a message."""
    return f"{', '.join(paths[:EXAMPLES])}{', ...' if len(paths) > EXAMPLES else ''}"


def read(
    file: Path,
    column: str,
    paths: Iterable[str],
    copies: Mapping[str, str] = MappingProxyType({}),
    *,
    parse: Callable[[str], T | None],
) -> Sheet[T]:
    """The values of `column` by the images that column "path" names; rows without a value do not count.

    paths: the images', which a row may spell as a row of labels.csv may. copies: path of a byte-identical file -> the
    path of the image that stands for it, whose value a row on either is. parse: what a cell means, stripped; None is no
    value, and a ValueError that says what is wrong with it. Raises InputError that names file and line where the file
    cannot be read, lacks a column, or says two things of one image; FileNotFoundError where there is none.
    """
    held = set(paths)
    spelled = spelling(held | copies.keys())
    found: dict[str, T] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            missing = [name for name in (PATH, column) if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(f"{file}, line 1: no column '{missing[0]}'; it needs {PATH} and {column}")
            for row in rows:
                try:
                    value = parse((row[column] or "").strip())
                except ValueError as error:
                    raise InputError(f"{file}, line {rows.line_num}: {error}") from error
                path = spelled((row[PATH] or "").strip())
                path = copies.get(path, path)
                if value is not None and found.setdefault(path, value) != value:
                    raise InputError(f"{file}, line {rows.line_num}: a second {column} for {path}; keep one")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as UTF-8 CSV") from error
    return Sheet(
        {path: value for path, value in found.items() if path in held},
        tuple(path for path in found if path not in held),
    )
