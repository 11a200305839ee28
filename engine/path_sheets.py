"""What a CSV file says of images that it names by their path, a row each."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from engine.datasets import spelling
from engine.errors import InputError

T = TypeVar("T")
NONE: Mapping[str, str] = MappingProxyType({})
PATH = "path"
EXAMPLES = 3
"""Paths that a message names."""


@dataclass(frozen=True)
class Sheet(Generic[T]):
    """values: path of the image -> what the file says of it. strays: paths that are no image's."""

    values: Mapping[str, T] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


def read(
    file: Path, column: str, paths: Iterable[str], copies: Mapping[str, str] = NONE, *, parse: Callable[[str], T | None]
) -> Sheet[T]:
    """The values of `column` by image; see `rows`. parse: what a cell means, stripped; None is no value, and a
    ValueError says what is wrong with it. Raises InputError where two rows say two things of one image."""
    held = set(paths)
    found: dict[str, T] = {}
    for line, path, cells in rows(file, (column,), held, copies):
        try:
            value = parse(cells[column])
        except ValueError as error:
            raise InputError(f"{file}, line {line}: {error}") from error
        if value is not None and found.setdefault(path, value) != value:
            raise InputError(f"{file}, line {line}: a second {column} for {path}; keep one")
    return sheet(found, held)


def rows(
    file: Path, columns: Sequence[str], held: set[str], copies: Mapping[str, str] = NONE
) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Line, path and cells of each row: the image's path in column "path", and what the other columns hold, stripped.

    held: the images' paths, which a row may spell as a row of labels.csv may. copies: path of a byte-identical file ->
    the path of the image that stands for it, which a row on either is on. Raises InputError that names file and line
    where the file cannot be read or lacks a column; FileNotFoundError where there is none.
    """
    spelled = spelling(held | copies.keys())
    wanted = (PATH, *columns)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{file}, line 1: no column '{missing[0]}'; it needs {' and '.join(wanted)}")
            for row in reader:
                cells = {name: (row[name] or "").strip() for name in wanted}
                path = spelled(cells[PATH])
                yield reader.line_num, copies.get(path, path), cells
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as UTF-8 CSV") from error


def sheet(found: Mapping[str, T], held: set[str]) -> Sheet[T]:
    """What was found of paths, parted into what is of images and what is not."""
    return Sheet(
        {path: value for path, value in found.items() if path in held},
        tuple(path for path in found if path not in held),
    )


def examples(paths: Sequence[str]) -> str:
    """The first of these paths, for a message."""
    return f"{', '.join(paths[:EXAMPLES])}{', ...' if len(paths) > EXAMPLES else ''}"
