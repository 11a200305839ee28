"""Loading a trained classifier of any kind of recipe."""

from pathlib import Path
from typing import Any

from engine.classification.classifiers.convolutional import Classifier
from engine.classification.classifiers.ensemble import FORMAT as ENSEMBLE
from engine.classification.classifiers.ensemble import EnsembleClassifier
from engine.classification.classifiers.linear import FORMAT as LINEAR
from engine.classification.classifiers.linear import LinearClassifier
from engine.classification.classifiers.model_json import described

AnyClassifier = Classifier | LinearClassifier | EnsembleClassifier


def load_classifier(folder: Path, *, device: str = "cpu") -> AnyClassifier:
    """The classifier in a checkpoint folder (model.json and model.safetensors, or a sub-folder per ensemble part).

    Raises InputError if a file is missing, damaged, or not the one that model.json describes.
    """
    facts = described(folder)
    if facts.get("format") != ENSEMBLE:
        return _single(folder, facts, device)
    parts = [_single(folder / name, described(folder / name), device) for name in facts["parts"]]
    return EnsembleClassifier.of(facts, parts, folder)


def _single(folder: Path, facts: dict[str, Any], device: str) -> Classifier | LinearClassifier:
    if facts.get("format") == LINEAR:
        return LinearClassifier.load(folder, facts, device=device)
    return Classifier.load(folder, facts, device=device)
