"""Opening a trained classifier, whichever kind of recipe it was trained by."""

import json
from pathlib import Path

from engine.classification.inference import Classifier
from engine.classification.linear import FORMAT as LINEAR
from engine.classification.linear import LinearClassifier
from engine.errors import InputError

AnyClassifier = Classifier | LinearClassifier


def load_classifier(folder: Path, *, device: str = "cpu") -> AnyClassifier:
    """The classifier in a checkpoint folder (model.json, model.safetensors).

    Raises InputError where a file is missing, torn, or not the one that model.json describes.
    """
    try:
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again: python -m jobs train") from error
    if described.get("format") == LINEAR:
        return LinearClassifier.load(folder, described, device=device)
    return Classifier.load(folder, device=device)
