"""How values are formatted on the pages."""

import pytest

from dashboard.components import wording
from engine.metrics.names import display_name


@pytest.mark.parametrize(
    ("seconds", "read"),
    [(0.25, "250 ms"), (9.96, "10.0 s"), (80, "80 s"), (4000, "67 min"), (9000, "2 h 30 min"), (None, "unknown")],
)
def test_a_duration_uses_a_natural_unit(seconds: float | None, read: str) -> None:
    assert wording.duration(seconds) == read


@pytest.mark.parametrize(
    ("metric", "value", "name", "read"),
    [
        ("recall", 0.9846, "Recall (sensitivity)", "98.5 %"),
        ("auc", 0.98431, "AUC", "0.984"),
        ("from_train_p_at_1", 0.888, "P@1, from train", "88.8 %"),
        ("other_patients_vote_auc", 0.9749, "Neighbour-vote AUC, other patients", "0.975"),
        ("words_difference", -56.6, "Words, difference", "-56.600"),
        ("recall_difference", 0.0609, "Recall (sensitivity), difference", "+6.1 points"),
        ("recall_p", 0.0001, "Recall (sensitivity), p-value for no difference", "< 0.001"),
        ("confusion_fp", 1046.0, "False positives", "1,046"),
        ("probe_auc", 0.991, "Probe AUC", "0.991"),
        ("of_a_later_version", 0.5, "Of a later version", "50.0 %"),
        ("recall", None, "Recall (sensitivity)", "unknown"),
        ("auc", float("nan"), "AUC", "unknown"),
    ],
)
def test_a_metric_has_its_display_name_and_unit(metric: str, value: float | None, name: str, read: str) -> None:
    assert display_name(metric) == name
    assert wording.measured(metric, value) == read
