"""Metrics as the engine measures them and as the database stores them."""

import math
from typing import TYPE_CHECKING

from db.models import Metric
from db.writes import MetricValue

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured


def measured(row: Metric) -> "Measured":
    """A metric row as the engine's value."""
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured

    value, low, high = (math.nan if known is None else known for known in (row.value, row.low, row.high))
    return Measured(row.name, row.slice, Interval(value, low, high, row.n or 0), row.step)


def metric_value(name: str, split: str, where: str, interval: "Interval", *, step: int = -1) -> MetricValue:
    """A metric with its interval as it is stored; unknown values are NULL."""
    value, low, high = (
        known if math.isfinite(known) else None for known in (interval.value, interval.low, interval.high)
    )
    return MetricValue(name, split, value, low, high, interval.n, slice=where, step=step)
