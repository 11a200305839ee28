"""Inference: files to logits, against a plain float32 loop over the same backbone, one batch after the other."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import ratio
from PIL import Image

from engine.classification.backbones import load_backbone
from engine.classification.fusing import quick
from engine.images import read_batch
from engine.phantoms import write_phantoms

BATCH = 32


def main() -> None:
    """Print the ratio for the offline default backbone."""
    backbone = load_backbone("efficientnet_lite0")
    quick_tail = quick(backbone.tail)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        write_phantoms(root, seed=0, counts={"test": (48, 48)})
        files = sorted(root.rglob("*.jpeg"))

        @torch.inference_mode()
        def plain() -> None:
            for start in range(0, len(files), BATCH):
                opened = [Image.open(file).convert("L").resize((224, 224)) for file in files[start : start + BATCH]]
                pixels = torch.from_numpy(np.stack([np.asarray(image) for image in opened]))
                backbone(backbone.normalise(pixels).contiguous(memory_format=torch.contiguous_format)).mean((2, 3))

        @torch.inference_mode()
        def ours() -> None:
            pixels = torch.from_numpy(read_batch(files, size=224))
            for batch in pixels.split(BATCH):
                quick_tail(backbone.quick_trunk(backbone.normalise(batch).bfloat16())).mean((2, 3))

        ratio("inference, efficientnet_lite0", plain, ours, unit="images", count=len(files))


if __name__ == "__main__":
    main()
