"""How the rows of a CSV file that people make are read: between commas, semicolons or tabs, none cut in silence."""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TextIO

from engine.errors import InputError

DELIMITERS = (",", ";", "\t")
SPOKEN = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class Table(NamedTuple):
    """heads: of the columns, stripped, in small letters. rows: (line number, cells) of each row that has any."""

    heads: list[str]
    rows: Iterator[tuple[int, list[str]]]


def table(stream: TextIO, *, name: str, fits: Callable[[Sequence[str]], bool]) -> Table:
    """A stream, opened with newline="", from its head on; whose delimiter is the first by which the heads fit, else the
    comma.

    Raises InputError that names file and line, also while rows are read: where quotation marks are not in pairs, a row
    has more cells than there are heads, as a decimal comma or a text without quotation marks makes of one, or what is
    read is no text.
    """
    first = stream.readline()
    _refuse_binary(first, name, 1)
    heads = {mark: _heads(first, mark) for mark in DELIMITERS}
    mark = next((mark for mark in DELIMITERS if fits(heads[mark])), DELIMITERS[0])
    return Table(heads[mark], _rows(stream, mark, name, len(heads[mark])))


def _heads(first: str, mark: str) -> list[str]:
    return [head.strip().lower() for head in next(csv.reader([first], delimiter=mark), [])]


def _rows(stream: TextIO, mark: str, name: str, columns: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(stream, delimiter=mark, strict=True)  # else an open quotation mark swallows what follows
    while True:
        begins = reader.line_num + 2
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{name}, line {begins}: cannot be read ({error}); is a quotation mark left open?"
            ) from error
        if row is None:
            return
        line = reader.line_num + 1
        _refuse_binary("".join(row), name, line)
        if any(cell.strip() for cell in row[columns:]):
            raise InputError(
                f"{name}, line {line}: {len(row)} cells under {columns} heads; put a cell that holds {SPOKEN[mark]} "
                "between quotation marks"
            )
        if any(row):
            yield line, row


def _refuse_binary(text: str, name: str, line: int) -> None:
    """Raises InputError for NUL, which UTF-16 without a mark is full of, and PostgreSQL keeps none of."""
    if "\0" in text:
        raise InputError(f"{name}, line {line}: holds NUL, which no text does; save it as CSV UTF-8")
