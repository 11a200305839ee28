"""Reports that a model wrote elsewhere: a CSV file of them, by image and prompt strategy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import path_sheets
from engine.errors import InputError
from engine.path_sheets import MissingColumnError, Sheet, Values
from engine.reporting.generators import Case, Generated, Outcome, storable
from engine.reporting.prompts import PromptStrategy

REPORT, STRATEGY = "report", "strategy"


def read(file: Path, paths: Iterable[str], copies: Mapping[str, str], *, strategy: str | None) -> dict[str, Sheet[str]]:
    """Each strategy's reports by image; rows without a report do not count. strategy: that of all rows, None where a
    column names each one's. Raises InputError as `path_sheets.rows` does, where there is no file, and where two rows
    are two reports on one image under one strategy."""
    held = set(paths)
    found: dict[str, Values[str]] = {}
    columns = (REPORT,) if strategy else (REPORT, STRATEGY)
    try:
        for row in path_sheets.rows(file, columns, held, copies):
            under, text = (strategy or row.cells[STRATEGY]).strip().lower(), row.cells[REPORT]
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
    return {under: texts.sheet(held) for under, texts in found.items()}


@dataclass(frozen=True)
class ImportedReports:
    """A report generator that quotes what was written: texts by strategy and the image's path, for every case that it
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
        """That nothing is known of how they were written."""
        return {"imported": True}

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> Iterator[Mapping[int, Outcome]]:
        """The reports, in no time."""
        texts = [self.text(prompt.name, case.path) for case in cases]
        yield {place: Generated(text, seconds=0.0, tokens=len(text.split())) for place, text in enumerate(texts)}

    def text(self, strategy: str, path: str) -> str:
        """What was written on the image, as it can be kept."""
        return storable(self.texts[strategy][path])
