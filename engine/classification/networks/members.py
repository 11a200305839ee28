"""The trainable part of a classifier: a backbone's tail and a new head."""

import torch
from torch import Tensor, nn

from engine.classification.networks.backbones import Backbone
from engine.classification.networks.fusing import quick
from engine.classification.recipes import Recipe


class Member(nn.Module):
    """The trainable part of one fold: trunk maps (n, c, h, w) -> last maps -> pooled features -> logits (n, 2)."""

    def __init__(self, tail: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tail, self.head = tail, head

    def forward(self, trunk_maps: Tensor) -> Tensor:
        """Logits (n, 2), normal before pneumonia, of trunk maps (n, c, h, w)."""
        logits: Tensor = self.head(self.tail(trunk_maps).mean((2, 3)))
        return logits


def make_head(recipe: Recipe, feature_dim: int) -> nn.Module:
    """Pooled features (n, feature_dim) -> logits (n, 2), normal then pneumonia."""
    if recipe.hidden == 0:
        return nn.Sequential(nn.Dropout(recipe.dropout), nn.Linear(feature_dim, 2))
    return nn.Sequential(
        nn.Dropout(recipe.dropout),
        nn.Linear(feature_dim, recipe.hidden),
        nn.SiLU(),
        nn.Dropout(recipe.dropout / 2),
        nn.Linear(recipe.hidden, 2),
    )


def new_member(backbone: Backbone, recipe: Recipe) -> Member:
    """A member with the pretrained tail and a new head, initialised from torch's global generator.

    Batch normalisation keeps the pretraining's statistics, which small batches would estimate poorly: it is folded into
    the convolutions that are trained, which also makes a step a quarter faster.
    """
    tail = quick(backbone.tail, dtype=torch.float32)
    return Member(tail, make_head(recipe, backbone.spec.feature_dim)).requires_grad_()
