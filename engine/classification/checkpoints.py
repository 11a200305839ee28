"""Opening a trained classifier, whichever kind of recipe it was trained by."""

import json
from pathlib import Path
from typing import Any

from engine.classification.ensemble import FORMAT as ENSEMBLE
from engine.classification.ensemble import EnsembleClassifier
from engine.classification.inference import Classifier
from engine.classification.linear import FORMAT as LINEAR
from engine.classification.linear import LinearClassifier
from engine.errors import InputError

AnyClassifier = Classifier | LinearClassifier | EnsembleClassifier


def load_classifier(folder: Path, *, device: str = "cpu") -> AnyClassifier:
    """The classifier in a checkpoint folder (model.json, model.safetensors).

    Raises InputError where a file is missing, torn, or not the one that model.json describes.
    """
    described = _described(folder)
    if described.get("format") != ENSEMBLE:
        return _single(folder, described, device)
    parts = [_single(folder / name, _described(folder / name), device) for name in described["parts"]]
    return EnsembleClassifier.of(described, parts, folder)


def _single(folder: Path, described: dict[str, Any], device: str) -> Classifier | LinearClassifier:
    if described.get("format") == LINEAR:
        return LinearClassifier.load(folder, described, device=device)
    return Classifier.load(folder, device=device)


def _described(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again: python -m jobs train") from error
    return found
