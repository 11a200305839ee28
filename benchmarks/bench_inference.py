"""Inference: files to logits with a trained member, compared with a plain batched float32 loop over the same weights.

Both sides read the same files; the largest difference between their logits is printed as well.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cached_views import cached
from measure import peak_memory, ratio
from PIL import Image

from engine.classification.classifiers.convolutional import Branch, Classifier
from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.members import new_member
from engine.classification.recipes import RECIPES, Recipe
from engine.classification.training.fold import Fold, train_fold
from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_batch

BATCH = 32


def main() -> None:
    """Print the ratio for the backbone of recipe `lite0`, trained for two epochs on phantoms."""
    recipe = RECIPES["lite0"]
    assert isinstance(recipe, Recipe)
    recipe = replace(recipe, epochs=2, views=2, flip_average=False)
    backbone = load_backbone(recipe.backbones[0], cut=recipe.cut)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        write_phantoms(root, seed=0, counts={"test": (64, 64)})
        files = sorted(root.rglob("*.jpeg"))
        labels = np.array([int("person" in file.name) for file in files])
        cache = cached(Path(folder), files, recipe, backbone)
        member = new_member(backbone, recipe)
        trained = train_fold(backbone, recipe, cache, Fold(labels, np.arange(len(files)) % 4 == 0), seed=0)
        member.load_state_dict(trained.last.state)
        member.eval()
        classifier = Classifier([Branch(backbone, [member])], recipe, {"temperature": 1.0, "threshold": 0.5}, "")
        logits: dict[str, np.ndarray] = {}

        @torch.inference_mode()
        def plain() -> None:
            found = []
            for start in range(0, len(files), BATCH):
                opened = [Image.open(file).convert("L") for file in files[start : start + BATCH]]
                films = np.stack([np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)) for image in opened])
                images = backbone.normalise(torch.from_numpy(films)).contiguous(memory_format=torch.contiguous_format)
                scores = member(backbone.trunk(images))
                found.append((scores[:, 1] - scores[:, 0]).numpy())
            logits["plain"] = np.concatenate(found)

        def ours() -> None:
            logits["ours"] = classifier.run(read_batch(files, size=classifier.input_size)).logits

        ratio("inference, efficientnet_lite0", plain, ours, unit="images", count=len(files))
        given = logits["plain"]
        apart = np.abs(given - logits["ours"])
        print(
            f"logits from {given.min():.2f} to {given.max():.2f} differ by at most {apart.max():.4f}, "
            f"median {np.median(apart):.4f}; {peak_memory()}"
        )


if __name__ == "__main__":
    main()
