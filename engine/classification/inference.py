"""Storing, loading and running a trained classifier."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from engine.classification.backbones import Backbone, load_backbone
from engine.classification.calibration import probabilities
from engine.classification.explain import grad_cam, normalised
from engine.classification.fusing import WeightsAlone, cast, few_at_a_time, quick
from engine.classification.recipes import Recipe
from engine.classification.state_dicts import with_prefix
from engine.classification.training import Member, new_member
from engine.classification.views import SIZE, mirrored
from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_file, whole_folder

FORMAT = 4


@dataclass(frozen=True)
class Inference:
    """A classifier's output for n images."""

    logits: np.ndarray
    """float64 (n,), of pneumonia against normal, before temperature scaling."""
    probabilities: np.ndarray
    """float64 (n,) in [0, 1], calibrated."""
    features: np.ndarray
    """float32 (n, feature_dim): pooled last maps, averaged over each backbone's members; backbones concatenated."""
    heatmaps: np.ndarray | None
    """float32 (n, h, w) in [0, 1], Grad-CAM scaled to each image's peak."""


@dataclass(frozen=True)
class Branch(WeightsAlone):
    """A backbone with a frozen trunk, and the members trained on it."""

    backbone: Backbone
    members: list[Member]

    @cached_property
    def tails(self) -> list[nn.Module]:
        """Each member's tail for inference in float32."""
        return [quick(member.tail, dtype=torch.float32) for member in self.members]


class Scorer(Protocol):
    """What `scored` needs to know of a classifier."""

    input_size: int
    temperature: float

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""


def scored(
    classifier: Scorer,
    pixels: np.ndarray,
    score: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    batch_size: int,
) -> Inference:
    """Score radiographs in batches and calibrate. pixels: uint8 (n, s, s), s = input_size.

    score: a batch's logits float64 (n,), features float32 (n, feature_dim) and unscaled heat float (n, h, w), with h =
    w = 0 unless heatmaps are wanted. Raises InputError if the pixels have another shape or type.
    """
    size = classifier.input_size
    if pixels.ndim != 3 or pixels.shape[1:] != (size, size) or pixels.dtype != np.uint8:
        raise InputError(f"the classifier takes uint8 (n, {size}, {size}); got {pixels.dtype} {pixels.shape}")
    parts = [score(pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
    if not parts:
        return Inference(np.empty(0), np.empty(0), np.empty((0, classifier.feature_dim), np.float32), None)
    logits, features, heat = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Inference(
        logits=logits,
        probabilities=probabilities(logits, temperature=classifier.temperature),
        features=features,
        heatmaps=normalised(heat) if heat.size else None,
    )


class Classifier:
    """The members of all folds, grouped by backbone; the logit is the mean over all members."""

    def __init__(
        self,
        branches: Sequence[Branch],
        recipe: Recipe,
        calibration: dict[str, Any],
        revision: str,
        *,
        device: str = "cpu",
    ) -> None:
        self.branches = list(branches)
        for member in (member for branch in branches for member in branch.members):
            member.eval().requires_grad_(False)
        self.recipe = recipe
        self.revision = revision
        """sha256 of the weights."""
        self.name = f"{recipe.name}-{revision[:12]}"
        self.temperature = float(calibration["temperature"])
        self.threshold = float(calibration["threshold"])
        self.calibration = calibration
        self.input_size = SIZE
        self.feature_dim = sum(branch.backbone.spec.feature_dim for branch in self.branches)
        self.device = device
        """Where the branches are."""

    @classmethod
    def load(cls, folder: Path, described: dict[str, Any], *, device: str = "cpu") -> Self:
        """Load a checkpoint folder. described: its model.json. Raises InputError if the weights do not match it."""
        state, revision = read_weights(folder, described, FORMAT)
        recipe = Recipe(**{**described["recipe"], "backbones": tuple(described["recipe"]["backbones"])})
        branches = []
        for name, count in described["members"].items():
            backbone = load_backbone(name, cut=recipe.cut, pretrained=False)
            members = [new_member(backbone, recipe) for _ in range(count)]
            try:
                backbone.trunk.load_state_dict(with_prefix(state, f"{name}/trunk."))
                for number, member in enumerate(members):
                    member.load_state_dict(with_prefix(state, f"{name}/member{number}."))
            except RuntimeError as error:
                raise InputError(
                    f"checkpoint {folder} does not fit backbone '{name}' cut at {recipe.cut}: its weights are another "
                    "network's; train again as its run's page says"
                ) from error
            branches.append(Branch(backbone.to(device), [member.to(device) for member in members]))
        return cls(branches, recipe, described["calibration"], revision, device=device)

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

        autocast: type in which convolutions run, None for float32. Use it for features only, because it changes
        probabilities. Maps are converted back to float32 before pooling.
        """
        return scored(self, pixels, lambda batch: self._run_batch(batch, heatmaps, autocast), batch_size=batch_size)

    def _run_batch(
        self, pixels: np.ndarray, heatmaps: bool, autocast: torch.dtype | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.recipe.flip_average:
            (logits, features, heat), mirror = self._both_sides(pixels, heatmaps, autocast)
            logits, features = (logits + mirror[0]) / 2, (features + mirror[1]) / 2
            heat = (heat + mirror[2].flip(2)) / 2
        else:
            logits, features, heat = self._members_mean(pixels, heatmaps, autocast)
        return logits.double().cpu().numpy(), features.cpu().numpy(), heat.cpu().numpy()

    def _both_sides(
        self, pixels: np.ndarray, heatmaps: bool, autocast: torch.dtype | None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """`_members_mean` of the images and of their mirror images. For a single image on a CPU, which is too small for
        a network's own threads, the two run in parallel."""

        def one(side: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
            return self._members_mean(side, heatmaps, autocast)

        sides = (pixels, mirrored(pixels))
        if len(pixels) > 1 or self.device != "cpu":
            return [one(side) for side in sides]
        with ThreadPoolExecutor(len(sides)) as side_by_side:
            return list(side_by_side.map(one, sides))

    @torch.inference_mode()  # the mode is local to a thread, and `_both_sides` uses several
    def _members_mean(
        self, pixels: np.ndarray, heatmaps: bool, autocast: torch.dtype | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n,), pooled features (n, d) and unscaled heat (n, h, w; h = w = 0 unless requested).

        Logits and heat are averaged over all members; features over each backbone's members, backbones concatenated.
        """
        logits, heat, features = [], [], []
        given = torch.from_numpy(pixels).to(self.device)
        for branch in self.branches:
            images = branch.backbone.normalise(given, size=self.recipe.size, hide_corners=self.recipe.hide_corners)
            with cast(images, autocast):
                trunk = few_at_a_time(branch.backbone.exact_trunk, images)
            pooled = []
            for tail, member in zip(branch.tails, branch.members, strict=True):
                with cast(images, autocast):
                    maps = tail(trunk)
                maps = maps.float()
                pooled.append(maps.mean((2, 3)))
                scores = member.head(pooled[-1])
                logits.append(scores[:, 1] - scores[:, 0])
                heat.append(grad_cam(maps, member.head) if heatmaps else maps.new_zeros(len(maps), 0, 0))
            features.append(torch.stack(pooled).mean(0))
        return torch.stack(logits).mean(0), torch.cat(features, dim=1), torch.stack(heat).mean(0)


def save_checkpoint(
    folder: Path,
    branches: Sequence[tuple[Backbone, Sequence[dict[str, Tensor]]]],
    recipe: Recipe,
    *,
    calibration: dict[str, Any],
    provenance: dict[str, Any],
) -> str:
    """Write model.safetensors and model.json into `folder`, atomically; returns the weights' sha256.

    branches: each backbone with its members' state dicts. calibration: temperature and thresholds chosen out of fold.
    provenance: dataset, seed, code version.
    """
    state: dict[str, Tensor] = {}
    for backbone, members in branches:
        name = backbone.spec.name
        state |= {f"{name}/trunk.{key}": tensor.contiguous() for key, tensor in backbone.trunk.state_dict().items()}
        for number, member in enumerate(members):
            state |= {f"{name}/member{number}.{key}": tensor.contiguous() for key, tensor in member.items()}
    facts = {
        "members": {backbone.spec.name: len(members) for backbone, members in branches},
        "recipe": asdict(recipe),
        "pretraining": {backbone.spec.name: backbone.spec.weights for backbone, _ in branches},
        "calibration": calibration,
        "provenance": provenance,
    }
    return write_weights(folder, state, FORMAT, facts)


def write_weights(folder: Path, state: dict[str, Tensor], form: int, facts: Mapping[str, Any]) -> str:
    """Write model.safetensors, and model.json with format, sha256 and facts, into `folder`, atomically; returns the
    weights' sha256."""
    with whole_folder(folder) as temporary:
        with whole_file(temporary / "model.safetensors") as weights:
            save_file(state, weights)
        revision = file_sha256(temporary / "model.safetensors")
        described = {"format": form, "sha256": revision, **facts}
        (temporary / "model.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    return revision


def read_weights(folder: Path, described: Mapping[str, Any], form: int) -> tuple[dict[str, Tensor], str]:
    """The tensors of model.safetensors, and the file's sha256.

    described: model.json. form: the expected format. Raises InputError if the file cannot be read or does not match.
    """
    try:
        weights = (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise InputError(f"checkpoint {folder} cannot be read ({error}); train again as its run's page says") from error
    revision = hashlib.sha256(weights).hexdigest()
    if described.get("format") != form or described.get("sha256") != revision:
        raise InputError(f"checkpoint {folder} is torn or of another format; train again as its run's page says")
    return load(weights), revision


@torch.inference_mode()
def frozen_features(
    backbone: Backbone, pixels: np.ndarray, *, batch_size: int = 64, autocast: torch.dtype | None = None
) -> np.ndarray:
    """Pooled features of a pretrained backbone: uint8 (n, s, s) -> float32 (n, feature_dim).

    autocast: type of the convolutions, None for float32; bfloat16 changes the order of close neighbours.
    """
    made = []
    device = next(backbone.parameters()).device
    for start in range(0, len(pixels), batch_size):
        images = backbone.normalise(torch.from_numpy(pixels[start : start + batch_size]).to(device))
        with cast(images, autocast):
            maps = few_at_a_time(backbone.exact, images)
        made.append(maps.float().mean((2, 3)).cpu().numpy())
    return np.concatenate(made) if made else np.empty((0, backbone.spec.feature_dim), np.float32)
