"""Predictive values against Bayes' theorem by counting, and their intervals against repeated sampling."""

import numpy as np
import pytest

from engine.metrics.prevalence import predictive_values


def test_at_their_own_prevalence_predictive_values_are_those_of_the_counts() -> None:
    found = predictive_values(380 / 600, tp=370, fn=10, fp=27, tn=193)
    assert found is not None
    assert found.ppv.value == pytest.approx(370 / 397)
    assert found.npv.value == pytest.approx(193 / 203)
    assert found.ppv.low < found.ppv.value < found.ppv.high


def test_a_rare_disease_makes_most_alarms_false() -> None:
    found = predictive_values(0.01, tp=95, fn=5, fp=10, tn=90)
    assert found is not None
    assert found.ppv.value == pytest.approx(0.95 * 0.01 / (0.95 * 0.01 + 0.1 * 0.99))
    assert found.npv.value > 0.999


def test_intervals_hold_the_truth_in_nineteen_of_twenty_samples() -> None:
    rng = np.random.default_rng(0)
    truth = 0.9 * 0.1 / (0.9 * 0.1 + 0.15 * 0.9)
    inside = 0
    for _ in range(1000):
        tp, fp = rng.binomial(200, 0.9), rng.binomial(150, 0.15)
        found = predictive_values(0.1, tp=tp, fn=200 - tp, fp=fp, tn=150 - fp)
        assert found is not None
        inside += found.ppv.low < truth < found.ppv.high
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("counts", [(5, 0, 3, 7), (5, 2, 0, 7), (5, 0, 0, 7)])
def test_no_error_among_few_films_is_no_certainty(counts: tuple[int, int, int, int]) -> None:
    found = predictive_values(0.1, **dict(zip(("tp", "fn", "fp", "tn"), counts, strict=True)))
    assert found is not None
    for interval in (found.ppv, found.npv):
        assert 0 <= interval.low < interval.high <= 1 and (interval.low > 0 or interval.high < 1)
        assert interval.low <= interval.value <= interval.high


def test_a_call_that_no_film_has_predicts_nothing_and_its_bounds_are_unknown() -> None:
    found = predictive_values(0.1, tp=0, fn=5, fp=0, tn=7)
    assert found is not None and np.isfinite([found.npv.value, found.npv.low, found.npv.high]).all()
    assert np.isnan([found.ppv.value, found.ppv.low, found.ppv.high]).all()
    other = predictive_values(0.1, tp=5, fn=0, fp=7, tn=0)
    assert other is not None and np.isnan([other.npv.value, other.npv.low, other.npv.high]).all()


def test_without_films_of_a_label_nothing_is_said() -> None:
    assert predictive_values(0.1, tp=0, fn=0, fp=3, tn=4) is None
