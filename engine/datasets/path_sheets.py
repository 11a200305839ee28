"""CSV files with one row per image, which is identified by its path."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Generic, NamedTuple, TextIO, TypeVar

from engine.datasets.csv_table import table
from engine.datasets.folders import spelling
from engine.errors import InputError
from engine.tables import unquoted

T = TypeVar("T")
NONE: Mapping[str, str] = MappingProxyType({})
PATH = "path"
ALIASES: Mapping[str, Sequence[str]] = MappingProxyType(
    {PATH: ("file", "filename", "image"), "probability": ("prob", "score"), "report": ("text",)}
)
"""Alternative names of a column; the first that a file has counts, unless it has the column itself."""
EXAMPLES = 3
"""Maximum number of paths quoted in a message."""
LONGEST = 40
"""Maximum number of characters of a cell quoted in a message."""


class MissingColumnError(InputError):
    """A file lacks a required column, whose name is in `column`."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class Row(NamedTuple):
    """A row of a sheet. number: from 0. line: where it ends in the file. path: of the image it belongs to, or as
    written if it belongs to none. own: whether it names that image itself, not a byte-identical copy of it. cells: the
    requested columns, stripped."""

    number: int
    line: int
    path: str
    own: bool
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet(Generic[T]):
    """values: image path -> the file's value for it. strays: paths in the file that match no image."""

    values: Mapping[str, T] = field(default_factory=dict)
    strays: tuple[str, ...] = ()


class Values(Generic[T]):
    """Values collected from rows. A row for the image itself takes precedence over rows for byte-identical copies of
    it; of the latter the first counts."""

    def __init__(self) -> None:
        self.own: dict[str, T] = {}
        self.copied: dict[str, T] = {}

    def add(self, row: Row, value: T) -> bool:
        """Add a row's value; False if a row for the image itself already gave a different one."""
        if not row.own:
            self.copied.setdefault(row.path, value)
            return True
        return self.own.setdefault(row.path, value) == value

    def sheet(self, held: set[str]) -> Sheet[T]:
        """The collected values. held: the paths of the images; all other paths become strays."""
        found = {**self.copied, **self.own}
        return Sheet(
            {path: value for path, value in found.items() if path in held},
            tuple(path for path in found if path not in held),
        )


def read(
    file: Path, column: str, paths: Iterable[str], copies: Mapping[str, str] = NONE, *, parse: Callable[[str], T | None]
) -> Sheet[T]:
    """The values of `column` by image; see `rows`.

    parse: turns a stripped cell into a value; it returns None for no value and raises ValueError with the reason for an
    invalid one. Raises InputError for an invalid cell, for two different values for one image, and as `rows` does.
    """
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
    """The rows of a CSV file that has a column "path" and `columns`, with comma, semicolon or tab as the delimiter.

    Column names are case-insensitive; see also ALIASES. held: the images' paths; a row matches one as `naming` says.
    copies: path of a byte-identical file -> path of the image that represents it.
    Raises InputError that names the file, and where possible the line, if it cannot be read or lacks a column;
    FileNotFoundError if it does not exist.
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
        raise InputError(f"{file} cannot be read: {error.strerror}; check the file and its permissions") from error


def naming(held: set[str]) -> Callable[[str], str]:
    """A function that maps a path to the held path it denotes; one that denotes none, or several, stays unchanged.

    A path may be spelled as `folders.spelling` allows, have additional leading folders, be a trailing part, or carry
    the mark that spreadsheets need before a formula.
    """
    spelled, ending = spelling(held), _endings(held)

    def named(path: str) -> str:
        path = spelled(path)
        if path in held:
            return path
        parts = PurePosixPath(path).parts
        longer = ("/".join(parts[at:]) for at in range(1, len(parts) - 1))  # a bare name could be in any folder
        fitting = {*ending(path), *(rest for rest in map(spelled, longer) if rest in held)}
        if len(fitting) == 1:
            return fitting.pop()
        plain = path if unquoted(path) == path else named(unquoted(path))
        return plain if plain in held else path

    return named


def _endings(held: Iterable[str]) -> Callable[[str], list[str]]:
    """A function that returns the held paths that end with a given path."""
    by_name: dict[str, list[str]] = {}
    for path in held:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    return lambda path: [one for one in by_name.get(PurePosixPath(path).name, ()) if f"/{one}".endswith(f"/{path}")]


def astray(strays: Sequence[str], held: Iterable[str], *, what: str, whose: str = "") -> Iterator[str]:
    """Warnings about a sheet's strays: a line for those that match no held path and one for those that match several.

    what: a name for them, such as "rows of scores.csv". whose: which images they are, such as " of dataset 'data'".
    """
    ending = _endings(held)
    several = [path for path in strays if ending(path)]
    none = [path for path in strays if not ending(path)]
    if none:
        yield f"{len(none):,} {what} match no image{whose}: {examples(none)}"
    if several:
        yield f"{len(several):,} {what} match several files; include more of their folders: {examples(several)}"


def _opened(
    stream: TextIO, file: Path, wanted: Sequence[str]
) -> tuple[Iterator[tuple[int, list[str]]], dict[str, int]]:
    """The rows after the header line, and the position of each wanted column. Raises InputError for an empty header,
    MissingColumnError for a missing column."""
    found, read = table(stream, name=str(file), fits=lambda heads: all(_column(name, heads) for name in wanted))
    if not any(found):
        raise InputError(f"{file}, line 1: no column names; expected columns {' and '.join(wanted)}")
    places = {}
    for name in wanted:
        column = _column(name, found)
        if column is None:
            names = ", ".join(found)[: 2 * LONGEST]
            message = f"{file}, line 1: no column '{name}'; expected {' and '.join(wanted)}, found: {names}"
            raise MissingColumnError(message, name)
        if found.count(column) > 1:
            raise InputError(f"{file}, line 1: column '{column}' appears twice; keep one")
        places[name] = found.index(column)
    return read, places


def _column(name: str, heads: Sequence[str]) -> str | None:
    """The file's column for `name`: of that name, or else of the first of its aliases; None if it has neither."""
    return next((head for head in (name, *ALIASES.get(name, ())) if head in heads), None)


def quoted(cell: str) -> str:
    """A cell for a message, truncated at the end if it is long."""
    return cell if len(cell) <= LONGEST else f"{cell[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"


def examples(paths: Sequence[str]) -> str:
    """The first few of these paths, for a message."""
    return f"{', '.join(map(quoted_path, paths[:EXAMPLES]))}{', ...' if len(paths) > EXAMPLES else ''}"


def quoted_path(path: str) -> str:
    """A path for a message, truncated at the beginning if it is long."""
    return path if len(path) <= 3 * LONGEST else f"\N{HORIZONTAL ELLIPSIS}{path[-3 * LONGEST :]}"
