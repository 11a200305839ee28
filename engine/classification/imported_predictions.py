"""Predictions of an external classifier: a CSV of paths and probabilities of pneumonia, and optional heatmaps."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.datasets import path_sheets
from engine.datasets.path_sheets import Values
from engine.errors import InputError

COLUMN = "probability"
NEAREST = 1e-7
"""Probabilities are clipped to this distance from 0 and 1, so that their log odds are finite."""
DECIMAL_COMMA = re.compile(r"-?[0-9]*,[0-9]+")
"""A number with a decimal comma, as spreadsheets write it in many languages."""
SIDE = 56
"""Maximum number of cells per side of a stored heatmap."""


@dataclass(frozen=True)
class ImportedPrediction:
    """probability: of pneumonia, in [0, 1]. row: in the file, from 0."""

    probability: float
    row: int = field(compare=False)


@dataclass(frozen=True)
class ImportedPredictions:
    """by_path: image path -> prediction. strays: paths that match no image. rows: number of rows, header excluded."""

    by_path: Mapping[str, ImportedPrediction]
    strays: tuple[str, ...]
    rows: int


def read(file: Path, paths: Iterable[str], copies: Mapping[str, str]) -> ImportedPredictions:
    """The predictions in a CSV file for these images; rows without a probability are ignored.

    paths, copies: as in `path_sheets.rows`. Raises InputError as that does, and for a missing file, for a cell that is
    not a probability, and for two different probabilities of one image.
    """
    held = set(paths)
    found: Values[ImportedPrediction] = Values()
    count = 0
    try:
        for row in path_sheets.rows(file, (COLUMN,), held, copies):
            count = row.number + 1
            if not row.cells[COLUMN]:
                continue
            try:
                prediction = ImportedPrediction(_probability(row.cells[COLUMN]), row.number)
            except ValueError as error:
                raise InputError(f"{file}, line {row.line}: {error}") from error
            if not found.add(row, prediction):
                raise InputError(f"{file}, line {row.line}: a second {COLUMN} for {row.path}; keep one")
    except FileNotFoundError as error:
        raise InputError(
            f"{file} is not there; give a CSV file with columns {path_sheets.PATH} and {COLUMN}"
        ) from error
    sheet = found.sheet(held)
    return ImportedPredictions(sheet.values, sheet.strays, count)


def logit(probability: float) -> float:
    """The log odds of a probability in [0, 1], finite also for 0 and 1."""
    inside = min(max(probability, NEAREST), 1 - NEAREST)
    return math.log(inside / (1 - inside))


def heatmaps(file: Path, rows: int) -> NDArray[np.floating]:
    """A NumPy array with one heatmap for each row of the predictions file, (rows, h, w), memory-mapped.

    Raises InputError if it cannot be read, has another shape or does not hold numbers.
    """
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{file} is not there; leave --heatmaps out, or name a NumPy array (.npy)") from error
    except (ValueError, OSError, EOFError) as error:
        why = "" if "pickle" in str(error) else f" ({error})"  # NumPy's message then suggests unsafe loading
        raise InputError(f"{file} is not a readable NumPy array (.npy) of numbers{why}; see numpy.save") from error
    if not isinstance(found, np.ndarray) or found.ndim != 3 or len(found) != rows or not found.size:
        shape = getattr(found, "shape", "none")
        raise InputError(
            f"{file} has shape {shape}; expected a heatmap for each of the {rows:,} rows: ({rows}, height, width)"
        )
    if found.dtype.kind not in "fiub":
        raise InputError(f"{file} holds values of type {found.dtype}; heatmaps must be numbers")
    return found


def heatmap(found: NDArray[np.floating], row: int) -> NDArray[np.float32]:
    """The heatmap of a row, float32 (h, w) in [0, 1], scaled to a maximum of 1; sides of more than SIDE cells are
    averaged down. Raises InputError if it contains negative or non-finite values."""
    cells = np.asarray(found[row], dtype=np.float32)
    if not np.isfinite(cells).all() or (cells < 0).any():
        raise InputError(f"the heatmap of row {row + 1} contains negative or non-finite values; clip them first")
    height, width = (min(side, SIDE) for side in cells.shape)
    if cells.shape != (height, width):
        cells = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BOX))
    peak = cells.max()
    return np.asarray(cells / peak if peak > 0 else cells, dtype=np.float32)


def _probability(text: str) -> float:
    try:
        value = float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        value = math.nan
    if 0.0 <= value <= 1.0:
        return value
    looks = "; it looks like log odds or percent" if math.isfinite(value) or text.endswith("%") else ""
    raise ValueError(f"{COLUMN} '{path_sheets.quoted(text)}' is not a number from 0 to 1{looks}")
