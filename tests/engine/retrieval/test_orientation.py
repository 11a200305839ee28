"""A radiograph that lies inverted or turned is recognised by a collection that does not."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_grey, resize
from engine.retrieval.embedders import Embedder, load_embedder
from engine.retrieval.index.centring import centre_of, centred
from engine.retrieval.index.folder import write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.orientation import Suspicion, suspicion, undone

ALTERED = {
    "inverted": lambda pixels: 255 - pixels,
    "upside-down": lambda pixels: pixels[::-1, ::-1],
    "left": lambda pixels: np.rot90(pixels),
    "right": lambda pixels: np.rot90(pixels, 3),
}


@dataclass(frozen=True)
class Collection:
    """An index of 80 phantoms, and 16 other phantoms, uint8 (h, w)."""

    index: VectorIndex
    embedder: Embedder
    films: list[NDArray[np.uint8]]

    def suspected(self, pixels: NDArray[np.uint8]) -> Suspicion | None:
        pixels = np.ascontiguousarray(pixels)
        query = self.index.project_images(self.embedder.embed_images(pixels[None]))
        return suspicion(self.index, self.embedder, pixels, query, held=list)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("collection")
    write_phantoms(root / "films", seed=0, counts={"train": (40, 40), "test": (8, 8)})
    known, unknown = (
        [read_grey(file) for file in sorted((root / "films" / split).rglob("*.jpeg"))] for split in ("train", "test")
    )
    embedder = load_embedder("imagenet-lite0")
    raw = embedder.embed_images(np.stack(known))
    centre = centre_of(raw)
    write(root / "index", centred(raw, centre), centre)
    return Collection(VectorIndex.open(root / "index"), embedder, unknown)


def write(folder: Path, vectors: NDArray[np.float32], centre: NDArray[np.float32]) -> None:
    ids = np.arange(len(vectors))
    write_index(folder, vectors=vectors, ids=ids, centre=centre, embedder="imagenet-lite0", revision="1" * 16)


def test_radiographs_as_they_should_be_are_not_suspected(collection: Collection) -> None:
    for film in collection.films:
        assert collection.suspected(film) is None
        assert collection.suspected(film[:, ::-1]) is None, "mirrored"


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_radiograph_is_recognised_and_undone(collection: Collection, name: str) -> None:
    found = [collection.suspected(ALTERED[name](film[:-9])) for film in collection.films]
    named = [one.alteration.name for one in found if one is not None]
    assert set(named) == {name} and len(named) >= 12
    first = next(one for one in found if one is not None)
    assert first.undone > first.similarity + 0.04
    assert str(first).startswith(
        f"the image seems to be {first.alteration.looks}: {first.alteration.undoing}, it would"
    )
    assert f"(similarity {first.undone:.2f} instead of {first.similarity:.2f})" in str(first)
    film = collection.films[0]
    np.testing.assert_array_equal(undone(ALTERED[name](film), [name]), film)


def test_several_alterations_are_undone_in_turn() -> None:
    film = np.arange(12, dtype=np.uint8).reshape(3, 4)
    altered = np.rot90(255 - film)[::-1, ::-1]
    np.testing.assert_array_equal(undone(altered, ["upside-down", "left", "inverted"]), film)
    assert undone(altered, []).shape == (4, 3)


def test_nothing_is_suspected_of_what_is_no_radiograph(collection: Collection) -> None:
    draw = np.random.default_rng(1)
    for side in (4, 8, 16, 64):
        assert collection.suspected(resize(draw.integers(0, 256, (side, side), dtype=np.uint8), 224)) is None


def test_too_few_images_cannot_tell(collection: Collection, tmp_path: Path) -> None:
    write(tmp_path / "few", np.array(collection.index.vectors[:40]), collection.index.centre)
    few = replace(collection, index=VectorIndex.open(tmp_path / "few"))
    turned = np.rot90(collection.films[8])
    assert collection.suspected(turned) is not None and few.suspected(turned) is None
