"""Which images have a report that a person wrote: reports.csv beside the images."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from engine import path_sheets
from engine.datasets import REPORTS
from engine.path_sheets import Sheet

NAME, COLUMN = REPORTS, "report"


def read(root: Path, paths: Iterable[str], copies: Mapping[str, str] = MappingProxyType({})) -> Sheet[str]:
    """The reference report of each image that the data set lists below `root`; none without a reports.csv. Raises
    InputError as `path_sheets.read` does."""
    try:
        return path_sheets.read(root / NAME, COLUMN, paths, copies, parse=lambda text: text or None)
    except FileNotFoundError:
        return Sheet()
