"""The index that answers: the requested one, or the last intact one before it; never one with other weights."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import InputError
from engine.retrieval.index.folder import IndexDamagedError, write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.serving import check_revision, open_or_raise, serve

REBUILD = "python -m jobs embed"


@pytest.fixture
def whole(tmp_path: Path) -> VectorIndex:
    sha256 = write_index(
        tmp_path / "index",
        vectors=np.eye(2, dtype=np.float32),
        ids=np.arange(2),
        centre=np.zeros(2, np.float32),
        embedder="small",
        revision="1",
    )
    return VectorIndex.open(tmp_path / "index", sha256=sha256)


def loader(whole: VectorIndex, *damaged: str) -> Callable[[str], VectorIndex]:
    def load(name: str) -> VectorIndex:
        if name in damaged:
            raise IndexDamagedError(f"{name} is torn")
        return whole

    return load


def test_a_whole_index_answers_and_no_earlier_one_is_looked_for(whole: VectorIndex) -> None:
    def earlier() -> list[str]:
        raise AssertionError("looked for")

    found = serve("new", loader(whole), earlier=earlier, rebuild=lambda: REBUILD)
    assert (found.index, found.vectors, found.damage) == ("new", whole, None)


def test_of_damaged_indexes_the_last_whole_one_answers_and_the_damage_is_told(whole: VectorIndex) -> None:
    load = loader(whole, "new", "old")
    found = serve("new", load, earlier=lambda: ["old", "older", "oldest"], rebuild=lambda: REBUILD)
    assert found.index == "older"
    assert found.damage == f"new is torn; build it again with: {REBUILD}"


def test_where_none_is_whole_the_one_asked_for_is_named(whole: VectorIndex) -> None:
    load = loader(whole, "new", "old")
    with pytest.raises(IndexDamagedError, match=f"new is torn; build it again with: {REBUILD}"):
        serve("new", load, earlier=lambda: ["old"], rebuild=lambda: REBUILD)
    with pytest.raises(IndexDamagedError, match="old is torn"):
        open_or_raise("old", load, rebuild=lambda: REBUILD)


def test_an_embedder_with_other_weights_than_the_index_is_refused() -> None:
    embedder = SimpleNamespace(name="small", revision="2" * 40)
    check_revision(embedder, "2" * 40, rebuild=lambda: REBUILD)
    with pytest.raises(InputError, match=r"'small' was made .*: revision 1{16}, but 2{16} is here; build it again"):
        check_revision(embedder, "1" * 40, rebuild=lambda: REBUILD)
