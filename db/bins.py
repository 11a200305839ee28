"""The bins in which tallies count values."""

from typing import Any

from sqlalchemy import Integer, case, cast


def bin_below(value: Any, bins: int) -> Any:
    """The largest integer k with k / bins not above the value, in SQL. The cast may be off by one, because it or the
    product rounds, which the two comparisons correct."""
    near = cast(value * float(bins), Integer)
    above = case((value >= (near + 1) / float(bins), 1), else_=0)
    below = case((value < near / float(bins), 1), else_=0)
    return near + above - below
