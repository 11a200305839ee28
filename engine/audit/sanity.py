"""Sanity check of heatmaps: whether they change when weights are randomised (Adebayo et al. 2018)."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

Maps = NDArray[np.floating]
Values = NDArray[np.float64]
T = TypeVar("T")

Part = Literal["head", "network"]
PARTS: tuple[Part, ...] = ("head", "network")
"""The parts to randomise, from the output down: linear layers and linear scores; then the convolutions too."""
C1, C2 = 0.01**2, 0.03**2
"""SSIM's constants for values in [0, 1] (Wang et al. 2004, section III.B)."""


def randomised(classifier: T, part: Part, *, seed: int) -> T:
    """A copy of the classifier with random weights in `part`: normal with variance 2 / fan-in (He et al. 2015), zero
    biases.

    classifier: any object with weights in torch modules, or in tensors named *.weights in a mapping (linear scores),
    reachable through attributes, lists or mappings.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(weight: Tensor, fan_in: int) -> None:
        weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5)

    made = copy.deepcopy(classifier)
    with torch.inference_mode():
        for found in holders(made):
            if isinstance(found, nn.Linear) or (part == "network" and isinstance(found, nn.Conv2d)):
                draw(found.weight, found.weight[0].numel())
                if found.bias is not None:
                    found.bias.zero_()
            elif isinstance(found, Mapping):
                for name, tensor in found.items():
                    if isinstance(tensor, Tensor) and str(name).endswith(".weights"):
                        draw(tensor, tensor.numel())
    return made


def holders(thing: Any) -> Iterator[nn.Module | Mapping[Any, Any]]:
    """Every torch module and mapping reachable through the object's attributes and containers, each once; includes
    cached properties."""
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, nn.Module | Mapping):
            yield found
        if isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        elif found is thing or isinstance(found, nn.Module) or type(found).__module__.startswith("engine."):
            waiting += getattr(found, "__dict__", {}).values()


def rank_correlation(ours: Maps, theirs: Maps) -> Values:
    """Spearman's rank correlation of the maps' cells, image by image: twice (n, h, w) -> (n,) in [-1, 1].

    NaN if a map is constant.
    """
    first, second = (_centred(rankdata(maps.reshape(len(maps), -1), axis=1)) for maps in (ours, theirs))
    size = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.asarray(np.divide((first * second).sum(1), size, out=np.full(len(size), np.nan), where=size > 0))


def structural_similarity(ours: Maps, theirs: Maps) -> Values:
    """SSIM (Wang et al. 2004, equation 13) of maps in [0, 1], with the whole map as a single window: (n,) in [-1,
    1]."""
    first, second = (maps.reshape(len(maps), -1).astype(np.float64) for maps in (ours, theirs))
    means = first.mean(1), second.mean(1)
    cross = (_centred(first) * _centred(second)).mean(1)
    level = (2 * means[0] * means[1] + C1) / (means[0] ** 2 + means[1] ** 2 + C1)
    return np.asarray(level * (2 * cross + C2) / (first.var(1) + second.var(1) + C2))


def _centred(rows: Values) -> Values:
    return np.asarray(rows - rows.mean(1, keepdims=True))
