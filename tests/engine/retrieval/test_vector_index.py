"""The vector index: exact with any ties and filters, and rejected if its files were changed."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.errors import InputError
from engine.retrieval.index import approximate
from engine.retrieval.index.approximate import Kind
from engine.retrieval.index.centring import centre_of, centred, uncentred
from engine.retrieval.index.exact import exact_search
from engine.retrieval.index.folder import FILES, IndexDamagedError, write_index
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.neighbours import is_out_of_distribution
from engine.retrieval.text.alignment import Known


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def brute_force(
    vectors: np.ndarray, ids: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray
) -> tuple[list[int], list[float]]:
    scores = [float((v.astype(np.float64) * query.astype(np.float64)).sum()) for v in vectors]
    order = sorted(np.flatnonzero(allowed), key=lambda row: (-scores[row], ids[row]))[:k]
    return [int(ids[row]) for row in order], [scores[row] for row in order]


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors with many exact ties (few coordinates, small integers), ids in any order, and a few queries."""
    n, d = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rows = draw(npst.arrays(np.int8, (n + 3, d), elements=st.integers(-2, 2)))
    rows[~rows.any(axis=1), 0] = 1
    ids = draw(st.permutations(range(100, 100 + n)))
    vectors = unit(rows.astype(np.float64))
    return vectors[:n], np.array(ids, dtype=np.int64), vectors[n:]


@given(collections(), st.integers(1, 70), st.data())
def test_search_equals_brute_force_for_any_vectors_ties_and_filters(
    collection: tuple[np.ndarray, np.ndarray, np.ndarray], k: int, data: st.DataObject
) -> None:
    import faiss

    vectors, ids, queries = collection
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    hits = exact_search(flat, vectors, ids, queries, k, allowed=allowed)
    for row, query in enumerate(queries):
        expected_ids, expected_scores = brute_force(vectors, ids, query, k, allowed)
        count = len(expected_ids)
        assert hits.ids[row, :count].tolist() == expected_ids
        assert hits.similarities[row, :count].tolist() == expected_scores
        assert (hits.ids[row, count:] == -1).all()
        assert np.isnan(hits.similarities[row, count:]).all()


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray, str]:
    rng = np.random.default_rng(7)
    vectors = unit(rng.normal(size=(200, 16)))
    ids = rng.permutation(np.arange(1000, 1200))
    folder = tmp_path / "indexes" / "test" / "1"
    digest = write_index(folder, vectors=vectors, ids=ids, embedder="test", revision="r1")
    return folder, vectors, ids, digest


def test_an_index_comes_back_as_it_was_written(stored: tuple[Path, np.ndarray, np.ndarray, str]) -> None:
    folder, vectors, ids, digest = stored
    index = VectorIndex.open(folder, sha256=digest)
    assert (index.manifest.embedder, index.manifest.revision, len(index)) == ("test", "r1", 200)
    assert isinstance(index.vectors, np.memmap)
    np.testing.assert_array_equal(index.vectors, vectors)
    np.testing.assert_array_equal(index.ids, ids)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1"]  # no temporary folder stays


def test_a_query_is_centred_as_the_index_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    raw = unit(rng.normal(size=(300, 8)) + 4)
    centre = centre_of(raw)
    np.testing.assert_allclose(centre, raw.mean(axis=0), atol=1e-6)
    write_index(
        tmp_path / "1", vectors=centred(raw, centre), ids=np.arange(300), embedder="e", revision="r", centre=centre
    )
    index = VectorIndex.open(tmp_path / "1")
    placed = index.project_images(raw[:5])
    np.testing.assert_allclose(placed, unit(raw[:5].astype(float) - centre), atol=1e-5)
    assert index.search(placed, 1).ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    few = unit(rng.normal(size=(5, 8)))
    assert not centre_of(few).any()
    np.testing.assert_array_equal(centred(np.tile(few[:1], (3, 1)), few[0]), np.tile(few[:1], (3, 1)))


def test_a_query_unlike_the_whole_collection_is_strange(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = unit(np.repeat(rng.normal(size=(30, 32)), 10, axis=0) + 0.3 * rng.normal(size=(300, 32)))
    for count, name in ((300, "many"), (40, "few")):
        write_index(tmp_path / name, vectors=vectors[:count], ids=np.arange(count), embedder="e", revision="r")
    index = VectorIndex.open(tmp_path / "many")
    near = unit(vectors[:50] + 0.02 * rng.normal(size=(50, 32)))
    far = unit(rng.normal(size=(50, 32)))
    strange = partial(is_out_of_distribution, index, held=list)
    known, unknown = ([strange(query[None]) for query in queries] for queries in (near, far))
    assert sum(known) <= 1 and sum(unknown) >= 48
    assert not is_out_of_distribution(VectorIndex.open(tmp_path / "few"), far[:1], held=list)


def test_one_odd_image_of_a_small_collection_does_not_make_its_like_familiar(tmp_path: Path) -> None:
    axes = np.eye(8, dtype=np.float32)
    films = unit(axes[0] + 0.1 * np.random.default_rng(4).normal(size=(147, 8)) * (np.arange(8) < 5))
    odd = unit(0.3 * axes[0] + axes[5:])
    write_index(tmp_path / "1", vectors=np.concatenate([films, odd]), ids=np.arange(150), embedder="e", revision="r")
    index, noise = VectorIndex.open(tmp_path / "1"), unit(0.5 * axes[5:6] - axes[7:] - 0.5 * axes[6:7])
    nearest = index.search(noise, 3)
    assert nearest.ids[0, 0] == 147 and nearest.similarities[0, 0] > index.search(odd, 2).similarities[:, 1].min()
    assert is_out_of_distribution(index, noise, held=list)
    assert not any(is_out_of_distribution(index, film[None], held=list) for film in films)


def clustered(count: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors in groups, as embeddings of images are."""
    groups = rng.normal(size=(count // 50, width))
    return unit(groups[rng.integers(0, len(groups), count)] + 0.6 * rng.normal(size=(count, width)))


@pytest.fixture
def approximated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[np.ndarray, np.ndarray, Kind], VectorIndex]:
    """Makes an index of the kind that is asked for, which compares all vectors only where at most 50 are allowed."""
    monkeypatch.setattr("engine.retrieval.index.vector_index.FEW", 50)
    monkeypatch.setattr("engine.retrieval.index.exact.BLOCK", 50)

    def made(vectors: np.ndarray, ids: np.ndarray, kind: Kind) -> VectorIndex:
        write_index(tmp_path / "1", vectors=vectors, ids=ids, embedder="e", revision="r", kind=kind)
        return VectorIndex.open(tmp_path / "1")

    return made


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_reaches_its_recall_and_scores_what_it_finds_exactly(
    approximated: Callable[[np.ndarray, np.ndarray, Kind], VectorIndex], kind: Kind
) -> None:
    rng = np.random.default_rng(5)
    vectors = clustered(4000, 24, rng)
    ids = rng.permutation(np.arange(4000)) + 10
    index = approximated(vectors, ids, kind)
    assert (index.manifest.kind, index.manifest.recall >= approximate.RECALL) == (kind, True)
    queries = unit(vectors[:60] + 0.1 * rng.normal(size=(60, 24)))
    hits = index.search(queries, 10)
    wide = queries.astype(float) @ vectors.astype(float).T
    shared = [
        len(set(found) & set(ids[np.argsort(-row)[:10]])) for found, row in zip(hits.ids.tolist(), wide, strict=True)
    ]
    assert np.mean(shared) >= 9
    place = {int(number): row for row, number in enumerate(ids)}
    for row, found in enumerate(hits.ids):
        assert hits.similarities[row].tolist() == pytest.approx([wide[row, place[int(one)]] for one in found], abs=1e-9)
        assert (np.diff(hits.similarities[row]) <= 0).all()


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("share", [0.005, 0.02, 0.5])
def test_an_approximate_index_gives_k_hits_under_any_filter(
    approximated: Callable[[np.ndarray, np.ndarray, Kind], VectorIndex], kind: Kind, share: float
) -> None:
    rng = np.random.default_rng(6)
    vectors, ids = clustered(4000, 16, rng), np.arange(4000)
    allowed = np.sort(rng.permutation(4000)[: int(4000 * share)])
    hits = approximated(vectors, ids, kind).search(vectors[:20], 30, allowed_ids=allowed, exclude_ids=[0])
    expected = min(30, len(set(allowed.tolist()) - {0}))
    for found in hits.ids:
        assert (found >= 0).sum() == expected == len(set(found[found >= 0].tolist()))
        assert set(found[found >= 0].tolist()) <= set(allowed.tolist()) - {0}


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_finds_most_of_the_nearest_under_a_filter_against_the_query(
    approximated: Callable[[np.ndarray, np.ndarray, Kind], VectorIndex], kind: Kind
) -> None:
    rng = np.random.default_rng(6)
    vectors, ids = clustered(6000, 16, rng), np.arange(6000)
    side = vectors[:, 0] > np.median(vectors[:, 0])
    queries, allowed = vectors[side][:40], ids[~side]
    hits = approximated(vectors, ids, kind).search(queries, 10, allowed_ids=allowed)
    nearest = np.argsort(-(queries @ vectors[allowed].T), axis=1)[:, :10]
    found = [len(set(one) & set(allowed[best])) for one, best in zip(hits.ids.tolist(), nearest, strict=True)]
    assert np.mean(found) >= 9.5


def test_centring_and_its_inverse_work_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(np.abs(np.random.default_rng(2).normal(size=(103, 8))))
    middle = centre_of(vectors)
    whole = centred(vectors, middle)
    monkeypatch.setattr("engine.retrieval.index.centring.BLOCK", 10)
    assert (centred(vectors, middle) == whole).all()
    assert uncentred(whole, middle) == pytest.approx(vectors, abs=1e-6)


@pytest.mark.parametrize(("count", "width"), [(102, 512), (375, 1286), (274, 1280)])
def test_equal_vectors_are_equally_similar_and_come_by_id_wherever_they_stand(
    count: int, width: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(1)
    vectors = unit(draw.normal(size=(count, width)))
    equal = [0, 7, *range(count - 5, count)]
    vectors[equal] = vectors[0]
    ids = draw.permutation(count)
    write_index(tmp_path / "index", vectors=vectors, ids=ids, embedder="e", revision="r", kind="ivf")
    opened = VectorIndex.open(tmp_path / "index")
    for query in unit(draw.normal(size=(20, width))):
        found = opened.search(query[None], count)
        places = np.flatnonzero(np.isin(found.ids[0], ids[equal]))
        assert found.ids[0, places].tolist() == sorted(ids[equal])
        assert len(set(found.similarities[0, places])) == 1


def test_auto_is_exact_for_thousands_and_lists_for_millions() -> None:
    assert [approximate.chosen("auto", count) for count in (1, 20_000, 20_001)] == ["exact", "exact", "ivf"]
    assert approximate.chosen("hnsw", 10) == "hnsw"


def test_results_do_not_depend_on_the_size_of_the_batch(stored: tuple[Path, np.ndarray, np.ndarray, str]) -> None:
    index = VectorIndex.open(stored[0])
    together = index.search(stored[1], 10)
    one_by_one = [index.search(stored[1][row : row + 1], 10) for row in range(200)]
    np.testing.assert_array_equal(together.ids, np.concatenate([hits.ids for hits in one_by_one]))
    np.testing.assert_array_equal(together.similarities, np.concatenate([hits.similarities for hits in one_by_one]))


def test_k_hits_come_back_where_k_exist_however_many_are_excluded(
    stored: tuple[Path, np.ndarray, np.ndarray, str],
) -> None:
    folder, vectors, ids, _ = stored
    index = VectorIndex.open(folder)
    query = vectors[:1]
    nearest = index.search(query, 150).ids[0]
    hits = index.search(query, 5, exclude_ids=nearest)
    assert (hits.ids >= 0).all()
    assert not set(hits.ids[0]) & set(nearest)
    few = index.search(query, 5, allowed_ids=[int(ids[3]), int(ids[4]), 999_999], exclude_ids={int(ids[4])})
    assert few.ids[0].tolist() == [ids[3], -1, -1, -1, -1]
    assert index.search(query, 5, allowed_ids=[]).ids.tolist() == [[-1] * 5]


def test_rows_finds_ids_in_any_order_and_leaves_out_unknown_ones(
    stored: tuple[Path, np.ndarray, np.ndarray, str],
) -> None:
    folder, _, ids, _ = stored
    index = VectorIndex.open(folder)
    assert index.rows([int(ids[9]), 5, int(ids[2]), 99_999]).tolist() == [9, 2]
    assert index.rows([int(ids[9]), 10**30, -(10**30)]).tolist() == [9]


def test_what_words_were_learnt_from_comes_back_and_is_verified(tmp_path: Path) -> None:
    vectors = np.eye(3, dtype=np.float32)
    words, sentences = np.ones((5, 3), np.float32), np.eye(2, 4, dtype=np.float32)
    write = partial(write_index, vectors=vectors, ids=np.arange(3), embedder="e", revision="r")
    write(tmp_path / "one", words=words, known=Known(("normal", "viral"), sentences))
    index = VectorIndex.open(tmp_path / "one")
    assert index.known.concepts == ("normal", "viral")
    np.testing.assert_array_equal(index.known.sentences, sentences)
    (tmp_path / "one" / "sentences.npy").write_bytes(b"torn")
    with pytest.raises(IndexDamagedError, match=r"sentences\.npy is not the file"):
        VectorIndex.open(tmp_path / "one")
    write(tmp_path / "plain")
    assert VectorIndex.open(tmp_path / "plain").known == Known()
    manifest = json.loads((tmp_path / "plain" / "manifest.json").read_text())
    del manifest["taught"]  # as it was before this was written down
    (tmp_path / "plain" / "manifest.json").write_text(json.dumps(manifest))
    assert VectorIndex.open(tmp_path / "plain").known == Known()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "flip", "empty"])
def test_a_damaged_file_is_refused_by_name(
    stored: tuple[Path, np.ndarray, np.ndarray, str], name: str, damage: str
) -> None:
    folder, _, _, digest = stored
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        flipped = bytes(content)
        path.write_bytes({"truncate": flipped[: len(flipped) // 2], "flip": flipped, "empty": b""}[damage])
    with pytest.raises(IndexDamagedError) as caught:
        VectorIndex.open(folder, sha256=digest)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value) or name == "manifest.json"


def test_files_of_another_index_are_refused(stored: tuple[Path, np.ndarray, np.ndarray, str], tmp_path: Path) -> None:
    folder, vectors, ids, digest = stored
    other = tmp_path / "other"
    write_index(other, vectors=vectors[:50], ids=ids[:50], embedder="other", revision="r2")
    with pytest.raises(IndexDamagedError, match="not the one recorded in the database"):
        VectorIndex.open(other, sha256=digest)
    shutil.copy(other / "index.faiss", folder / "index.faiss")
    with pytest.raises(IndexDamagedError, match=r"index\.faiss is not the file"):
        VectorIndex.open(folder, sha256=digest)


def test_a_manifest_that_lies_about_its_files_is_refused(stored: tuple[Path, np.ndarray, np.ndarray, str]) -> None:
    manifest = json.loads((stored[0] / "manifest.json").read_text())
    for changes in (
        {"count": 199},
        {"dimension": 8},
        {"format": "something else"},
        {"surprise": 1},
        {"taught": 5},
        {"files": None},
    ):
        (stored[0] / "manifest.json").write_text(json.dumps({**manifest, **changes}))
        with pytest.raises(IndexDamagedError):
            VectorIndex.open(stored[0])


def test_vectors_that_are_not_unit_length_and_repeated_ids_are_refused(tmp_path: Path) -> None:
    good = np.eye(3, dtype=np.float32)
    for vectors, ids in (
        (good * 2, [1, 2, 3]),
        (good * np.nan, [1, 2, 3]),
        (good, [1, 1, 2]),
        (good, [1, 2]),
        (good[:0], []),
    ):
        with pytest.raises(InputError):
            write_index(tmp_path / "bad", vectors=vectors, ids=np.array(ids, np.int64), embedder="e", revision="r")
    assert not list(tmp_path.iterdir())


def test_a_query_that_does_not_fit_is_refused(stored: tuple[Path, np.ndarray, np.ndarray, str]) -> None:
    index = VectorIndex.open(stored[0])
    for queries, k in ((stored[1][:, :8], 5), (stored[1][0], 5), (stored[1][:1], 0), (stored[1][:1] * 3, 5)):
        with pytest.raises(InputError, match="index 'test' takes queries"):
            index.search(queries, k)
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match="index 'test' takes queries of length 1"):
            index.search(np.full_like(stored[1][:1], value), 5)
