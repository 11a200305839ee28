"""Predictions that a classifier made elsewhere: a CSV of paths and probabilities of pneumonia, and its heatmaps."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import path_sheets
from engine.errors import InputError
from engine.path_sheets import Values

COLUMN = "probability"
NEAREST = 1e-7
"""How near to 0 or 1 a probability comes whose log odds are finite."""
DECIMAL_COMMA = re.compile(r"-?[0-9]*,[0-9]+")
"""As spreadsheets write numbers in many languages."""
SIDE = 56
"""Cells of a heatmap's side that are kept at most."""


@dataclass(frozen=True)
class ImportedPrediction:
    """probability: of pneumonia, in [0, 1]. row: of the file, from 0."""

    probability: float
    row: int = field(compare=False)


@dataclass(frozen=True)
class ImportedPredictions:
    """by_path: by path of the image. strays: paths that are no image's. rows: of the file, the head left out."""

    by_path: Mapping[str, ImportedPrediction]
    strays: tuple[str, ...]
    rows: int


def read(file: Path, paths: Iterable[str], copies: Mapping[str, str]) -> ImportedPredictions:
    """What the file says of these images; rows without a probability do not count. Raises InputError as
    `path_sheets.rows` does, where there is no file, for what is no probability, and for two of one image."""
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
    """The log odds, finite also of 0 and 1."""
    inside = min(max(probability, NEAREST), 1 - NEAREST)
    return math.log(inside / (1 - inside))


def heatmaps(file: Path, rows: int) -> NDArray[np.floating]:
    """A NumPy array of a heatmap for each row of the file of predictions, (rows, h, w), left on disk.

    Raises InputError that says what is wrong with it.
    """
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{file} is not there; leave --heatmaps out, or name a NumPy array (.npy)") from error
    except (ValueError, OSError, EOFError) as error:
        why = "" if "pickle" in str(error) else f" ({error})"  # NumPy then says how to read what is not safe to read
        raise InputError(f"{file} is no NumPy array (.npy) of numbers that can be read{why}; see numpy.save") from error
    if not isinstance(found, np.ndarray) or found.ndim != 3 or len(found) != rows or not found.size:
        shape = getattr(found, "shape", "none")
        raise InputError(
            f"{file} has shape {shape}; a heatmap for each of the {rows:,} rows is ({rows}, height, width)"
        )
    if found.dtype.kind not in "fiub":
        raise InputError(f"{file} holds {found.dtype}; heatmaps are numbers")
    return found


def heatmap(found: NDArray[np.floating], row: int) -> NDArray[np.float32]:
    """The heatmap of a row, float32 (h, w) in [0, 1], its hottest cell 1, sides of more than SIDE cells averaged down.
    Raises InputError where it holds what no heat can be."""
    cells = np.asarray(found[row], dtype=np.float32)
    if not np.isfinite(cells).all() or (cells < 0).any():
        raise InputError(f"the heatmap of row {row + 1} holds values below 0 or not finite; clip them first")
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
    raise ValueError(f"{COLUMN} '{path_sheets.quoted(text)}' is no number from 0 to 1{looks}")
