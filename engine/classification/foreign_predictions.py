"""What a classifier that is not ours said of images: a CSV file with their paths and probabilities of pneumonia."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine import path_sheets
from engine.errors import InputError
from engine.path_sheets import Sheet

COLUMN = "probability"
DECIMAL_COMMA = re.compile(r"-?[0-9]*,[0-9]+")
"""As spreadsheets write numbers in many languages."""
NEAREST = 1e-7
"""How near to 0 or 1 a probability comes whose log odds are finite."""


def read(file: Path, paths: Iterable[str], copies: Mapping[str, str]) -> Sheet[float]:
    """The probability of pneumonia of each image, in [0, 1]. Raises InputError as `path_sheets.read` does, and where
    there is no file."""
    try:
        return path_sheets.read(file, COLUMN, paths, copies, parse=_probability)
    except FileNotFoundError as error:
        raise InputError(
            f"{file} is not there; give a CSV file with columns {path_sheets.PATH} and {COLUMN}"
        ) from error


def logit(probability: float) -> float:
    """The log odds, finite also of 0 and 1."""
    inside = min(max(probability, NEAREST), 1 - NEAREST)
    return math.log(inside / (1 - inside))


def _probability(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        value = math.nan
    if 0.0 <= value <= 1.0:
        return value
    looks = "; it looks like log odds or percent" if math.isfinite(value) or text.endswith("%") else ""
    raise ValueError(f"{COLUMN} '{path_sheets.quoted(text)}' is no number from 0 to 1{looks}")
