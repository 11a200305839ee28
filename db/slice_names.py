"""Names of the slices of metrics, short enough for their column."""

import hashlib

from db.models import Metric


def report_slice(model: str, strategy: str) -> str:
    """The slice name of a model's scores under a strategy, or under "one - other" for a difference of two."""
    return shortened(f"{model} / {strategy}", Metric.slice.type.length)


def shortened(name: str, limit: int) -> str:
    """`name` in at most `limit` characters: a longer one becomes eight digits of its sha256, which keep it distinct,
    followed by its end."""
    if len(name) <= limit:
        return name
    mark = f"{hashlib.sha256(name.encode()).hexdigest()[:8]}\N{HORIZONTAL ELLIPSIS}"
    return mark + name[len(mark) - limit :]
