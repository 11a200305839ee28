"""Storing, loading and running a classifier of fine-tuned tails on frozen trunks."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from engine.classification.classifiers.explain import grad_cam
from engine.classification.classifiers.inference import Inference, scored
from engine.classification.classifiers.stored import read_weights, write_weights
from engine.classification.networks.backbones import Backbone, load_backbone
from engine.classification.networks.fusing import WeightsAlone, cast, few_at_a_time, quick
from engine.classification.networks.members import Member, new_member
from engine.classification.networks.state_dicts import with_prefix
from engine.classification.recipes import Recipe
from engine.classification.views.kinds import SIZE, mirrored
from engine.errors import InputError

FORMAT = 4


@dataclass(frozen=True)
class Branch(WeightsAlone):
    """A backbone with a frozen trunk, and the members trained on it."""

    backbone: Backbone
    members: list[Member]

    @cached_property
    def tails(self) -> list[nn.Module]:
        """Each member's tail for inference in float32."""
        return [quick(member.tail, dtype=torch.float32) for member in self.members]


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
