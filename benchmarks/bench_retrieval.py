"""Retrieval: a query among 1,000,000 vectors, exact and by inverted lists; and embedding, compared with a plain loop.

The vectors are synthetic and clustered like those of images; the images are phantoms.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import peak_memory, ratio
from PIL import Image

from engine.classification.networks.backbones import load_backbone
from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_fitted
from engine.retrieval.embedders import load_embedder
from engine.retrieval.index import approximate

COUNT, WIDTH, GROUPS = 1_000_000, 512, 20_000
QUERIES = 100
FILMS = 256
BATCH = 32


def grouped(rng: np.random.Generator) -> np.ndarray:
    """Clustered unit vectors: float32 (COUNT, WIDTH)."""
    centres = rng.standard_normal((GROUPS, WIDTH), dtype=np.float32)
    made = np.empty((COUNT, WIDTH), np.float32)
    for start in range(0, COUNT, 50_000):
        part = made[start : start + 50_000]
        part[:] = centres[rng.integers(0, GROUPS, len(part))]
        part += 0.7 * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return made


def each(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Median seconds per query, one query at a time."""
    taken = []
    for query in queries:
        began = time.perf_counter()
        search(query[None])
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def million() -> None:
    """Print both sides' time per query, and the recall and build time of the inverted lists."""
    vectors = grouped(np.random.default_rng(0))
    queries = vectors[:: COUNT // QUERIES]
    flat, _ = approximate.build(vectors, "exact")
    exact = each(partial(flat.search, k=10), queries)
    del flat
    began = time.perf_counter()
    lists, recall = approximate.build(vectors, "ivf")
    built = time.perf_counter() - began
    quick = each(lambda query: approximate.candidates(lists, query, 64, None), queries)
    print(
        f"{COUNT:,} x {WIDTH}: exact {1000 * exact:.1f} ms per query, ivf {1000 * quick:.2f} ms at a recall of "
        f"{recall:.3f} (built in {built:.0f} s), ratio {exact / quick:.0f}x; {peak_memory()}"
    )


def embedding() -> None:
    """Print both sides' images per second and the lowest cosine between their vectors."""
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder) / "films", seed=0, counts={"test": (FILMS // 2, FILMS // 2)})
        files = sorted(Path(folder).rglob("*.jpeg"))
        embedder = load_embedder("imagenet-lite0")
        backbone = load_backbone("efficientnet_lite0").eval()
        size = backbone.spec.input_size
        found: dict[str, np.ndarray] = {}

        @torch.inference_mode()
        def plain() -> None:
            rows = []
            for start in range(0, len(files), BATCH):
                opened = [Image.open(file).convert("L") for file in files[start : start + BATCH]]
                films = np.stack([np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in opened])
                images = backbone.normalise(torch.from_numpy(films)).contiguous(memory_format=torch.contiguous_format)
                rows.append(backbone(images).mean((2, 3)).numpy())
            found["plain"] = np.concatenate(rows)

        def ours() -> None:
            found["ours"] = embedder.embed_images(read_fitted(files, embedder.fit))

        ratio("embedding with EfficientNet-Lite0", plain, ours, unit="images", count=len(files))
        one = found["plain"] / np.linalg.norm(found["plain"], axis=1, keepdims=True)
        print(f"lowest cosine between the two: {(one * found['ours']).sum(axis=1).min():.4f}; {peak_memory()}")


if __name__ == "__main__":
    embedding()
    million()
