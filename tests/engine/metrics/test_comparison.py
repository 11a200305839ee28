import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from engine.errors import InputError
from engine.metrics.classification import Sample
from engine.metrics.comparison import changed_sides, delong, mcnemar, paired_differences

RNG = np.random.default_rng(0)
LABELS = np.tile([0, 1, 1, 0, 1], 16)
FIRST = LABELS * 0.8 + RNG.normal(size=80)
SECOND = LABELS * 0.5 + RNG.normal(size=80) + 0.3 * FIRST


def placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The structural components as DeLong et al. (1988) define them, pair by pair."""
    above, below = scores[labels == 1], scores[labels == 0]
    psi = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    return psi.mean(1), psi.mean(0)


@settings(max_examples=60)
@given(st.data())
def test_delong_by_midranks_equals_the_definition_pair_by_pair_ties_included(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 25))
    labels = np.array([0, 0, 1, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n - 4, max_size=n - 4))])
    first, second = (
        np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)), dtype=float) for _ in range(2)
    )
    found = delong(labels, first, second)
    (x10, x01), (y10, y01) = placements(labels, first), placements(labels, second)
    m, k = len(x10), len(x01)
    variance = np.var(x10 - y10, ddof=1) / m + np.var(x01 - y01, ddof=1) / k
    assert found.first == pytest.approx(roc_auc_score(labels, first))
    assert found.second == pytest.approx(roc_auc_score(labels, second))
    assert found.error == pytest.approx(np.sqrt(variance), abs=1e-9)


def test_delongs_error_is_that_of_the_bootstrap_for_independent_images() -> None:
    found = delong(LABELS, FIRST, SECOND)
    draws = []
    for _ in range(1000):
        rows = RNG.integers(len(LABELS), size=len(LABELS))
        if 0 < LABELS[rows].sum() < len(rows):
            draws.append(roc_auc_score(LABELS[rows], FIRST[rows]) - roc_auc_score(LABELS[rows], SECOND[rows]))
    assert found.error == pytest.approx(np.std(draws), rel=0.1)
    assert found.low < found.difference < found.high


def test_equal_scores_do_not_differ() -> None:
    found = delong(LABELS, FIRST, FIRST * 3 + 1)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_mcnemar_agrees_with_agrestis_approval_ratings() -> None:
    """Agresti, Categorical Data Analysis, table 10.1: 150 and 86 discordant pairs; z^2 without correction is 17.36."""
    first = np.repeat([True, False], [150, 86])
    found = mcnemar(first, ~first)
    assert (found.first_only, found.second_only) == (150, 86)
    assert pytest.approx(17.36, abs=0.01) == (150 - 86) ** 2 / (150 + 86)
    assert found.statistic == pytest.approx((abs(150 - 86) - 1) ** 2 / (150 + 86))
    assert found.p_exact < 1e-4 and found.p_corrected < 1e-4


def test_the_exact_test_counts_binomial_tails() -> None:
    first = np.array([True] * 7 + [False])
    assert mcnemar(first, ~first).p_exact == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(first, first).p_exact == 1.0


def test_paired_intervals_hold_the_difference_and_shrink_to_nothing_for_equal_samples() -> None:
    one, other = (Sample.of(LABELS, 1 / (1 + np.exp(-s)), threshold=0.5) for s in (FIRST, SECOND))
    patients = np.arange(80) // 2
    found = paired_differences(one, other, patients, seed=0, replicates=200)
    assert found["auc"].value == pytest.approx(roc_auc_score(LABELS, FIRST) - roc_auc_score(LABELS, SECOND))
    assert all(i.low <= i.value <= i.high for i in found.values())
    same = paired_differences(one, one, patients, seed=0, replicates=200)
    assert all((i.value, i.low, i.high) == (0, 0, 0) for i in same.values())


def test_of_equally_good_classifiers_a_winner_is_rarely_named_however_many_metrics_are_asked() -> None:
    scores = 1 / (1 + np.exp(-np.stack([FIRST, SECOND])))
    scores = np.sort(scores[0])[
        scores.argsort(axis=1).argsort(axis=1)
    ]  # of one scale, so that one threshold suits both
    named = corrected = 0
    for seed in range(60):
        swapped = np.random.default_rng(seed).random(80) < 0.5
        one, other = (Sample.of(LABELS, np.where(swapped, *pair), threshold=0.5) for pair in (scores, scores[::-1]))
        found = paired_differences(one, other, np.arange(80), seed=seed, replicates=600)
        named += any(one.low > 0 or one.high < 0 for one in found.values())
        corrected += any(one.told_apart for name, one in found.items() if name != "auc")
    assert named > 6 and corrected <= 6


def test_a_difference_that_is_there_is_told_apart_and_its_p_agrees_with_the_interval() -> None:
    noise = np.random.default_rng(5).normal(size=(2, 80))
    good, useless = noise[0] + LABELS * 4 - 2, noise[1]
    one, other = (Sample.of(LABELS, 1 / (1 + np.exp(-scores)), threshold=0.5) for scores in (good, useless))
    found = paired_differences(one, other, np.arange(80), seed=0, replicates=1000)
    assert found["auc"].told_apart and found["auc"].low > 0 and found["accuracy"].told_apart
    same = paired_differences(one, one, np.arange(80), seed=0, replicates=200)
    assert {row.p for row in same.values()} == {1.0} and not any(row.told_apart for row in same.values())
    alone = paired_differences(one, other, np.zeros(80), seed=0, replicates=200)
    assert all(np.isnan(row.p) and not row.told_apart for row in alone.values())


def test_images_change_sides_against_each_classifiers_own_threshold() -> None:
    one = Sample.of([0, 1, 1, 0], [0.2, 0.9, 0.6, 0.4], threshold=0.5)
    other = Sample.of([0, 1, 1, 0], [0.2, 0.1, 0.6, 0.4], threshold=0.3)
    assert changed_sides(one, other).tolist() == [1, 3]


def test_images_whose_probabilities_moved_furthest_come_first_however_far_the_thresholds_are_apart() -> None:
    one = Sample.of([0, 1, 1, 0, 1], [0.52, 0.30, 0.95, 0.30, 0.1], threshold=0.5)
    other = Sample.of([0, 1, 1, 0, 1], [0.10, 0.90, 0.02, 0.90, 0.1], threshold=0.15)
    assert changed_sides(one, other).tolist() == [2, 1, 3, 0]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="two images of each class"):
        delong([0, 1, 1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="one length"):
        mcnemar([True], [True, False])
    with pytest.raises(InputError, match="same images"):
        paired_differences(
            Sample.of([0, 1], [0, 1], threshold=0.5), Sample.of([1, 0], [0, 1], threshold=0.5), [1, 2], seed=0
        )
