"""Are risk-coverage curves, their areas and the figures at a coverage those of counting by hand, ties included?"""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics.bootstrap import cluster_bootstrap
from engine.metrics.classification import METRICS, Sample, measure
from engine.metrics.evaluation import Measured
from engine.metrics.names import COVERAGES, SELECTIVE_LEAST
from engine.metrics.selective import aurc, confidence, excess_aurc, risk_coverage, selective

FEW = [0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.9, 1.0]
"""Probabilities that tie with each other, on both sides of a threshold as well."""
ROWS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(FEW), st.integers(0, 3)), min_size=1, max_size=25)
THRESHOLDS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0])


def made(rows: list[tuple[int, float, int]], threshold: float) -> tuple[Sample, np.ndarray]:
    labels, scores, weights = (list(column) for column in zip(*rows, strict=True))
    return Sample.of(labels, scores, threshold=threshold), np.array([weights], dtype=float)


def repeated(sample: Sample, weights: np.ndarray) -> Sample:
    """Each row as often as it weighs."""
    often = weights[0].astype(int)
    return Sample(np.repeat(sample.labels, often), np.repeat(sample.probabilities, often), sample.threshold)


def distance(p: float, t: float) -> float:
    """By odds, of which neither is 0 or infinite unless p or t is 0 or 1."""
    if p == t:
        return 0.0
    if {p, t} & {0.0, 1.0}:
        return math.inf
    return round(abs(math.log(p * (1 - t) / ((1 - p) * t))), 9)


def by_hand(sample: Sample) -> list[tuple[float, bool]]:
    """Confidence and whether the call is wrong, of each row."""
    pairs = zip(sample.labels, sample.probabilities, strict=True)
    return [(distance(p, sample.threshold), (p >= sample.threshold) != bool(label)) for label, p in pairs]


@settings(max_examples=200)
@given(ROWS, THRESHOLDS)
def test_curve_and_area_are_those_of_counting_every_image_at_least_as_confident(
    rows: list[tuple[int, float, int]], threshold: float
) -> None:
    sample, weights = made(rows, threshold)
    whole = repeated(sample, weights)
    if not len(whole.labels):
        assert np.isnan(aurc(sample, weights)).all() and np.isnan(excess_aurc(sample, weights)).all()
        return
    judged = by_hand(whole)
    risks = []
    for at, _ in judged:
        called = [wrong for other, wrong in judged if other >= at]
        risks.append(sum(called) / len(called))
    assert aurc(sample, weights)[0] == pytest.approx(np.mean(risks))
    curve = risk_coverage(whole)
    levels = sorted({at for at, _ in judged}, reverse=True)
    parts = [[wrong for other, wrong in judged if other >= at] for at in levels]
    assert curve.coverage == pytest.approx([len(part) / len(judged) for part in parts])
    assert curve.risk == pytest.approx([sum(part) / len(part) for part in parts])
    assert curve.confidence == pytest.approx(levels)


@settings(max_examples=200)
@given(ROWS, THRESHOLDS)
def test_excess_is_over_the_best_order_of_the_same_calls(rows: list[tuple[int, float, int]], threshold: float) -> None:
    sample, weights = made(rows, threshold)
    whole = repeated(sample, weights)
    if not len(whole.labels):
        return
    wrong = sorted(wrong for _, wrong in by_hand(whole))
    best = np.mean([sum(wrong[:number]) / number for number in range(1, len(wrong) + 1)])
    assert excess_aurc(sample, weights)[0] == pytest.approx(aurc(sample, weights)[0] - best, abs=1e-9)
    assert excess_aurc(sample, weights)[0] >= 0


@settings(max_examples=150, deadline=None)
@given(ROWS, THRESHOLDS, st.integers(1, 4))
def test_figures_at_a_coverage_are_those_of_the_fewest_most_confident_images_that_cover_it(
    rows: list[tuple[int, float, int]], threshold: float, times: int
) -> None:
    sample, _ = made(rows * times, threshold)
    found = {
        (one.name, one.step): one.interval
        for one in selective(sample, np.arange(len(sample.labels)), seed=0, replicates=5)
    }
    judged = by_hand(sample)
    for percent in range(1, 101):
        for at in sorted({at for at, _ in judged}, reverse=True):
            rows_called = np.array([other >= at for other, _ in judged])
            if 100 * rows_called.sum() >= percent * len(judged):
                break
        right = np.array([not wrong for _, wrong in judged])
        for name, part in {
            "selective_accuracy": rows_called,
            "selective_recall": rows_called & (sample.labels == 1),
            "selective_specificity": rows_called & (sample.labels == 0),
        }.items():
            interval = found[name, percent]
            assert interval.n == part.sum()
            if interval.n < SELECTIVE_LEAST:
                assert math.isnan(interval.value) and math.isnan(interval.low)
            else:
                assert interval.value == pytest.approx(right[part].mean())
        if percent in COVERAGES:
            low, high = (found[name, percent].value for name in ("referred_low", "referred_high"))
            within = (sample.probabilities >= low) & ((sample.probabilities < high) | (high == 1.0))
            assert within.tolist() == (~rows_called).tolist()
            assert found["referred_low", percent].n == (~rows_called).sum()
            assert math.isnan(low) == rows_called.all()


def test_confidence_means_the_same_on_both_sides_of_any_threshold() -> None:
    for threshold in (0.05, 0.3, 0.5, 0.9):
        odds = threshold / (1 - threshold)
        for times in (1.5, 4.0, 1000.0):
            pair = [odds * times / (1 + odds * times), odds / times / (1 + odds / times)]
            one, other = confidence(pair, threshold)
            assert one == other == pytest.approx(math.log(times))
    p = np.linspace(0, 1, 101)
    assert (np.diff(confidence(p, 0.3)[p >= 0.3]) > 0).all() and (np.diff(confidence(p, 0.3)[p <= 0.3]) < 0).all()
    larger = np.maximum(p, 1 - p)
    assert (np.argsort(confidence(p, 0.5), kind="stable") == np.argsort(larger.round(12), kind="stable")).all()
    assert confidence([0.4, 0.6, 0.5, 0.0, 1.0], 0.5).tolist() == [
        *[confidence([0.4], 0.5)[0]] * 2,
        0.0,
        np.inf,
        np.inf,
    ]


def test_temperature_does_not_change_who_is_referred() -> None:
    logits = np.random.default_rng(0).normal(size=200) * 3
    hot, cold = (1 / (1 + np.exp(-logits / t)) for t in (1.0, 2.5))
    at = 0.8
    threshold = 1 / (1 + np.exp(-at / 2.5))
    one, other = confidence(hot, 1 / (1 + np.exp(-at))), confidence(cold, threshold)
    assert np.argsort(one).tolist() == np.argsort(other).tolist()


def drawn(rows: int, *, seed: int = 0) -> tuple[Sample, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.6).astype(int)
    scores = 1 / (1 + np.exp(-(3 * (labels - 0.4) + 1.5 * rng.normal(size=rows))))
    return Sample.of(labels, scores, threshold=0.4), rng.integers(0, rows // 2, rows).astype(str)


def named(found: list[Measured]) -> dict[tuple[str, int], Measured]:
    assert len({(one.name, one.step) for one in found}) == len(found)
    return {(one.name, one.step): one for one in found}


def test_at_full_coverage_everything_is_as_measured_without_referral_and_intervals_draw_patients() -> None:
    sample, patients = drawn(300)
    found = named(selective(sample, patients, seed=3, replicates=300))
    for name in ("accuracy", "recall", "specificity"):
        whole = cluster_bootstrap(partial(METRICS[name], sample), patients, seed=3, replicates=300)
        interval = found[f"selective_{name}", 100].interval
        assert (interval.value, interval.low, interval.high) == pytest.approx((whole.value, whole.low, whole.high))
    for name, metric in {"aurc": aurc, "e_aurc": excess_aurc}.items():
        whole = cluster_bootstrap(partial(metric, sample), patients, seed=3, replicates=300)
        assert found[name, -1].interval == whole
        assert whole.low < whole.value < whole.high
    accuracy = found["selective_accuracy", 70].interval
    assert accuracy.low < accuracy.value < accuracy.high and accuracy.n == 210
    assert accuracy.value > measure(sample)["accuracy"]


def test_a_random_order_has_the_error_rate_for_area_and_one_confidence_for_all_exactly_that() -> None:
    rng = np.random.default_rng(1)
    labels, calls = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    scores = np.where(calls == 1, rng.uniform(0.5, 1, 4000), rng.uniform(0, 0.5, 4000))
    sample, ones = Sample.of(labels, scores, threshold=0.5), np.ones((1, 4000))
    assert aurc(sample, ones)[0] == pytest.approx(np.mean(labels != calls), abs=0.03)
    tied = Sample.of(labels, calls, threshold=0.5)
    assert aurc(tied, ones)[0] == pytest.approx(np.mean(labels != calls))
    found = named(selective(tied, np.arange(4000), seed=0, replicates=20))
    for percent in COVERAGES:
        assert found["selective_accuracy", percent].interval.n == 4000
        assert math.isnan(found["referred_low", percent].interval.value)


def test_of_one_class_the_other_has_no_value_and_without_an_error_the_areas_have_no_interval() -> None:
    sample = Sample.of([0] * 30, np.linspace(0.01, 0.4, 30), threshold=0.5)
    found = named(selective(sample, np.arange(30), seed=0, replicates=50))
    assert math.isnan(found["selective_recall", 90].interval.value) and found["selective_recall", 90].interval.n == 0
    accuracy = found["selective_accuracy", 90].interval
    assert accuracy.value == accuracy.high == 1.0 and 0.8 < accuracy.low < 1.0
    assert found["aurc", -1].interval.value == 0.0 and math.isnan(found["aurc", -1].interval.low)


def test_few_images_are_not_measured_and_one_patient_has_no_interval() -> None:
    few = named(selective(Sample.of([0, 1], [0.1, 0.9], threshold=0.5), ["a", "b"], seed=0))
    assert all(math.isnan(one.interval.value) for one in few.values() if not one.name.startswith("referred"))
    assert selective(Sample.of([], [], threshold=0.5), [], seed=0) == []
    sample, _ = drawn(60)
    alone = named(selective(sample, ["a"] * 60, seed=0))
    assert alone["selective_accuracy", 90].interval.value > 0.5
    assert math.isnan(alone["selective_accuracy", 90].interval.low)
