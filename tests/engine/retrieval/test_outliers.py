"""Images unlike most others: strangers among vectors of one kind, alone and in numbers."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.retrieval import outliers as module
from engine.retrieval.embedders.protocol import unit
from engine.retrieval.index.folder import write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.outliers import outliers


def around(centre: NDArray[np.floating], count: int, *, seed: int, spread: float = 0.5) -> NDArray[np.floating]:
    return centre + np.random.default_rng(seed).normal(size=(count, 32)) * spread


def opened(folder: Path, vectors: NDArray[np.floating]) -> VectorIndex:
    write_index(folder, vectors=unit(vectors), ids=np.arange(len(vectors)) + 1000, embedder="e", revision="r")
    return VectorIndex.open(folder)


def kin() -> NDArray[np.floating]:
    """Three kinds of 500 images each."""
    return np.concatenate([around(np.eye(32)[place] * 3, 500, seed=place) for place in range(3)])


@pytest.mark.parametrize("many", [1, 3, 30])
def test_strangers_are_found_even_if_they_are_like_each_other(tmp_path: Path, many: int) -> None:
    strangers = around(-np.ones(32), many, seed=9, spread=0.05)
    images = kin()
    vectors = np.concatenate([images[:700], strangers, images[700:]])
    found = outliers(opened(tmp_path / "index", vectors))
    assert set(range(1700, 1700 + many)) <= found.keys()
    assert len(found) <= many + 0.01 * len(images)
    assert list(found.values()) == sorted(found.values())


def test_likeness_is_the_mean_over_the_nearest_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.concatenate([around(np.eye(32)[0] * 3, 199, seed=1), -np.eye(32)[:1] * 3])
    index = opened(tmp_path / "index", vectors)
    whole = outliers(index)
    made = unit(vectors).astype(float)
    nearest = np.sort(made[:199] @ made[199])[-10:]  # 5 % of 200, itself left out
    assert whole[1199] == pytest.approx(nearest.mean(), abs=1e-5)
    monkeypatch.setattr(module, "BATCH", 7)
    assert outliers(index) == pytest.approx(whole)
    monkeypatch.setattr(module, "SAMPLE", 80)
    assert next(iter(outliers(index))) == 1199


def test_among_few_images_and_among_identical_ones_none_is_an_outlier(tmp_path: Path) -> None:
    few = np.concatenate([around(np.eye(32)[0] * 3, 48, seed=1), -np.eye(32)[:1]])
    assert outliers(opened(tmp_path / "few", few)) == {}
    alike = np.repeat(np.eye(32)[:1], 60, axis=0)
    assert outliers(opened(tmp_path / "alike", alike)) == {}
