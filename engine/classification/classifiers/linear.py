"""Storing, loading and running a linear classifier on feature-map statistics of frozen backbones."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.decomposition import PCA

from engine.classification.classifiers.inference import Inference, scored
from engine.classification.classifiers.stored import read_weights, write_weights
from engine.classification.networks.backbones import Backbone, load_backbone
from engine.classification.networks.state_dicts import with_prefix
from engine.classification.networks.statistics import Linear, Statistics, contributions, describe
from engine.classification.recipes import StatisticsRecipe

FORMAT = 2
FEATURES = 256


class LinearClassifier:
    """Frozen backbones, each with one weight vector; the logit is the mean over backbones and, if the recipe says so,
    over the image and its mirror image."""

    def __init__(
        self,
        describers: Sequence[Statistics],
        state: dict[str, torch.Tensor],
        recipe: StatisticsRecipe,
        calibration: dict[str, Any],
        revision: str,
        *,
        device: str = "cpu",
    ) -> None:
        self.describers = describers
        self.recipe = recipe
        self.revision = revision
        """sha256 of the weights."""
        self.name = f"{recipe.name}-{revision[:12]}"
        self.calibration = calibration
        self.temperature = float(calibration["temperature"])
        self.threshold = float(calibration["threshold"])
        self.input_size = recipe.size
        self.device = device
        """Where the describers and the state are."""
        self._state = state

    @classmethod
    def load(cls, folder: Path, described: dict[str, Any], *, device: str = "cpu") -> Self:
        """Load a checkpoint folder. described: its model.json. Raises InputError if the weights do not match it."""
        found, revision = read_weights(folder, described, FORMAT)
        recipe = StatisticsRecipe(**{**described["recipe"], "backbones": tuple(described["recipe"]["backbones"])})
        state = {name: tensor.to(device) for name, tensor in found.items()}
        describers = []
        for name in recipe.backbones:
            backbone = load_backbone(name, pretrained=False)
            backbone.load_state_dict(with_prefix(state, f"{name}/"))
            describers.append(Statistics(backbone))
            describers[-1].parts.to(device)
        return cls(describers, state, recipe, described["calibration"], revision, device=device)

    @torch.inference_mode()
    def run(
        self,
        pixels: np.ndarray,
        *,
        heatmaps: bool = False,
        batch_size: int = 64,
        autocast: torch.dtype | None = None,
    ) -> Inference:
        """Score radiographs. pixels: uint8 (n, s, s), s = input_size. Raises InputError for another shape or type.

        features: the statistics multiplied by their weights, reduced to at most 256 dimensions (PCA). heatmaps: each
        cell's positive contribution to the score. autocast is accepted as in Classifier.run but has no effect: the
        frozen backbones run in bfloat16 anyway.
        """
        return scored(self, pixels, lambda batch: self._batch(batch, heatmaps), batch_size=batch_size)

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""
        return int(self._state["features.axes"].shape[0])

    def _batch(self, pixels: np.ndarray, heatmaps: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits, features, heat = self._score(pixels, heatmaps)
        if self.recipe.flip_average:
            mirrored = self._score(pixels[:, :, ::-1], heatmaps)
            logits, features = (logits + mirrored[0]) / 2, (features + mirrored[1]) / 2
            heat = (heat + mirrored[2].flip(2)) / 2
        return logits.double().cpu().numpy(), features.cpu().numpy(), heat.clamp(0).cpu().numpy()

    def _score(self, pixels: np.ndarray, heatmaps: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (n,), features (n, f) and contributions (n, h, w; h = w = 0 unless requested), without mirroring."""
        logits, entering = [], []
        heat = torch.zeros(len(pixels), 0, 0, device=self.device)
        for name, describer in zip(self.recipe.backbones, self.describers, strict=True):
            weights, centre = self._state[f"{name}.weights"], self._state[f"{name}.centre"]
            maps = describer.maps(pixels, device=self.device)
            away = describe(maps) - centre
            logits.append(away @ weights + self._state[f"{name}.level"])
            entering.append(away * weights)
            if heatmaps:
                shares = contributions(maps, weights, centre) / len(self.describers)
                heat = heat + shares if heat.numel() else shares
        features = torch.cat(entering, dim=1) @ self._state["features.axes"].T
        return torch.stack(logits).mean(0), features, heat


def save_checkpoint(
    folder: Path,
    backbones: Sequence[Backbone],
    models: Sequence[Linear],
    plain: Sequence[np.ndarray],
    recipe: StatisticsRecipe,
    *,
    calibration: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Write model.safetensors and model.json into `folder`, atomically; returns the weights' sha256.

    models: the averaged score of each backbone. plain: for each backbone the statistics of the training images without
    augmentation, float (n, d). calibration: temperature and thresholds chosen out of fold. provenance: dataset, seed,
    code version.
    """
    state: dict[str, torch.Tensor] = {}
    entering = []
    for backbone, model, statistics in zip(backbones, models, plain, strict=True):
        name = backbone.spec.name
        state |= {f"{name}/{key}": tensor.cpu().contiguous() for key, tensor in backbone.state_dict().items()}
        rows = np.asarray(statistics, dtype=np.float32)
        centre = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        state[f"{name}.weights"] = torch.from_numpy(model.weights)
        state[f"{name}.centre"] = torch.from_numpy(centre)
        state[f"{name}.level"] = torch.tensor(float(model.weights.astype(np.float64) @ centre) + model.bias)
        entering.append((rows - centre) * model.weights)
    joined = np.concatenate(entering, axis=1)
    axes = PCA(min(FEATURES, *joined.shape), svd_solver="randomized", random_state=0).fit(joined).components_
    state["features.axes"] = torch.from_numpy(np.ascontiguousarray(axes, dtype=np.float32))
    facts = {
        "recipe": asdict(recipe),
        "pretraining": [backbone.spec.weights for backbone in backbones],
        "calibration": calibration,
        "provenance": provenance,
    }
    return write_weights(folder, state, FORMAT, facts)
