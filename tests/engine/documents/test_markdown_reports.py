"""Markdown reports state the uncertainty of their values and claim no more."""

import math

from engine.documents.markdown_reports import classification_report, generation_report
from engine.metrics.bootstrap import Interval
from engine.metrics.evaluation import Measured


def differing(low: float, high: float, pair: str) -> Measured:
    return Measured("format_difference", f"template / {pair}", Interval(0.1, low, high, 40))


def test_differences_of_strategies_name_the_chance_rate_and_unknown_intervals_do_not_contain_zero() -> None:
    values = [differing(0.05, 0.15, "a - b"), differing(-0.1, 0.3, "a - c"), differing(math.nan, math.nan, "b - c")]
    text = generation_report(values, examples=[], facts={}, pictures=[], replicates=1000, synthetic=False)
    assert "| template / a - b | Format | 0.100 | 0.050 to 0.150 | 40 |" in text
    assert "Of 3 paired differences, the interval contains 0 for 1 and is unknown for 1." in text
    assert "by chance alone, one interval in twenty excludes 0" in text


def test_an_interval_at_a_bound_is_described_as_wilson_and_patients_are_counted_as_such() -> None:
    values = [Measured("recall", where, Interval(1.0, 0.93, 1.0, 50)) for where in ("all", "by_patient")]
    text = classification_report({"test": values}, facts={}, pictures=[], replicates=1000, synthetic=False)
    assert "| Recall (sensitivity) | 1.000 | 0.930 to 1.000 | 50 |" in text
    told = " ".join(text.split())
    assert "for a proportion of 0 or 1 they are Wilson intervals (1927), with patients as trials" in told
    assert "by patient, of patients" in told


def test_only_fitted_thresholds_are_called_optimistic_out_of_fold() -> None:
    values = [Measured("recall", "half", Interval(0.9, 0.8, 0.95, 50))]
    text = classification_report({"oof": values}, facts={}, pictures=[], replicates=1000, synthetic=False)
    assert "Fitted thresholds were chosen on these same predictions" in text
    assert "### At threshold .5, not chosen on data" in text
