"""Training: 25 epochs from cached trunk views, against a plain loop that runs the frozen trunk in every epoch.

The plain loop's time is one measured epoch times 25; ours is the cache plus 25 measured epochs.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure import seconds

from engine.classification import trunk_cache
from engine.classification.augment import augmented_view
from engine.classification.backbones import load_backbone
from engine.classification.recipes import RECIPES
from engine.classification.training import new_member, train_fold
from engine.images import read_batch
from engine.phantoms import write_phantoms

EPOCHS = 25


def main() -> None:
    """Print the ratio for the offline default recipe, views and batch size as in the recipe."""
    recipe = replace(RECIPES["lite0"], epochs=EPOCHS)
    backbone = load_backbone(recipe.backbone, cut=recipe.cut)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        write_phantoms(root, seed=0, counts={"train": (80, 80)})
        files = sorted(root.rglob("*.jpeg"))
        labels = np.array([int("person" in file.name) for file in files])
        held_out = np.arange(len(files)) % 5 == 0

        def plain_epoch() -> None:
            member = new_member(backbone, recipe).train()
            optimizer = torch.optim.AdamW(member.parameters(), lr=recipe.tail_learning_rate)
            for rows in np.array_split(np.flatnonzero(~held_out), -(-len(files) // recipe.batch_size)):
                pixels = augmented_view(read_batch([files[row] for row in rows], size=224), seeds=rows)
                with torch.no_grad():
                    maps = backbone.trunk(backbone.normalise(torch.from_numpy(pixels)))
                loss = torch.nn.functional.cross_entropy(member(maps), torch.from_numpy(labels[rows]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        def ours() -> None:
            cache = trunk_cache.build(
                Path(folder) / "cache",
                backbone,
                [file.name for file in files],
                lambda rows: read_batch([files[row] for row in rows], size=224),
                views=recipe.views,
                seed=0,
            )
            train_fold(backbone, recipe, cache, labels, held_out, seed=0)

        plain_epoch()
        slow, quick = seconds(plain_epoch) * EPOCHS, seconds(ours)
        print(
            f"training, {recipe.name}, {EPOCHS} epochs, {len(files)} images, {recipe.views} cached views: "
            f"plain {slow:,.0f} s, ours {quick:,.0f} s, ratio {slow / quick:.1f}x"
        )


if __name__ == "__main__":
    main()
