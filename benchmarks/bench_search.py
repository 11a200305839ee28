"""Search: from an uploaded image's bytes to its hits, warm, among 5,856 images; and the index alone with 100,000.

The classifier has the default recipe's shape with untrained heads; images are phantoms, vectors synthetic clusters.
"""

import io
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import peak_memory
from PIL import Image

from engine.classification.classifiers.checkpoints import load_classifier
from engine.classification.classifiers.convolutional import save_checkpoint
from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.members import new_member
from engine.classification.recipes import RECIPES, Recipe
from engine.datasets.phantoms import write_phantoms
from engine.imaging.guarded import GuardedDecoder
from engine.imaging.heat import lung_zones
from engine.retrieval.embedders.aligned import ClassifierEmbedder
from engine.retrieval.embedders.protocol import sized, unit
from engine.retrieval.index import approximate
from engine.retrieval.index.folder import write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.neighbours import is_out_of_distribution
from engine.retrieval.orientation import suspicion

COUNT, MANY, WIDTH, GROUPS = 5_856, 100_000, 1_280, 2_000
FILMS, K, SIDE = 60, 12, 1_600
"""Uploads have SIDE x SIDE pixels, a typical size of digital radiographs."""


def grouped(count: int) -> np.ndarray:
    """Clustered unit vectors: float32 (count, WIDTH)."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((GROUPS, WIDTH), dtype=np.float32)
    noise = 0.7 * rng.standard_normal((count, WIDTH), dtype=np.float32)
    return unit(centres[rng.integers(0, GROUPS, count)] + noise)


def checkpoint(folder: Path) -> Path:
    """Save an untrained classifier of the default recipe's shape."""
    recipe = RECIPES["lite0"]
    assert isinstance(recipe, Recipe)
    backbone = load_backbone(recipe.backbones[0], cut=recipe.cut)
    members = [new_member(backbone, recipe).state_dict() for _ in range(recipe.folds)]
    calibration = {"temperature": 1.0, "threshold": 0.5}
    save_checkpoint(folder, [(backbone, members)], recipe, calibration=calibration, provenance={})
    return folder


def report(name: str, taken: list[float]) -> None:
    """Print the median and the 95th percentile."""
    p50, p95 = np.percentile(1000 * np.array(taken), [50, 95])
    print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms; {peak_memory()}")


def upload(root: Path) -> None:
    """Measure decoding, classification with lung zones, the vector, and the nearest of 5,856."""
    write_phantoms(root / "films", seed=0, counts={"test": (FILMS // 2, FILMS // 2)})
    sent = []
    for file in sorted((root / "films").rglob("*.jpeg")):
        stream = io.BytesIO()
        Image.open(file).resize((SIDE, SIDE)).save(stream, "JPEG", quality=90)
        sent.append(stream.getvalue())
    folder = checkpoint(root / "checkpoint")
    embedder = ClassifierEmbedder("classifier", load_classifier(folder))
    write_index(root / "index", vectors=grouped(COUNT), ids=np.arange(COUNT), embedder="classifier", revision="0")
    index = VectorIndex.open(root / "index")
    decoder = GuardedDecoder()
    taken, turned = [], []
    for data in [*sent[:5], *sent]:
        began = time.perf_counter()
        pixels = decoder.decode(data).pixels
        output = embedder.classifier.run(sized(pixels[None], embedder.classifier.input_size), heatmaps=True)
        assert output.heatmaps is not None
        lung_zones(output.heatmaps[0])
        vectors = index.project_images(embedder.of(output))
        is_out_of_distribution(index, vectors, held=list)
        index.search(vectors, K)
        taken.append(time.perf_counter() - began)
        began = time.perf_counter()
        suspicion(index, embedder, pixels, vectors, held=list)
        turned.append(time.perf_counter() - began)
    report(f"upload of {SIDE} x {SIDE} pixels to {K} hits among {COUNT:,}", taken[5:])
    report("afterwards, whether it is inverted or turned", turned[5:])


def index_alone() -> None:
    """Measure a query of the index that `embed` chooses by default for 100,000 images."""
    vectors = grouped(MANY)
    kind = approximate.chosen("auto", MANY)
    index, recall = approximate.build(vectors, kind)
    taken = []
    for query in vectors[:: MANY // 200]:
        began = time.perf_counter()
        approximate.candidates(index, query[None], 64, None)
        taken.append(time.perf_counter() - began)
    report(f"index of {MANY:,} x {WIDTH:,} ({kind}, recall {recall:.3f})", taken)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        upload(Path(made))
    index_alone()
