"""The trunk cache that a benchmark trains on."""

from collections.abc import Sequence
from pathlib import Path

from engine.classification.networks.backbones import Backbone
from engine.classification.recipes import Recipe
from engine.classification.views import trunk_cache
from engine.classification.views.descriptions import TrunkMaps
from engine.classification.views.kinds import Source
from engine.imaging.images import read_batch


def cached(folder: Path, files: Sequence[Path], recipe: Recipe, backbone: Backbone) -> trunk_cache.TrunkCache:
    """The views of these files that the recipe trains on."""
    names = [file.name for file in files]
    source = Source(
        names, lambda rows, size: read_batch([files[row] for row in rows], size=size), recipe.variation, seed=0
    )
    return trunk_cache.build(folder / "cache", source, TrunkMaps(backbone), views=range(recipe.views))
