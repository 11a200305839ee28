"""Neighbours and rankings against brute force and scikit-learn; chance level against shuffled labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as sklearn

from engine.errors import InputError
from engine.metrics.bootstrap import Interval
from engine.metrics.retrieval import KS, Collection, measured, ranked, text_precision, vote_by_chance
from engine.retrieval.embedders import unit
from engine.retrieval.map.projection import tsne
from engine.retrieval.neighbours import vote


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


def of(vectors: np.ndarray, labels: np.ndarray, patients: np.ndarray, causes: np.ndarray | None = None) -> Collection:
    return Collection.of(vectors, labels, patients, causes)


def values(queries: Collection, *, other_patients: bool = False) -> dict[tuple[str, str], Interval]:
    found = measured(queries, other_patients=other_patients, seed=0, replicates=20)
    return {(one.name, one.slice): one.interval for one in found}


@given(collections(), st.booleans())
def test_every_value_of_a_ranking_equals_its_definition(
    collection: tuple[np.ndarray, np.ndarray, np.ndarray], by_patient: bool
) -> None:
    vectors, labels, patients = collection
    groups = patients if by_patient else np.arange(len(labels))
    made = ranked(of(vectors, labels, patients), other_patients=by_patient)
    orders = brute_force(vectors, len(labels), groups)
    for row, order in enumerate(orders):
        same = np.array([labels[other] == labels[row] for other in order], dtype=float)
        if not order:
            assert np.isnan([made.vote[row], made.chance[row], made.precision[1][row]]).all()
            continue
        for k in KS:
            assert made.precision[k][row] == pytest.approx(same[:k].mean())
        assert made.chance[row] == pytest.approx(same.mean())
        if len(order) > 10:
            assert made.vote[row] == pytest.approx(labels[order[:10]].mean())
        else:
            assert np.isnan(made.vote[row]), "all vote, whatever the query"
        if same.any():
            at = np.flatnonzero(same)
            assert made.average_precision[row] == pytest.approx(np.mean([same[: i + 1].mean() for i in at]))
            assert made.r_precision[row] == pytest.approx(same[: len(at)].mean())


@given(collections(), collections())
def test_hits_from_another_collection_are_ranked_the_same_way(
    asked: tuple[np.ndarray, np.ndarray, np.ndarray], held: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    if asked[0].shape[1] != held[0].shape[1]:
        return
    made = ranked(of(*asked), of(*held))
    near = asked[0].astype(float) @ held[0].astype(float).T
    for row, label in enumerate(asked[1]):
        order = sorted(range(len(held[1])), key=lambda other: (-round(near[row, other], 12), other))
        assert made.precision[3][row] == pytest.approx(np.mean(held[1][order[:3]] == label))
        assert made.chance[row] == pytest.approx(np.mean(held[1] == label))


def test_average_precision_and_the_votes_area_are_scikit_learns() -> None:
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, 120)
    rows = rng.normal(size=(120, 6)) + 0.8 * labels[:, None]
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    causes = np.where(labels == 1, rng.choice(["viral", "bacterial"], 120), "")
    queries = of(vectors, labels, np.arange(120), causes)
    near = vectors.astype(float) @ vectors.astype(float).T
    others = [np.delete(np.arange(120), row) for row in range(120)]
    expected = [
        sklearn.average_precision_score(labels[other] == labels[row], near[row, other])
        for row, other in enumerate(others)
    ]
    found = values(queries)
    assert found["map", "all"].value == pytest.approx(np.mean(expected))
    assert found["map", "normal"].value == pytest.approx(np.mean(np.array(expected)[labels == 0]))
    assert found["map", "viral"].value == pytest.approx(np.mean(np.array(expected)[causes == "viral"]))
    votes = ranked(queries).vote
    assert found["vote_auc", "all"].value == pytest.approx(sklearn.roc_auc_score(labels, votes))
    told = (labels == 0) | (causes == "viral")
    assert found["vote_auc", "viral"].value == pytest.approx(sklearn.roc_auc_score(labels[told], votes[told]))
    assert ("vote_auc", "normal") not in found
    assert found["p_at_5", "pneumonia"].n == labels.sum()


def test_chance_is_what_neighbours_reach_when_labels_are_shuffled() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(80, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = (np.arange(80) < 25).astype(int)
    reached = [
        np.mean(ranked(of(vectors, rng.permutation(labels), np.arange(80)), ks=(5,)).precision[5]) for _ in range(200)
    ]
    chance = values(of(vectors, labels, np.arange(80)))["chance", "all"].value
    assert chance == pytest.approx((25 * 24 + 55 * 54) / (80 * 79))
    assert abs(np.mean(reached) - chance) < 4 * np.std(reached) / np.sqrt(len(reached))


def test_intervals_resample_patients_not_images() -> None:
    rng = np.random.default_rng(2)
    centres = np.repeat(rng.normal(size=(30, 16)), 6, axis=0)
    vectors = centres + 0.01 * rng.normal(size=centres.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat(rng.integers(0, 2, 30), 6)
    patients = np.repeat(np.arange(30), 6)
    grouped = values(of(vectors, labels, patients), other_patients=True)["p_at_5", "all"]
    assert values(of(vectors, labels, patients))["p_at_5", "all"].value == 1.0  # the patient's other pictures answer
    assert grouped.value < 0.8  # and nothing else does
    assert values(of(vectors, labels, np.arange(180)), other_patients=True)["p_at_5", "all"].value == 1.0
    assert grouped.high - grouped.low > 0.1


def test_equal_seeds_give_equal_values() -> None:
    rng = np.random.default_rng(0)
    vectors = np.eye(12, dtype=np.float32)[rng.integers(0, 12, 40)]
    queries = of(vectors, rng.integers(0, 2, 40), rng.integers(0, 20, 40))
    assert values(queries) == values(queries)


def test_arrays_that_do_not_fit_are_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="3 vectors, 2 labels and 3 patients"):
        of(vectors, np.array([0, 1]), np.array([1, 2, 3]))
    with pytest.raises(InputError, match="at least two images"):
        ranked(of(vectors[:1], np.array([0]), np.array([1])))


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
    assert points.dtype == np.float32 and points.shape == (90, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(90) * 1e9
    group = np.repeat(np.arange(3), 30)
    assert (group[distances.argmin(axis=1)] == group).all()
    with pytest.raises(InputError, match="at least 4 images"):
        tsne(vectors[:3], seed=0)
    assert tsne(vectors[:4], seed=0).shape == (4, 2)


def test_text_precision_is_the_share_of_answers_among_the_nearest_by_kind_of_query() -> None:
    rng = np.random.default_rng(4)
    vectors, queries = (unit(rng.normal(size=(count, 5))) for count in (30, 6))
    answering = rng.random((6, 30)) < 0.3
    kinds = ["zone", "zone", "cause", "zone", "cause", "normal"]
    found = {(one.name, one.slice): one.interval for one in text_precision(vectors, queries, answering, kinds, seed=0)}
    for where in ("all", "zone", "cause", "normal"):
        rows = [row for row, kind in enumerate(kinds) if where in ("all", kind)]
        for k in (1, 10):
            expected = np.mean([answering[row][np.argsort(-(vectors @ queries[row]))[:k]].mean() for row in rows])
            assert found[f"text_p_at_{k}", where].value == pytest.approx(expected)
            assert found[f"text_p_at_{k}", where].n == len(rows)
        assert found["text_chance", where].value == pytest.approx(answering[rows].mean())
    assert found["text_p_at_10", "all"].low < found["text_p_at_10", "all"].value < found["text_p_at_10", "all"].high
    with pytest.raises(InputError, match="got 6 queries, 30 images"):
        next(text_precision(vectors, queries, answering[:, :5], kinds, seed=0))


def test_a_vote_of_random_hits_is_below_one_half_where_queries_are_left_out_of_their_own() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    own, rows = [], np.arange(40)
    for _ in range(60):
        queries = of(unit(rng.normal(size=(40, 30))), labels, rows)
        own.append(sklearn.roc_auc_score(labels, ranked(queries).vote))
    among = vote_by_chance(labels, ranked(queries), rows, seed=0)
    assert among.low < np.mean(own) < 0.5 and among.value == pytest.approx(np.mean(own), abs=0.03)
    base = of(unit(rng.normal(size=(90, 30))), np.repeat([0, 1, 1], 30), np.arange(90))
    assert vote_by_chance(labels, ranked(queries, base), rows, seed=0).value == pytest.approx(0.5, abs=0.03)
