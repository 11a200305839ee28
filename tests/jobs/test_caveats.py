"""Warnings about an evaluation follow its values."""

import pytest

from db.writes import MetricValue
from engine.metrics.bootstrap import Interval
from engine.metrics.names import DIFFERENCE, P_VALUE
from jobs.evaluations import caveats
from jobs.results.values import metric_value


def subgroup(split: str, difference: float, p: float) -> list[MetricValue]:
    """A subgroup's difference in recall from the other images, and its p-value."""
    said = {f"recall{DIFFERENCE}": difference, f"recall{P_VALUE}": p}
    return [metric_value(name, split, "sex female", Interval(value, value, value, 40)) for name, value in said.items()]


@pytest.mark.parametrize("order", [1, -1])
def test_a_subgroups_difference_is_judged_by_the_p_value_of_its_own_split(order: int) -> None:
    values = [subgroup("test", -0.3, 0.001), subgroup("val", -0.02, 0.9)][::order]
    (warning,) = caveats.of_values([value for one in values for value in one])
    assert "on split test is 30.0 points lower" in warning
