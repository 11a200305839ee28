"""Fitting, storing, loading and running a linear classifier on feature-map statistics of frozen backbones."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from engine.classification.backbones import Backbone, load_backbone
from engine.classification.inference import Inference, read_weights, scored, write_weights
from engine.classification.recipes import StatisticsRecipe
from engine.classification.state_dicts import with_prefix
from engine.classification.statistics import Statistics, contributions, describe
from engine.errors import InputError

FORMAT = 2
FEATURES = 256
DAMAGED = "look for damaged views and delete the folder cache in the artifact folder"


@dataclass(frozen=True)
class Linear:
    """A linear score: statistics @ weights + bias, a logit of pneumonia against normal."""

    weights: np.ndarray
    """float32 (d,)."""
    bias: float

    def __call__(self, described: np.ndarray) -> np.ndarray:
        """Statistics float (n, d) -> logits float32 (n,)."""
        scored: np.ndarray = described.astype(np.float32) @ self.weights + np.float32(self.bias)
        return scored


def fit(described: Sequence[np.ndarray], labels: np.ndarray, *, penalty: float) -> Linear:
    """L2-penalised logistic regression on the standardised statistics of all views, with balanced class weights.

    described: float (n, d) for each view. labels: int (n,), 0 or 1. penalty: the inverse of scikit-learn's C for one
    view; with more views C is divided by their number. Raises InputError if a class is missing, or if the statistics or
    the weights are not finite.
    """
    if len(np.unique(labels)) < 2:
        raise InputError("the training images of a fold are all of one class; both normal and pneumonia are needed")
    rows = np.concatenate([np.asarray(view, dtype=np.float32) for view in described])
    if not np.isfinite(rows).all():
        raise InputError(f"the statistics of the training images are not finite; {DAMAGED}")
    scaler = StandardScaler(copy=False).fit(rows)
    model = LogisticRegression(C=1 / (penalty * len(described)), class_weight="balanced", max_iter=200)
    model.fit(scaler.transform(rows, copy=False), np.tile(labels, len(described)))
    weights = (model.coef_[0] / scaler.scale_).astype(np.float32)
    bias = float(model.intercept_[0] - weights @ scaler.mean_)
    if not np.isfinite(weights).all() or not np.isfinite(bias):
        raise InputError(f"the fit gave weights that are not finite; {DAMAGED}")
    return Linear(weights, bias)


def average(models: Sequence[Linear]) -> Linear:
    """The mean of linear scores, which is itself a linear score."""
    return Linear(np.mean([m.weights for m in models], axis=0), float(np.mean([m.bias for m in models])))


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
