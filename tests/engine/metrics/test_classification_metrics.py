"""Classification metrics against scikit-learn, brute force and their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from engine.errors import InputError
from engine.metrics.classification import (
    CONFUSION,
    METRICS,
    Sample,
    auc,
    measure,
    recall_threshold,
    reliability,
    roc_curve,
    youden_threshold,
)

# Few distinct scores, so that ties are common, and any float, so that rounding is met too.
SCORE = st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, allow_subnormal=False))
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORE), min_size=1, max_size=40)
BOTH = ROWS.filter(lambda rows: {label for label, _ in rows} == {0, 1})


def split(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def close(ours: float, theirs: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


@given(BOTH, st.floats(0, 1))
def test_every_metric_agrees_with_scikit_learn(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = split(rows)
    ours = measure(Sample.of(labels, scores, threshold=threshold))
    called = scores >= threshold
    tn, fp, fn, tp = sklearn.confusion_matrix(labels, called, labels=[0, 1]).ravel()
    assert [ours[f"confusion_{cell}"] for cell in ("tp", "fp", "tn", "fn")] == [tp, fp, tn, fn]
    assert close(ours["accuracy"], sklearn.accuracy_score(labels, called))
    assert close(ours["recall"], sklearn.recall_score(labels, called))
    assert close(ours["specificity"], sklearn.recall_score(labels, called, pos_label=0))
    assert close(ours["f1"], sklearn.f1_score(labels, called))
    assert close(ours["auc"], sklearn.roc_auc_score(labels, scores))
    assert close(ours["average_precision"], sklearn.average_precision_score(labels, scores))
    assert close(ours["brier"], sklearn.brier_score_loss(labels, scores))
    false_alarms, found, _ = sklearn.roc_curve(labels, scores, drop_intermediate=False)
    for percent in (90, 95):
        reached = found[false_alarms <= 1 - percent / 100 + 1e-9].max()
        assert close(ours[f"recall_at_specificity_{percent}"], reached)
    if called.any():
        assert close(ours["precision"], sklearn.precision_score(labels, called))
    else:
        assert math.isnan(ours["precision"])


@given(st.data(), BOTH)
def test_a_row_of_weight_k_counts_as_k_rows(data: st.DataObject, rows: list[tuple[int, float]]) -> None:
    labels, scores = split(rows)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    weighted = Sample.of(labels, scores, threshold=0.5)
    repeated = measure(Sample.of(np.repeat(labels, weights), np.repeat(scores, weights), threshold=0.5))
    for name, metric in (METRICS | CONFUSION).items():
        value = metric(weighted, weights[None].astype(float))[0]
        assert np.isclose(value, repeated[name], equal_nan=True), name


@given(ROWS)
def test_calibration_error_is_the_mean_gap_of_fifteen_bins(rows: list[tuple[int, float]]) -> None:
    labels, scores = split(rows)
    expected = 0.0
    for bin_number in range(15):
        held = [i for i, score in enumerate(scores) if min(int(score * 15), 14) == bin_number]
        if held:
            expected += len(held) / len(rows) * abs(labels[held].mean() - scores[held].mean())
    assert close(measure(Sample.of(labels, scores, threshold=0.5))["ece"], expected)
    bins = reliability(labels, scores)
    assert bins.count.sum() == len(rows)
    assert close(float((np.abs(bins.observed - bins.predicted) * bins.count).sum() / len(rows)), expected)


def test_a_calibrated_forecast_has_no_calibration_error_and_a_sure_wrong_one_has_all_of_it() -> None:
    quarter = Sample.of([1, 0, 0, 0], [0.25] * 4, threshold=0.5)
    wrong = Sample.of([0, 1], [1.0, 0.0], threshold=0.5)
    assert measure(quarter)["ece"] == pytest.approx(0)
    assert measure(wrong)["ece"] == pytest.approx(1)


@given(BOTH)
def test_youden_threshold_is_the_best_of_every_possible_cut(rows: list[tuple[int, float]]) -> None:
    labels, scores = split(rows)

    def gain(threshold: float) -> float:
        called = scores >= threshold
        return float(called[labels == 1].mean() - called[labels == 0].mean())

    best = youden_threshold(labels, scores)
    assert 0 <= best <= 1
    assert close(gain(best), max(map(gain, scores)))


def test_of_equally_good_cuts_youden_takes_the_more_sensitive() -> None:
    assert youden_threshold([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.15)


@given(BOTH, st.floats(0.01, 1))
def test_recall_threshold_reaches_the_target_and_the_next_higher_cut_does_not(
    rows: list[tuple[int, float]], target: float
) -> None:
    labels, scores = split(rows)
    threshold = recall_threshold(labels, scores, recall=target)
    assert (scores >= threshold)[labels == 1].mean() >= target - 1e-9
    for higher in scores[scores > threshold]:
        if (scores >= threshold).sum() != (scores >= higher).sum():
            assert (scores >= higher)[labels == 1].mean() < target


@given(BOTH)
def test_roc_curve_runs_through_the_points_of_scikit_learn(rows: list[tuple[int, float]]) -> None:
    labels, scores = split(rows)
    curve = roc_curve(labels, scores)
    fpr, tpr, thresholds = sklearn.roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(curve.false_positive_rate, fpr)
    assert np.allclose(curve.true_positive_rate, tpr)
    assert np.array_equal(curve.thresholds, thresholds)


def test_what_one_class_leaves_undefined_is_nan_and_never_zero() -> None:
    only_normal = measure(Sample.of([0, 0], [0.1, 0.2], threshold=0.5))
    assert only_normal["accuracy"] == only_normal["specificity"] == 1
    assert all(math.isnan(only_normal[name]) for name in ("precision", "recall", "f1", "auc", "average_precision"))
    assert math.isnan(measure(Sample.of([1, 1], [0.1, 0.2], threshold=0.5))["specificity"])
    assert all(
        math.isnan(value) for name, value in measure(Sample.of([], [], threshold=0.5)).items() if name in METRICS
    )


def test_auc_takes_logits_of_any_scale() -> None:
    assert auc([0, 0, 1, 1], [-40.0, 3.0, 2.0, 900.0]) == 0.75


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1], "one length"),
        ([0, 2], [0.1, 0.2], "0 or 1"),
        ([0, 1], [0.1, float("nan")], "1 of 2 are not"),
        ([1, 1], [0.1, 0.2], "2 pneumonia and 0 normal"),
        ([], [], "0 pneumonia and 0 normal"),
    ],
)
def test_unusable_input_is_named(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        youden_threshold(labels, scores)


def test_a_target_recall_outside_its_range_is_refused() -> None:
    with pytest.raises(InputError, match="at most 1, not 97"):
        recall_threshold([0, 1], [0.1, 0.9], recall=97)
