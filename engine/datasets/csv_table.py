"""Reading CSV files made by people: comma, semicolon or tab as the delimiter; a malformed row is an error."""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TextIO

from engine.errors import InputError

DELIMITERS = (",", ";", "\t")
SPOKEN = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class Table(NamedTuple):
    """heads: column names, stripped and lower-cased. rows: (line number, cells) of each row that is not empty."""

    heads: list[str]
    rows: Iterator[tuple[int, list[str]]]


def table(stream: TextIO, *, name: str, fits: Callable[[Sequence[str]], bool]) -> Table:
    """The table in a stream opened with newline="", header line first.

    fits: whether column names are the expected ones; the first delimiter whose column names fit is used, else a comma.
    Raises InputError that names file and line, also while rows are being read: for unbalanced quotation marks, for a
    row with more cells than columns (an unquoted decimal comma or text, for example), and for content that is not text.
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
                f"{name}, line {line}: {len(row)} cells for {columns} columns; put a cell that contains {SPOKEN[mark]} "
                "in quotation marks"
            )
        if any(row):
            yield line, row


def _refuse_binary(text: str, name: str, line: int) -> None:
    """Raises InputError for NUL characters: UTF-16 without a byte order mark is full of them, and PostgreSQL cannot
    store them."""
    if "\0" in text:
        raise InputError(f"{name}, line {line}: contains NUL characters, so it is not UTF-8 text; save it as CSV UTF-8")
