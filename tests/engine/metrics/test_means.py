"""Means of few patients against scipy's t test, and their intervals against repeated sampling."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from engine.metrics.bootstrap import cluster_bootstrap, weighted_mean
from engine.metrics.means import FEW, mean_over_patients


def test_with_one_image_for_each_of_few_patients_it_is_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 16)
    found, expected = mean_over_patients([*values, np.nan], np.arange(17), seed=0), ttest_1samp(values, 0)
    low, high = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(expected.pvalue) and found.interval.n == 16


def test_copies_of_a_patients_image_add_no_certainty() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 10)
    once = mean_over_patients(values, np.arange(10), seed=0)
    thrice = mean_over_patients(np.repeat(values, 3), np.repeat(np.arange(10), 3), seed=0)
    assert thrice.p_value == pytest.approx(once.p_value)
    assert (thrice.interval.low, thrice.interval.high) == pytest.approx((once.interval.low, once.interval.high))


@pytest.mark.parametrize("patients", [5, 16])
def test_intervals_of_few_patients_hold_the_mean_in_nineteen_of_twenty_samples(patients: int) -> None:
    draw = np.random.default_rng(2)
    inside = 0
    for _ in range(1000):
        found = mean_over_patients(draw.normal(0.2, 1, patients), np.arange(patients), seed=0).interval
        inside += found.low < 0.2 < found.high
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)


def test_many_patients_are_resampled_and_equal_values_have_no_p_value() -> None:
    values, keys = np.random.default_rng(3).normal(0.5, 1, FEW), np.arange(FEW)
    found = mean_over_patients(values, keys, seed=0, replicates=200)
    assert found.interval == cluster_bootstrap(weighted_mean(values), keys, seed=0, replicates=200)
    assert found.p_value < 0.05
    alike = mean_over_patients([1.0] * 8, np.arange(8), seed=0)
    assert np.isnan(alike.p_value) and alike.interval.low < alike.interval.high == 1.0
    alone = mean_over_patients([0.2, 0.4], ["one", "one"], seed=0)
    assert np.isnan(alone.p_value) and np.isnan(alone.interval.low)
