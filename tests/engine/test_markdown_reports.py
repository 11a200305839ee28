"""Do the Markdown reports say how sure their figures are, and claim no more?"""

import math

from engine.markdown_reports import classification_report, generation_report
from engine.metrics.bootstrap import Interval
from engine.metrics.evaluation import Measured


def differing(low: float, high: float, pair: str) -> Measured:
    return Measured("format_difference", f"template / {pair}", Interval(0.1, low, high, 40))


def test_strategies_are_told_apart_with_how_often_chance_would_and_unknown_intervals_hold_nothing() -> None:
    values = [differing(0.05, 0.15, "a - b"), differing(-0.1, 0.3, "a - c"), differing(math.nan, math.nan, "b - c")]
    text = generation_report(values, examples=[], facts={}, pictures=[], replicates=1000, synthetic=False)
    assert "| template / a - b | Format | 0.100 | 0.050 to 0.150 | 40 |" in text
    assert "Of 3 paired differences the interval of 1 holds 0, and of 1 it is not known." in text
    assert "by chance alone one in twenty leaves out 0" in text


def test_an_interval_at_a_bound_is_told_to_be_wilsons_and_patients_are_counted_as_such() -> None:
    values = [Measured("recall", where, Interval(1.0, 0.93, 1.0, 50)) for where in ("all", "by_patient")]
    text = classification_report({"test": values}, facts={}, pictures=[], replicates=1000, synthetic=False)
    assert "| Recall (sensitivity) | 1.000 | 0.930 to 1.000 | 50 |" in text
    told = " ".join(text.split())
    assert "of a share that is 0 or 1 they are Wilson's (1927), with patients for trials" in told
    assert "by patient, of patients" in told
