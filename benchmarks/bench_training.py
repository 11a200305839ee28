"""Training: 25 epochs from cached trunk views, compared with a plain loop that reads, augments and runs the trunk.

Both sides train on the same images with the same backbone, cut, batch size and learning rates, and score the held-out
images after every epoch; ours includes building the cache. Both held-out AUCs are printed with their intervals.
"""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from cached_views import cached
from measure import peak_memory, seconds

from engine.classification.networks.backbones import Backbone, load_backbone
from engine.classification.networks.members import Member, make_head
from engine.classification.recipes import RECIPES, Recipe
from engine.classification.training.fold import Fold, train_fold
from engine.classification.views.kinds import SIZE, VARIATIONS
from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_batch
from engine.metrics.bootstrap import cluster_bootstrap
from engine.metrics.classification import METRICS, Sample

EPOCHS = 25


def main() -> None:
    """Print both sides' times and AUCs for the backbone of the offline default, on phantoms."""
    recipe = RECIPES["lite0"]
    assert isinstance(recipe, Recipe)
    recipe = replace(recipe, epochs=EPOCHS)
    backbone = load_backbone(recipe.backbones[0], cut=recipe.cut)
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder) / "phantoms", seed=0, counts={"train": (120, 120)})
        files = sorted((Path(folder) / "phantoms").rglob("*.jpeg"))
        labels = np.array([int("person" in file.name) for file in files])
        held_out = np.arange(len(files)) % 3 == 0
        logits: dict[str, np.ndarray] = {}

        def plain() -> None:
            logits["plain"] = plain_loop(backbone, recipe, files, labels, held_out)

        def ours() -> None:
            cache = cached(Path(folder), files, recipe, backbone)
            found = train_fold(backbone, recipe, cache, Fold(labels, held_out), seed=0)
            logits["ours"] = found.last.valid_logits

        quick, slow = seconds(ours), seconds(plain)
        patients = np.array([file.name.rpartition("_")[0] or file.name for file in files])[held_out]
        areas = []
        for side in ("plain", "ours"):
            sample = Sample.of(labels[held_out], logits[side], threshold=0.0)
            auc = cluster_bootstrap(partial(METRICS["auc"], sample), patients, seed=0)
            areas.append(f"{side} AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})")
        print(
            f"training, {recipe.name}, {EPOCHS} epochs, {len(files)} images, {recipe.views} cached views: "
            f"plain {slow:,.0f} s, ours {quick:,.0f} s, ratio {slow / quick:.1f}x; {', '.join(areas)}; {peak_memory()}"
        )


def plain_loop(
    backbone: Backbone, recipe: Recipe, files: Sequence[Path], labels: np.ndarray, held_out: np.ndarray
) -> np.ndarray:
    """Logits of the held-out images after a typical training loop: float32, images read one after the other."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    member = Member(copy.deepcopy(backbone.tail), make_head(recipe, backbone.spec.feature_dim)).requires_grad_()
    rates = ((member.tail, recipe.tail_learning_rate), (member.head, recipe.head_learning_rate))
    optimizer = torch.optim.AdamW(
        [{"params": part.parameters(), "lr": rate} for part, rate in rates], weight_decay=recipe.weight_decay
    )
    rows = np.flatnonzero(~held_out)
    vary = VARIATIONS[recipe.variation]

    def maps(pixels: np.ndarray) -> torch.Tensor:
        with torch.no_grad():
            images = backbone.normalise(torch.from_numpy(pixels)).contiguous(memory_format=torch.contiguous_format)
            made: torch.Tensor = backbone.trunk(images)
        return made

    def plain_scores() -> np.ndarray:
        member.eval()
        rows = np.flatnonzero(held_out)
        with torch.no_grad():
            scores = torch.cat(
                [
                    member(maps(read_batch([files[row] for row in batch], size=SIZE, workers=1)))
                    for batch in np.array_split(rows, -(-len(rows) // recipe.batch_size))
                ]
            )
        return (scores[:, 1] - scores[:, 0]).numpy()

    for epoch in range(recipe.epochs):
        member.train()
        for module in member.tail.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        for batch in np.array_split(rng.permutation(rows), -(-len(rows) // recipe.batch_size)):
            pixels = np.concatenate([read_batch([files[row]], size=vary.read, workers=1) for row in batch])
            pixels = vary.vary(pixels, batch + 10**6 * epoch, 0)
            loss = torch.nn.functional.cross_entropy(member(maps(pixels)), torch.from_numpy(labels[batch]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        found = plain_scores()
    return found


if __name__ == "__main__":
    main()
