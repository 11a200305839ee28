"""Neighbours and P@k against brute force; chance level against enumeration and shuffled labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.errors import InputError
from engine.metrics.retrieval import chance_level, precision_at_k
from engine.retrieval.neighbours import leave_one_out, vote
from engine.retrieval.projection import tsne


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors with many ties, labels, and patients of one to many images."""
    n, d = draw(st.integers(2, 25)), draw(st.integers(1, 3))
    rows = draw(npst.arrays(np.int8, (n, d), elements=st.integers(-2, 2))).astype(np.float64)
    rows[~rows.any(axis=1), 0] = 1
    labels = draw(npst.arrays(np.int64, n, elements=st.integers(0, 1)))
    patients = draw(npst.arrays(np.int64, n, elements=st.integers(0, draw(st.integers(0, n)))))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels, patients


def brute_force(vectors: np.ndarray, k: int, groups: np.ndarray) -> list[list[int]]:
    wide = vectors.astype(np.float64)
    found = []
    for row in range(len(vectors)):
        others = [other for other in range(len(vectors)) if groups[other] != groups[row]]
        found.append(sorted(others, key=lambda other: (-(wide[row] * wide[other]).sum(), other))[:k])
    return found


@given(collections(), st.integers(1, 30), st.booleans())
def test_leave_one_out_equals_brute_force(
    collection: tuple[np.ndarray, np.ndarray, np.ndarray], k: int, by_patient: bool
) -> None:
    vectors, _, patients = collection
    found = leave_one_out(vectors, k, groups=patients if by_patient else None)
    expected = brute_force(vectors, k, patients if by_patient else np.arange(len(vectors)))
    assert found.rows.shape == found.similarities.shape == (len(vectors), k)
    for row, similarities, others in zip(found.rows, found.similarities, expected, strict=True):
        assert row[: len(others)].tolist() == others
        assert (row[len(others) :] == -1).all()
        assert np.isnan(similarities[len(others) :]).all()


@given(collections(), st.booleans())
def test_precision_and_chance_equal_their_definitions(
    collection: tuple[np.ndarray, np.ndarray, np.ndarray], by_patient: bool
) -> None:
    vectors, labels, patients = collection
    groups = patients if by_patient else np.arange(len(labels))
    made = precision_at_k(vectors, labels, patients, rng=0, other_patients_only=by_patient, replicates=20)
    for k, interval in made.at.items():
        shares = [
            np.mean([labels[other] == labels[row] for other in others])
            for row, others in enumerate(brute_force(vectors, k, groups))
            if others
        ]
        np.testing.assert_allclose(interval.value, np.mean(shares) if shares else np.nan)
        assert interval.n == len(labels)
    candidates = [np.flatnonzero(groups != groups[row]) for row in range(len(labels))]
    shares = [np.mean(labels[others] == labels[row]) for row, others in enumerate(candidates) if len(others)]
    np.testing.assert_allclose(made.chance, np.mean(shares) if shares else np.nan)


def test_chance_is_what_neighbours_reach_when_labels_are_shuffled() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(80, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = (np.arange(80) < 25).astype(int)
    reached = [
        precision_at_k(vectors, rng.permutation(labels), np.arange(80), rng=0, ks=(5,), replicates=1).at[5].value
        for _ in range(200)
    ]
    chance = chance_level(labels, np.arange(80))
    assert chance == pytest.approx((25 * 24 + 55 * 54) / (80 * 79))
    assert abs(np.mean(reached) - chance) < 4 * np.std(reached) / np.sqrt(len(reached))


def test_intervals_resample_patients_not_images() -> None:
    rng = np.random.default_rng(2)
    centres = np.repeat(rng.normal(size=(30, 16)), 6, axis=0)
    vectors = centres + 0.01 * rng.normal(size=centres.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat(rng.integers(0, 2, 30), 6)
    patients = np.repeat(np.arange(30), 6)
    grouped = precision_at_k(vectors, labels, patients, rng=1, other_patients_only=True).at[5]
    single = precision_at_k(vectors, labels, patients, rng=1).at[5]
    assert single.value == 1.0  # the other pictures of the patient answer
    assert grouped.value < 0.8  # and nothing else does
    naive = precision_at_k(vectors, labels, np.arange(180), rng=1, other_patients_only=True).at[5]
    assert naive.value == 1.0
    assert grouped.high - grouped.low > 0.1


def test_equal_seeds_give_equal_intervals() -> None:
    rng = np.random.default_rng(0)
    vectors = np.eye(12, dtype=np.float32)[rng.integers(0, 12, 40)]
    labels, patients = rng.integers(0, 2, 40), rng.integers(0, 20, 40)
    assert precision_at_k(vectors, labels, patients, rng=3) == precision_at_k(vectors, labels, patients, rng=3)


def test_arrays_that_do_not_fit_are_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="3 vectors, 2 labels and 3 patients"):
        precision_at_k(vectors, [0, 1], [1, 2, 3], rng=0)
    with pytest.raises(InputError, match="at least two images"):
        precision_at_k(vectors[:1], [0], [1], rng=0)


def test_a_vote_counts_known_labels_alone() -> None:
    assert (vote([1, 1, 0, None]).pneumonia, vote([1, 1, 0, None]).known) == (2, 3)
    assert vote([1, 1, 0, None]).share == pytest.approx(2 / 3)
    assert np.isnan(vote([None, None]).share)


def test_maps_are_the_same_for_a_seed_and_keep_groups_together() -> None:
    rng = np.random.default_rng(4)
    vectors = np.repeat(np.eye(3, 20), 30, axis=0) + 0.05 * rng.normal(size=(90, 20))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    points = tsne(vectors, seed=0)
    np.testing.assert_array_equal(points, tsne(vectors, seed=0))
    assert (points.dtype, points.shape) == (np.float32, (90, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(90) * 1e9
    group = np.repeat(np.arange(3), 30)
    assert (group[distances.argmin(axis=1)] == group).all()
    with pytest.raises(InputError, match="at least 4 images"):
        tsne(vectors[:3], seed=0)
    assert tsne(vectors[:4], seed=0).shape == (4, 2)
