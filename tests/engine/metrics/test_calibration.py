"""Recalibration against scikit-learn, its intervals against repeated sampling; the calibration error by chance."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from engine.metrics.calibration import ece_by_chance, recalibration
from engine.metrics.classification import Sample, measure


def drawn(n: int, *, intercept: float = 0.0, slope: float = 1.0, seed: int = 0) -> tuple[Sample, np.ndarray]:
    """Labels whose log odds are intercept + slope * logit(probability), and the logits."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, size=n)
    return Sample.of(rng.random(n) < expit(intercept + slope * odds), expit(odds), threshold=0.5), odds


def test_the_slope_is_scikit_learns_and_the_intercept_makes_the_mean_right() -> None:
    sample, odds = drawn(3000, intercept=0.8, slope=0.6)
    found = recalibration(sample, np.arange(3000))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], sample.labels)
    assert found["calibration_slope"].value == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
    moved = expit(odds + found["calibration_intercept"].value)
    assert moved.mean() == pytest.approx(sample.labels.mean(), abs=1e-9)


def test_what_is_calibrated_has_intercept_0_and_slope_1_in_nineteen_of_twenty_samples() -> None:
    inside = [
        (found["calibration_intercept"].low < 0 < found["calibration_intercept"].high)
        + (found["calibration_slope"].low < 1 < found["calibration_slope"].high)
        for seed in range(150)
        for found in [recalibration(drawn(600, seed=seed)[0], np.arange(600))]
    ]
    assert sum(inside) / 300 == pytest.approx(0.95, abs=0.03)


def test_copies_of_a_patients_film_add_no_certainty() -> None:
    sample, _ = drawn(300)
    thrice = Sample(np.repeat(sample.labels, 3), np.repeat(sample.probabilities, 3), 0.5)
    once = recalibration(sample, np.arange(300))["calibration_slope"]
    again = recalibration(thrice, np.repeat(np.arange(300), 3))["calibration_slope"]
    assert (again.low, again.high) == pytest.approx((once.low, once.high), abs=1e-9)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 1]])
def test_no_slope_fits_one_class_alone_or_classes_told_apart_without_an_error(labels: list[int]) -> None:
    found = recalibration(Sample.of(labels, [0.1, 0.4, 0.9], threshold=0.5), np.arange(3))
    assert np.isnan(found["calibration_slope"].value)


def test_probabilities_that_are_far_off_still_have_an_intercept() -> None:
    found = recalibration(Sample.of([0, 1] * 50, [1e-12] * 100, threshold=0.5), np.arange(100))
    assert found["calibration_intercept"].value == pytest.approx(-np.log(1e-12), rel=0.01)


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_a_probability_rounded_to_0_or_1_leaves_the_recalibration_undefined(bound: float) -> None:
    sample, _ = drawn(300)
    rounded = np.where(np.arange(300) == 7, bound, sample.probabilities)
    found = recalibration(Sample(sample.labels, rounded, 0.5), np.arange(300))
    for one in found.values():
        assert np.isnan([one.value, one.low, one.high]).all() and one.n == 300


def test_the_calibration_error_of_right_probabilities_is_that_of_chance() -> None:
    errors = [measure(drawn(400, seed=seed)[0])["ece"] for seed in range(60)]
    chance = ece_by_chance(drawn(400, seed=99)[0], seed=0)
    assert np.mean(errors) == pytest.approx(chance.value, rel=0.1)
    assert np.mean([chance.low <= error <= chance.high for error in errors]) > 0.85
    assert measure(drawn(400, intercept=2.0)[0])["ece"] > chance.high
