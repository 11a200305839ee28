"""An ensemble of trained classifiers: stored together, their logits averaged."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.nn.functional import interpolate

from engine.classification.calibration import probabilities
from engine.classification.classifiers.convolutional import Classifier
from engine.classification.classifiers.explain import normalised
from engine.classification.classifiers.inference import Inference
from engine.classification.classifiers.linear import LinearClassifier
from engine.classification.classifiers.model_json import described
from engine.classification.recipes import EnsembleRecipe
from engine.errors import InputError
from engine.files import whole_folder

FORMAT = "ensemble-1"


class EnsembleClassifier:
    """Classifiers of several recipes; the logit is the mean of their logits.

    Raises InputError if the parts have different input sizes.
    """

    def __init__(
        self,
        parts: Sequence[Classifier | LinearClassifier],
        recipe: EnsembleRecipe,
        calibration: dict[str, Any],
        revision: str,
    ) -> None:
        self.parts = list(parts)
        self.recipe = recipe
        self.revision = revision
        """sha256 of the parts' revisions."""
        self.name = f"{recipe.name}-{revision[:12]}"
        self.calibration = calibration
        self.temperature = float(calibration["temperature"])
        self.threshold = float(calibration["threshold"])
        sizes = {part.input_size for part in self.parts}
        if len(sizes) != 1:
            raise InputError(f"ensemble '{recipe.name}': its parts have different input sizes, {sorted(sizes)} pixels")
        (self.input_size,) = sizes
        self.feature_dim = sum(part.feature_dim for part in self.parts)
        self.device = self.parts[0].device

    @classmethod
    def of(cls, described: dict[str, Any], parts: Sequence[Classifier | LinearClassifier], folder: Path) -> Self:
        """The ensemble that model.json describes. Raises InputError if the parts are not those it was made from."""
        recipe = EnsembleRecipe(**{**described["recipe"], "parts": tuple(described["recipe"]["parts"])})
        if [part.revision for part in parts] != list(described["parts"].values()):
            raise InputError(f"checkpoint {folder} holds other parts than its own; train again as its run's page says")
        return cls(parts, recipe, described["calibration"], described["sha256"])

    def run(
        self,
        pixels: np.ndarray,
        *,
        heatmaps: bool = False,
        batch_size: int = 64,
        autocast: torch.dtype | None = None,
    ) -> Inference:
        """Score radiographs, as Classifier.run does.

        features: the parts' features, each normalised to unit length, concatenated. heatmaps: the mean of the parts'
        heatmaps, resampled to the finest resolution among them and scaled to its peak.
        """
        results = [part.run(pixels, heatmaps=heatmaps, batch_size=batch_size, autocast=autocast) for part in self.parts]
        logits = np.mean([one.logits for one in results], axis=0)
        features = [
            one.features / np.linalg.norm(one.features, axis=1, keepdims=True).clip(np.finfo(np.float32).tiny)
            for one in results
        ]
        maps = [one.heatmaps for one in results if one.heatmaps is not None]
        return Inference(
            logits=logits,
            probabilities=probabilities(logits, temperature=self.temperature),
            features=np.concatenate(features, axis=1),
            heatmaps=normalised(_mean_map(maps)) if maps else None,
        )


def _mean_map(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Heatmaps, each float (n, h, w) of any size -> their mean, float32 (n, h, w) at the finest size."""
    finest = max((found.shape[1:] for found in maps), key=lambda shape: shape[0] * shape[1])
    enlarged = [
        interpolate(torch.from_numpy(found).float().unsqueeze(1), size=finest, mode="bilinear", align_corners=False)
        for found in maps
    ]
    mean: np.ndarray = torch.stack(enlarged).mean(0).squeeze(1).numpy()
    return mean


def save_checkpoint(
    folder: Path,
    parts: Mapping[str, Path],
    recipe: EnsembleRecipe,
    *,
    calibration: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Copy the parts' checkpoint folders into `folder`, each under its name, beside a model.json; written atomically.

    Returns the ensemble's revision. calibration: temperature and thresholds chosen out of fold. provenance: dataset,
    seed, code version. Raises InputError if a part's model.json cannot be read.
    """
    revisions = {name: str(described(source)["sha256"]) for name, source in parts.items()}
    revision = hashlib.sha256("\n".join(revisions.values()).encode()).hexdigest()
    facts = {
        "format": FORMAT,
        "sha256": revision,
        "parts": revisions,
        "recipe": asdict(recipe),
        "calibration": calibration,
        "provenance": provenance,
    }
    with whole_folder(folder) as temporary:
        for name, source in parts.items():
            shutil.copytree(source, temporary / name)
        (temporary / "model.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return revision
