"""What a CSV file says of images that it names by their path, a row each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Generic, NamedTuple, TextIO, TypeVar

from engine.csv_table import table
from engine.datasets import spelling
from engine.errors import InputError

T = TypeVar("T")
NONE: Mapping[str, str] = MappingProxyType({})
PATH = "path"
ALIASES: Mapping[str, str] = MappingProxyType(
    {"file": PATH, "filename": PATH, "image": PATH, "prob": "probability", "score": "probability"}
)
"""What a column may be called instead."""
EXAMPLES = 3
"""Paths that a message names."""
LONGEST = 40
"""Characters of a cell that a message quotes."""


class MissingColumnError(InputError):
    """A file lacks a column; see `column`."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class Row(NamedTuple):
    """A row of a sheet: its number from 0, its line, the path of the image that it is on, whether it names that very
    file and no byte-identical copy of it, and what the asked columns hold, stripped."""

    number: int
    line: int
    path: str
    own: bool
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet(Generic[T]):
    """values: path of the image -> what the file says of it. strays: paths that are no image's."""

    values: Mapping[str, T] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


class Values(Generic[T]):
    """What rows say of images, gathered. A row on the image itself goes before those on byte-identical copies of it, of
    which the first counts."""

    def __init__(self) -> None:
        self.own: dict[str, T] = {}
        self.copied: dict[str, T] = {}

    def add(self, row: Row, value: T) -> bool:
        """Take a row's value in; False where the image itself has another already."""
        if not row.own:
            self.copied.setdefault(row.path, value)
            return True
        return self.own.setdefault(row.path, value) == value

    def sheet(self, held: set[str]) -> Sheet[T]:
        """What was gathered of the held images, and the paths that are none of theirs."""
        found = {**self.copied, **self.own}
        return Sheet(
            {path: value for path, value in found.items() if path in held},
            tuple(path for path in found if path not in held),
        )


def read(
    file: Path, column: str, paths: Iterable[str], copies: Mapping[str, str] = NONE, *, parse: Callable[[str], T | None]
) -> Sheet[T]:
    """The values of `column` by image; see `rows`. parse: what a cell means, stripped; None is no value, and a
    ValueError says what is wrong with it. Raises InputError where two rows say two things of one image."""
    held = set(paths)
    found: Values[T] = Values()
    for row in rows(file, (column,), held, copies):
        try:
            value = parse(row.cells[column])
        except ValueError as error:
            raise InputError(f"{file}, line {row.line}: {error}") from error
        if value is not None and not found.add(row, value):
            raise InputError(f"{file}, line {row.line}: a second {column} for {row.path}; keep one")
    return found.sheet(held)


def rows(file: Path, columns: Sequence[str], held: set[str], copies: Mapping[str, str] = NONE) -> Iterator[Row]:
    """The rows of a file with column "path" and these, between commas, semicolons or tabs, whatever the case of its
    heads; see ALIASES.

    held: the images' paths. A row may spell one as a row of labels.csv may, with more folders before it, or with so few
    that it fits that one alone. copies: path of a byte-identical file -> the path of the image that stands for it.
    Raises InputError that names file and line where the file cannot be read or lacks a column; FileNotFoundError where
    there is none.
    """
    named = naming(held | copies.keys())
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            read, places = _opened(stream, file, (PATH, *columns))
            for number, (line, row) in enumerate(read):
                cells = {name: row[at].strip() if at < len(row) else "" for name, at in places.items()}
                path = named(cells.pop(PATH))
                yield Row(number, line, copies.get(path, path), path not in copies, cells)
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{file} cannot be read ({error}); save it as CSV UTF-8") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; check what it is, and who may read it") from error


def naming(held: set[str]) -> Callable[[str], str]:
    """What makes of a path the held one that it names; one that names none, or several, stays as it is."""
    spelled, ending = spelling(held), _endings(held)

    def named(path: str) -> str:
        path = spelled(path)
        if path in held:
            return path
        parts = PurePosixPath(path).parts
        longer = ("/".join(parts[at:]) for at in range(1, len(parts) - 1))  # a name alone may be any folder's
        found = next((rest for rest in map(spelled, longer) if rest in held), None)
        if found is not None:
            return found
        fitting = ending(path)
        return fitting[0] if len(fitting) == 1 else path

    return named


def _endings(held: Iterable[str]) -> Callable[[str], list[str]]:
    """What finds the held paths that end with a path."""
    by_name: dict[str, list[str]] = {}
    for path in held:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    return lambda path: [one for one in by_name.get(PurePosixPath(path).name, ()) if f"/{one}".endswith(f"/{path}")]


def astray(strays: Sequence[str], held: Iterable[str], *, what: str, whose: str = "") -> Iterator[str]:
    """A line on the strays of a sheet that are none of the held paths, and one on those that fit several. what: they
    are, such as "rows of said.csv"; whose: images these are, such as " of dataset 'data'"."""
    ending = _endings(held)
    several = [path for path in strays if ending(path)]
    none = [path for path in strays if not ending(path)]
    if none:
        yield f"{len(none):,} {what} are on no image{whose}: {examples(none)}"
    if several:
        yield f"{len(several):,} {what} fit several files; write more of the folders before them: {examples(several)}"


def _opened(
    stream: TextIO, file: Path, wanted: Sequence[str]
) -> tuple[Iterator[tuple[int, list[str]]], dict[str, int]]:
    """The rows behind the head, and where each wanted column is. Raises InputError that tells what was found."""
    found, read = table(stream, name=str(file), fits=lambda heads: set(wanted) <= set(_known(heads)))
    if not any(found):
        raise InputError(f"{file}, line 1: nothing stands there; it needs columns {' and '.join(wanted)}")
    heads = _known(found)
    for name in wanted:
        if name not in heads:
            told = ", ".join(found)[: 2 * LONGEST]
            said = f"{file}, line 1: no column '{name}'; it needs {' and '.join(wanted)}, found: {told}"
            raise MissingColumnError(said, name)
        if heads.count(name) > 1:
            raise InputError(f"{file}, line 1: column '{name}' stands there twice; keep one")
    return read, {name: heads.index(name) for name in wanted}


def _known(heads: Sequence[str]) -> list[str]:
    """The heads by the names that columns have here."""
    return [ALIASES.get(head, head) if ALIASES.get(head, head) not in heads else head for head in heads]


def quoted(cell: str) -> str:
    """A cell for a message, its beginning where it is long."""
    return cell if len(cell) <= LONGEST else f"{cell[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"


def examples(paths: Sequence[str]) -> str:
    """The first of these paths, for a message."""
    return f"{', '.join(map(quoted_path, paths[:EXAMPLES]))}{', ...' if len(paths) > EXAMPLES else ''}"


def quoted_path(path: str) -> str:
    """A path for a message, its end where it is long."""
    return path if len(path) <= 3 * LONGEST else f"\N{HORIZONTAL ELLIPSIS}{path[-3 * LONGEST :]}"
