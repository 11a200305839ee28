"""An audit's verdicts claim only what the intervals support."""

import math

import pytest

from engine.audit.verdicts import sanity_verdict, sign, verdicts
from engine.metrics.bootstrap import Interval


def between(low: float, high: float, value: float | None = None) -> Interval:
    return Interval((low + high) / 2 if value is None else value, low, high, 40)


def adjusted(p_value: float) -> Interval:
    return Interval(p_value, math.nan, math.nan, 40)


UNKNOWN = between(math.nan, math.nan, 0.9)


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (between(0.01, 0.2), "better"),
        (between(-0.2, -0.01), "worse"),
        (between(-0.1, 0.3), "no different"),
        (between(1e-5, 2e-4), "no different"),
    ],
)
def test_a_gain_counts_only_where_its_interval_leaves_zero_out(interval: Interval, said: str) -> None:
    assert sign(interval, adjusted(0.01)) == said
    assert sign(interval, adjusted(0.05)) == "no different", "not after the adjustment"
    assert sign(interval, adjusted(math.nan)) == sign(interval, None) == "unknown"
    assert sign(UNKNOWN, adjusted(0.01)) == "unknown"


def test_maps_depend_on_the_weights_only_where_the_whole_interval_is_below_the_limit() -> None:
    assert sanity_verdict(between(-0.1, 0.49)) == "maps depend on the weights"
    assert sanity_verdict(between(0.1, 0.51)) == "failed"
    assert sanity_verdict(UNKNOWN) == "unknown"


def test_every_question_is_answered_by_its_own_values() -> None:
    said = verdicts(
        {
            ("sanity_rank_correlation", "network"): between(0.6, 0.8),
            ("sanity_rank_correlation", "head"): between(0.0, 0.1),
            ("deletion_gain", "over random, called_pneumonia"): between(-0.3, -0.1),
            ("deletion_gain_p", "over random, called_pneumonia"): adjusted(0.004),
            ("deletion_gain", "over centre, called_pneumonia"): between(0.01, 0.3),
            ("deletion_gain_p", "over centre, called_pneumonia"): adjusted(0.08),
            ("deletion_gain", "over random, misses"): between(0.1, 0.3),
            ("sanity_ssim", "network"): Interval(0.7, 0.6, 0.8, 48),
            ("occluded_probability", "grey, called_pneumonia"): between(0.9, 1.0, 0.97),
            ("occluded_probability", "blurred, called_pneumonia"): between(0.1, 0.2),
            ("probe_auc", "image size"): between(0.4, 0.6),
            ("probe_auc", "frame pixels"): between(0.55, 0.65),
            ("probe_auc", "classifier, frame only"): between(0.8, 0.9),
            ("probe_correlation", "image size"): between(-0.2, 0.2),
            ("probe_correlation", "frame pixels"): between(0.1, 0.3),
            ("probe_correlation", "image statistics"): between(0.2, 0.4),
            ("probe_correlation_hidden", "frame pixels"): between(0.0, 0.2),
            ("probe_auc", "classifier, frame hidden"): between(0.9, 0.95),
            ("stress_auc_difference", "noisy"): between(-0.05, -0.01),
            ("stress_auc_difference", "blurred"): between(-0.09, -0.03),
            ("stress_auc_difference", "darker"): between(-0.02, 0.01),
            ("stress_changed", "noisy"): between(0.06, 0.1),
            ("stress_changed", "blurred"): between(0.03, 0.05),
            ("stress_changed", "darker"): between(0.1, 0.2),
            ("stress_recall", "unaltered"): between(0.9, 1.0),
            ("stress_recall", "darker"): between(0.8, 0.9),
            ("stress_specificity", "unaltered"): between(0.8, 0.9),
            ("stress_specificity", "darker"): between(0.9, 1.0),
            ("near_duplicates", "all"): between(0.0, 0.2, 0.05),
        }
    )
    assert said["sanity"] == (
        "failed: rank correlation 0.700 (0.600 to 0.800) with heatmaps under random weights; 8 of 48 images left out "
        "because a map is constant"
    )
    assert said["faithfulness"] == (
        "in 40 images called pneumonia, deleting by heat is worse than random order (gain -0.200 (-0.300 to -0.100)); "
        "deleting by heat is no different from centre order (gain 0.155 (0.010 to 0.300)); "
        "but the deletion curve is uninformative, because an entirely grey image already has probability 0.970"
    )
    assert said["shortcuts"] == (
        "classes separated by classifier, frame only (AUC 0.850 (0.800 to 0.900)), "
        "frame pixels (AUC 0.600 (0.550 to 0.650)): possible shortcuts, but the frame includes parts of the lungs"
    )
    assert said["association"] == (
        "within a label, the classifier's probability is associated with the score of image statistics "
        "(rank correlation 0.300 (0.200 to 0.400)), frame pixels (rank correlation 0.200 (0.100 to 0.300); with the "
        "frame hidden 0.100 (0.000 to 0.200))"
    )
    assert said["robustness"] == (
        "AUC falls on images that are blurred (-0.060 (-0.090 to -0.030)), noisy (-0.030 (-0.050 to -0.010)); most "
        "calls change on images that are darker (15.0 %, 10.0 to 20.0 %): recall 0.850 instead of 0.950 and "
        "specificity 0.950 instead of 0.850"
    )
    assert said["near-duplicates"] == "2 of 40 images have one in training"


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdicts({}) == {}
    unmeasured = {("probe_auc", name): between(math.nan, math.nan) for name in ("image size", "frame pixels")}
    assert verdicts(unmeasured)["shortcuts"] == "unknown: too few images of either class to measure any probe"
    unrelated = {("probe_correlation", "image size"): between(math.nan, math.nan)}
    assert verdicts(unrelated)["association"] == "unknown: too few images of either class to measure any probe"
    assert verdicts({("probe_correlation", "image size"): between(-0.4, 0.1)})["association"] == (
        "within a label, the classifier's probability rises measurably with the score of no probe"
    )
    steady = {("stress_changed", name): between(0.0, 0.01, 0.0) for name in ("blurred", "noisy")}
    assert verdicts(steady)["robustness"] == "no stress changes a call", "of one class there is no AUC"
    same = {("stress_auc_difference", "noisy"): between(math.nan, math.nan, 0.0)}
    assert verdicts(steady | same)["robustness"] == (
        "AUC falls measurably under none of 1 stresses; no stress changes a call"
    )
    collapsed = steady | {("stress_auc_difference", "noisy"): between(-0.5, -0.5)}
    assert "AUC falls on images that are noisy (-0.500" in verdicts(collapsed)["robustness"]
    sized = {("probe_auc", "image size"): between(0.6, 0.8)}
    assert verdicts(sized)["shortcuts"] == "classes separated by image size (AUC 0.700 (0.600 to 0.800))"
    assert list(verdicts({("probe_auc", "image size"): between(0.4, 0.6)}).items()) == [
        ("shortcuts", "no probe separates the classes better than chance")
    ]
