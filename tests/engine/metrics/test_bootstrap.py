"""Patient-cluster bootstrap intervals: correct width, reproducible, unknown where undetermined, fast."""

import math
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.metrics import bootstrap
from engine.metrics.bootstrap import cluster_bootstrap, weighted_mean
from engine.metrics.classification import METRICS, Sample


def test_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(1).normal(size=400)
    interval = cluster_bootstrap(weighted_mean(values), np.arange(400), seed=2, replicates=4000)
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert interval.n == 400


def test_95_percent_intervals_cover_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(60), 3)
    covered = 0
    for seed in range(200):
        values = np.repeat(rng.normal(size=60), 3) + 0.3 * rng.normal(size=180)
        interval = cluster_bootstrap(weighted_mean(values), patients, seed=seed, replicates=400)
        covered += interval.low <= 0 <= interval.high
    assert 180 <= covered <= 198  # sd of the count is 3; ignoring the patients would cover about 75 %


def test_repeating_every_patients_rows_widens_nothing_and_narrows_nothing() -> None:
    values = np.random.default_rng(4).random(50)
    once = cluster_bootstrap(weighted_mean(values), np.arange(50), seed=5)
    thrice = cluster_bootstrap(weighted_mean(np.repeat(values, 3)), np.repeat(np.arange(50), 3), seed=5)
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))
    naive = cluster_bootstrap(weighted_mean(np.repeat(values, 3)), np.arange(150), seed=5)
    assert naive.high - naive.low < 0.7 * (thrice.high - thrice.low)


def test_one_seed_gives_one_interval_whatever_the_names_of_the_patients() -> None:
    values = np.random.default_rng(6).random(30)
    numbers = np.arange(30)
    letters = np.array([f"person{number:03d}_virus" for number in numbers])
    first = cluster_bootstrap(weighted_mean(values), numbers, seed=7)
    assert first == cluster_bootstrap(weighted_mean(values), letters, seed=7)
    assert first != cluster_bootstrap(weighted_mean(values), numbers, seed=8)


def test_draws_that_are_kept_are_those_that_are_drawn_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values, patients = np.random.default_rng(9).random(3000), np.arange(3000) // 2
    kept = cluster_bootstrap(weighted_mean(values), patients, seed=4)
    monkeypatch.setattr(bootstrap, "KEPT_DRAWS", 0)
    assert cluster_bootstrap(weighted_mean(values), patients, seed=4) == kept


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.integers(0, 1000))
def test_interval_stays_within_the_range_of_the_values(values: list[float], seed: int) -> None:
    interval = cluster_bootstrap(weighted_mean(values), np.arange(len(values)), seed=seed, replicates=50)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_replicates_of_one_class_are_left_out_and_counted() -> None:
    sample = Sample.of([1, 1, 1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.3, 0.5, 0.2, 0.1], threshold=0.5)
    interval = cluster_bootstrap(partial(METRICS["auc"], sample), np.arange(8), seed=0, replicates=2000)
    expected = 2000 * ((3 / 8) ** 8 + (5 / 8) ** 8)
    assert interval.undefined == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert 0 <= interval.low < interval.value < interval.high <= 1


def test_where_too_many_replicates_are_undefined_the_interval_is_unknown_but_the_value_is_not() -> None:
    sample = Sample.of([1, 0], [0.9, 0.1], threshold=0.5)
    interval = cluster_bootstrap(partial(METRICS["auc"], sample), ["a", "b"], seed=0)
    assert interval.value == 1
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.undefined == pytest.approx(500, abs=70)


def test_one_patient_has_no_interval() -> None:
    interval = cluster_bootstrap(weighted_mean([0.2, 0.4]), ["a", "a"], seed=0)
    assert interval.value == pytest.approx(0.3)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_unknown_values_are_left_out_of_a_mean() -> None:
    assert cluster_bootstrap(weighted_mean([1.0, np.nan, 3.0]), [1, 2, 3], seed=0).value == 2
    assert math.isnan(cluster_bootstrap(weighted_mean([np.nan, np.nan]), [1, 2], seed=0).value)


def test_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match="at least one row"):
        cluster_bootstrap(weighted_mean([]), [], seed=0)


def test_all_metrics_of_624_images_take_under_three_seconds() -> None:
    rng = np.random.default_rng(9)
    labels = (rng.random(624) < 0.625).astype(int)
    sample = Sample.of(labels, np.clip(0.3 + 0.4 * labels + 0.2 * rng.normal(size=624), 0, 1), threshold=0.5)
    patients = rng.integers(0, 400, size=624)
    began = time.perf_counter()
    for metric in METRICS.values():
        cluster_bootstrap(partial(metric, sample), patients, seed=0)
    assert time.perf_counter() - began < 3
