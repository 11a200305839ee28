"""Rank correlation within strata, against SciPy and by repeated rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from engine.metrics.association import spearman_within

SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=12)


@given(st.data())
def test_one_stratum_is_spearmans_correlation_ties_included(data: st.DataObject) -> None:
    a = data.draw(SCORES)
    b = data.draw(st.lists(st.integers(0, 6), min_size=len(a), max_size=len(a)))
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(a), max_size=len(a)))
    found = spearman_within(a, b, [0] * len(a))(np.array([times], dtype=float))[0]
    rows_a, rows_b = np.repeat(a, times), np.repeat(b, times)
    if len(set(rows_a.tolist())) < 2 or len(set(rows_b.tolist())) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(rows_a, rows_b).statistic, abs=1e-9)


def test_strata_are_ranked_apart_and_averaged_by_weight() -> None:
    a = [1, 2, 3, 10, 20, 30, 40, 50]
    b = [1, 2, 3, -1, -2, -3, -4, -5]
    statistic = spearman_within(a, b, ["low"] * 3 + ["high"] * 5)
    assert statistic(np.ones((1, 8)))[0] == pytest.approx((3 - 5) / 8)
    doubled = np.array([[2.0] * 3 + [1.0] * 5])
    assert statistic(doubled)[0] == pytest.approx((6 - 5) / 11)


def test_a_difference_between_the_classes_is_no_association_within_them() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    a, b = labels * 5 + rng.normal(size=4000), labels * 5 + rng.normal(size=4000)
    assert abs(spearman_within(a, b, labels)(np.ones((1, 4000)))[0]) < 0.05
    assert spearman_within(a, b, np.zeros(4000))(np.ones((1, 4000)))[0] > 0.7


def test_a_stratum_without_variation_is_left_out() -> None:
    statistic = spearman_within([1, 1, 1, 1, 2], [1, 2, 3, 1, 2], [0, 0, 0, 1, 1])
    assert statistic(np.ones((1, 5)))[0] == pytest.approx(1.0)
    assert np.isnan(statistic(np.array([[1.0, 1, 1, 1, 0]]))[0])
