"""How a trained classifier is stored, loaded and run."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.classification.backbones import Backbone, load_backbone
from engine.classification.calibration import probabilities
from engine.classification.explain import grad_cam, normalised
from engine.classification.fusing import quick
from engine.classification.recipes import Recipe
from engine.classification.training import Member, new_member
from engine.errors import InputError

FORMAT = 1


@dataclass(frozen=True)
class Inference:
    """What a classifier says of n images."""

    logits: np.ndarray
    """float64 (n,), of pneumonia against normal, not yet calibrated."""
    probabilities: np.ndarray
    """float64 (n,) in [0, 1], calibrated."""
    features: np.ndarray
    """float32 (n, feature_dim), pooled last maps, averaged over the ensemble's members."""
    heatmaps: np.ndarray | None
    """float32 (n, h, w) in [0, 1], Grad-CAM scaled to each image's peak."""


class Classifier:
    """A frozen trunk shared by the ensemble's members, one from each fold."""

    def __init__(
        self, backbone: Backbone, members: Sequence[Member], recipe: Recipe, calibration: dict[str, Any], revision: str
    ) -> None:
        self.backbone = backbone
        self.members = [Member(quick(member.tail), member.head.eval().requires_grad_(False)) for member in members]
        self.recipe = recipe
        self.revision = revision
        """sha256 of the weights."""
        self.name = f"{recipe.name}-{revision[:12]}"
        self.temperature = float(calibration["temperature"])
        self.threshold = float(calibration["threshold"])
        self.calibration = calibration
        self.input_size = backbone.spec.input_size
        self.feature_dim = backbone.spec.feature_dim
        self.device = "cpu"

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Open a checkpoint folder (model.json, model.safetensors).

        Raises InputError where a file is missing, torn, or not the one that model.json describes.
        """
        try:
            described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            weights = (folder / "model.safetensors").read_bytes()
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(
                f"checkpoint {folder} cannot be read ({error}); train again: python -m jobs train"
            ) from error
        revision = hashlib.sha256(weights).hexdigest()
        if described.get("format") != FORMAT or described.get("sha256") != revision:
            raise InputError(f"checkpoint {folder} is torn or of another format; train again: python -m jobs train")
        recipe = Recipe(**described["recipe"])
        backbone = load_backbone(recipe.backbone, cut=recipe.cut, pretrained=False)
        members = [new_member(backbone, recipe) for _ in range(described["members"])]
        state = load_file(folder / "model.safetensors")
        backbone.trunk.load_state_dict(_below(state, "trunk."))
        for number, member in enumerate(members):
            member.load_state_dict(_below(state, f"member{number}."))
        made = cls(backbone, members, recipe, described["calibration"], revision)
        made.device = device
        made.backbone.to(device)
        made.members = [member.to(device) for member in made.members]
        return made

    @torch.inference_mode()
    def run(self, pixels: np.ndarray, *, heatmaps: bool = False, batch_size: int = 64) -> Inference:
        """Score radiographs. pixels: uint8 (n, s, s), s = input_size. Raises InputError on another shape."""
        size = self.input_size
        if pixels.ndim != 3 or pixels.shape[1:] != (size, size) or pixels.dtype != np.uint8:
            raise InputError(f"the classifier takes uint8 (n, {size}, {size}); got {pixels.dtype} {pixels.shape}")
        parts = [self._run_batch(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
        if not parts:
            return Inference(np.empty(0), np.empty(0), np.empty((0, self.backbone.spec.feature_dim), np.float32), None)
        logits, features, heat = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return Inference(
            logits=logits,
            probabilities=probabilities(logits, temperature=self.temperature),
            features=features,
            heatmaps=normalised(heat) if heatmaps else None,
        )

    def _run_batch(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits, features, heat = self._members_mean(pixels)
        if self.recipe.flip_average:
            mirrored_logits, mirrored_features, mirrored_heat = self._members_mean(pixels[:, :, ::-1].copy())
            logits, features = (logits + mirrored_logits) / 2, (features + mirrored_features) / 2
            heat = (heat + mirrored_heat.flip(2)) / 2
        return logits.double().cpu().numpy(), features.cpu().numpy(), heat.cpu().numpy()

    def _members_mean(self, pixels: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n,), pooled features (n, d) and unscaled heat (n, h, w), averaged over the members."""
        made = []
        images = self.backbone.normalise(torch.from_numpy(pixels).to(self.device))
        trunk = self.backbone.quick_trunk(images.bfloat16())
        for member in self.members:
            maps = member.tail(trunk).float()
            features = maps.mean((2, 3))
            scores = member.head(features)
            made.append((scores[:, 1] - scores[:, 0], features, grad_cam(maps, member.head)))
        logits, features, heat = (torch.stack(column).mean(0) for column in zip(*made, strict=True))
        return logits, features, heat


def save_checkpoint(
    folder: Path,
    backbone: Backbone,
    member_states: Sequence[dict[str, Tensor]],
    recipe: Recipe,
    *,
    calibration: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Write model.safetensors and model.json into `folder` (made whole by rename); returns the weights' sha256.

    calibration: temperature and thresholds chosen out of fold. provenance: data set, seed, code version.
    """
    state = {f"trunk.{name}": tensor.contiguous() for name, tensor in backbone.trunk.state_dict().items()}
    for number, member in enumerate(member_states):
        state |= {f"member{number}.{name}": tensor for name, tensor in member.items()}
    temporary = folder.with_name(folder.name + ".tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    save_file(state, temporary / "model.safetensors")
    revision = hashlib.sha256((temporary / "model.safetensors").read_bytes()).hexdigest()
    described = {
        "format": FORMAT,
        "sha256": revision,
        "members": len(member_states),
        "recipe": asdict(recipe),
        "pretraining": backbone.spec.weights,
        "calibration": calibration,
        "provenance": provenance,
    }
    (temporary / "model.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    replace_folder(temporary, folder)
    return revision


def replace_folder(temporary: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one."""
    for path in temporary.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)


@torch.inference_mode()
def frozen_features(backbone: Backbone, pixels: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Pooled features of the pretrained backbone as it is: uint8 (n, s, s) -> float32 (n, feature_dim).

    In float32: among close neighbours bfloat16 changes the order.
    """
    made = []
    for start in range(0, len(pixels), batch_size):
        images = backbone.normalise(torch.from_numpy(pixels[start : start + batch_size]))
        made.append(backbone.quick_exact(images).mean((2, 3)).numpy())
    return np.concatenate(made) if made else np.empty((0, backbone.spec.feature_dim), np.float32)


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
