"""The nearest images that a collection still has, whatever was removed since its index was built."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.retrieval.embedders.protocol import unit
from engine.retrieval.index.folder import write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.neighbours import nearest

COUNT = 300


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> VectorIndex:
    folder = tmp_path_factory.mktemp("index") / "1"
    vectors = unit(np.random.default_rng(0).normal(size=(COUNT, 8)))
    write_index(folder, vectors=vectors, ids=np.arange(COUNT), embedder="e", revision="r")
    return VectorIndex.open(folder)


@given(
    k=st.integers(1, 2 * COUNT),
    removed=st.sets(st.integers(0, COUNT - 1)),
    allowed=st.none() | st.sets(st.integers(0, COUNT - 1)),
    excluded=st.none() | st.sets(st.integers(0, COUNT - 1), max_size=3),
)
def test_removed_images_take_no_places(
    index: VectorIndex, k: int, removed: set[int], allowed: set[int] | None, excluded: set[int] | None
) -> None:
    def held(ids: Sequence[int]) -> set[int]:
        return set(ids) - removed

    found = nearest(index, np.asarray(index.vectors[:1]), k, held=held, allowed=allowed, exclude=excluded)
    similarities = index.vectors.astype(float) @ index.vectors[0].astype(float)
    there = (set(range(COUNT)) if allowed is None else allowed) - removed - (excluded or set())
    assert [number for number, _ in found] == sorted(there, key=lambda n: (-similarities[n], n))[:k]


def test_many_removed_images_take_few_searches(index: VectorIndex) -> None:
    order = np.argsort(-(index.vectors @ index.vectors[0]))
    removed, asked = set(order[:250].tolist()), []

    def held(ids: Sequence[int]) -> set[int]:
        asked.append(len(ids))
        return set(ids) - removed

    found = nearest(index, np.asarray(index.vectors[:1]), 5, held=held)
    assert [number for number, _ in found] == order[250:255].tolist()
    assert len(asked) <= 7, "twice as many each time"
