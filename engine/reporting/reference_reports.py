"""Reference reports written by people: reports.csv beside the images."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from engine.datasets import path_sheets
from engine.datasets.folders import REPORTS
from engine.datasets.path_sheets import Sheet

NAME, COLUMN = REPORTS, "report"


def read(root: Path, paths: Iterable[str], copies: Mapping[str, str] = MappingProxyType({})) -> Sheet[str]:
    """The reference reports in the dataset folder `root`; an empty sheet if it has no reports.csv.

    paths, copies: as in `path_sheets.rows`. Raises InputError as `path_sheets.read` does.
    """
    try:
        return path_sheets.read(root / NAME, COLUMN, paths, copies, parse=lambda text: text or None)
    except FileNotFoundError:
        return Sheet()
