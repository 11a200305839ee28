"""Proportions from a confusion matrix against scikit-learn, their intervals against scipy."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from engine.metrics.bootstrap import cluster_bootstrap, weighted_mean
from engine.metrics.proportions import of_confusion, share, wilson


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_intervals_are_scipys(counts: tuple[int, int]) -> None:
    successes, n = counts
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(*(st.integers(1, 60) for _ in range(4)))
def test_shares_are_those_of_scikit_learn(tp: int, fn: int, fp: int, tn: int) -> None:
    labels = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    calls = np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])
    found = of_confusion(tp=tp, fn=fn, fp=fp, tn=tn)
    expected = {
        "recall": recall_score(labels, calls),
        "specificity": recall_score(1 - labels, 1 - calls),
        "precision": precision_score(labels, calls),
        "accuracy": accuracy_score(labels, calls),
        "f1": f1_score(labels, calls),
    }
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(expected)
    assert all(interval.low <= interval.value <= interval.high for interval in found.values())


def test_f1_has_the_interval_of_the_overlap_that_it_is_made_of() -> None:
    low, high = wilson(30 / 50, 50)
    found = of_confusion(tp=30, fn=15, fp=5, tn=1000)["f1"]
    assert (found.low, found.high, found.n) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high), 50))


def test_what_nothing_was_counted_of_is_unknown() -> None:
    found = of_confusion(tp=3, fn=1, fp=0, tn=0)
    assert isnan(found["specificity"].value) and isnan(found["specificity"].low)
    assert isnan(found["precision"].value) and isnan(found["f1"].value)  # of one label: how many there are, no more
    assert isnan(of_confusion(tp=0, fn=0, fp=17, tn=35)["precision"].value)
    assert found["recall"].value == 0.75


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_that_is_0_or_1_is_not_known_for_certain(value: float) -> None:
    found = share([value] * 6 + [np.nan], ["a", "a", "b", "b", "c", "c", "d"], seed=0)
    assert (found.value, found.n) == (value, 6)
    assert (found.low, found.high) == wilson(value, 3)


def test_any_other_share_has_the_interval_of_resampling() -> None:
    values, patients = [0.0, 1.0, 1.0, 0.5, np.nan], list("abcde")
    found, plain = share(values, patients, seed=3), cluster_bootstrap(weighted_mean(values), patients, seed=3)
    assert (found.value, found.low, found.high, found.n) == (plain.value, plain.low, plain.high, 4)
    assert isnan(share([np.nan, np.nan], ["a", "b"], seed=0).value)
