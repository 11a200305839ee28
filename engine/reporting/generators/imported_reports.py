"""Reports by an external model: a CSV file with a report for each image and prompt strategy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from engine.datasets import path_sheets
from engine.datasets.path_sheets import MissingColumnError, Sheet, Values
from engine.errors import InputError
from engine.reporting.generators import Case, Generated, Outcome, storable
from engine.reporting.prompts import PromptStrategy

REPORT, STRATEGY = "report", "strategy"


class Sheets(NamedTuple):
    """reports: strategy -> its reports by image. empty: number of rows without a report."""

    reports: dict[str, Sheet[str]]
    empty: int


def read(file: Path, paths: Iterable[str], copies: Mapping[str, str], *, strategy: str | None) -> Sheets:
    """The reports of a CSV file.

    paths, copies: as in `path_sheets.rows`. strategy: that of all rows, None if a column gives each row's. Raises
    InputError as `path_sheets.rows` does, and for a missing file, a row without a strategy, and two different reports
    for one image and strategy.
    """
    held = set(paths)
    found: dict[str, Values[str]] = {}
    empty = 0
    columns = (REPORT,) if strategy else (REPORT, STRATEGY)
    try:
        for row in path_sheets.rows(file, columns, held, copies):
            under, text = (strategy or row.cells[STRATEGY]).strip().lower(), row.cells[REPORT]
            empty += not text
            if text and not under:
                raise InputError(f"{file}, line {row.line}: no strategy; fill it in, or name one for all: --strategy")
            if text and not found.setdefault(under, Values()).add(row, text):
                raise InputError(f"{file}, line {row.line}: a second report for {row.path} under '{under}'; keep one")
    except FileNotFoundError as error:
        raise InputError(f"{file} is not there; give a CSV file with columns path, report and strategy") from error
    except MissingColumnError as error:
        if error.column == STRATEGY:
            raise InputError(f"{error}; where there is one strategy for all, name it: --strategy") from error
        raise
    return Sheets({under: texts.sheet(held) for under, texts in found.items()}, empty)


@dataclass(frozen=True)
class ImportedReports:
    """A report generator that returns imported texts. texts: strategy -> image path -> report, for every case that it
    is asked for."""

    name: str
    revision: str
    texts: Mapping[str, Mapping[str, str]]
    reads_pixels = False
    reads_prediction = False
    reads_nearest = 0
    batch_size = 64

    @property
    def settings(self) -> Mapping[str, Any]:
        """A mark that the reports were imported; how they were generated is unknown."""
        return {"imported": True}

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterator[Mapping[int, Outcome]]:
        """The imported reports, with 0 seconds each; tokens are words."""
        texts = [self.text(prompt.name, case.path) for case in cases]
        yield {place: Generated(text, seconds=0.0, tokens=len(text.split())) for place, text in enumerate(texts)}

    def text(self, strategy: str, path: str) -> str:
        """The report on an image, made storable. Raises KeyError if there is none."""
        return storable(self.texts[strategy][path])
