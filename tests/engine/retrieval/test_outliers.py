"""Images unlike all others: strangers among vectors of one kind, in exact and approximate indexes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.retrieval.embedders.protocol import unit
from engine.retrieval.index.approximate import Kind
from engine.retrieval.index.folder import write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.outliers import outliers


def around(centre: NDArray[np.floating], count: int, *, seed: int) -> NDArray[np.floating]:
    return centre + np.random.default_rng(seed).normal(size=(count, 32)) * 0.5


def opened(folder: Path, vectors: NDArray[np.floating], kind: Kind = "exact") -> VectorIndex:
    write_index(
        folder, vectors=unit(vectors), ids=np.arange(len(vectors)) + 1000, embedder="e", revision="r", kind=kind
    )
    return VectorIndex.open(folder)


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
def test_strangers_are_found_with_their_similarity_least_similar_first(tmp_path: Path, kind: Kind) -> None:
    centres = np.eye(32)[:3] * 3
    kin = np.concatenate([around(centre, 500, seed=seed) for seed, centre in enumerate(centres)])
    strangers = -np.eye(32)[[5, 9, 20]] * 2 - centres.sum(axis=0)
    vectors = np.concatenate([kin[:700], strangers, kin[700:]])
    found = outliers(opened(tmp_path / "index", vectors, kind))
    assert {1700, 1701, 1702} <= found.keys()
    assert len(found) <= 3 + 0.01 * len(kin)
    assert list(found.values()) == sorted(found.values())
    made = unit(vectors).astype(float)
    similarities = np.sort(made @ made[700])[::-1][1:4]
    assert found[1700] == pytest.approx(similarities.mean(), abs=1e-4)


def test_a_batch_more_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.concatenate([around(np.eye(32)[0] * 3, 200, seed=1), -np.eye(32)[:2] * 3])
    index = opened(tmp_path / "index", vectors)
    whole = outliers(index)
    monkeypatch.setattr("engine.retrieval.outliers.BATCH", 7)
    assert outliers(index) == whole and {1200, 1201} & whole.keys()


def test_among_few_images_and_among_identical_ones_none_is_an_outlier(tmp_path: Path) -> None:
    few = np.concatenate([around(np.eye(32)[0] * 3, 48, seed=1), -np.eye(32)[:1]])
    assert outliers(opened(tmp_path / "few", few)) == {}
    alike = np.repeat(np.eye(32)[:1], 60, axis=0)
    assert outliers(opened(tmp_path / "alike", alike)) == {}
