"""Names of the slices of metrics, short enough for their column."""

import hashlib

from db.models import Image, Metric

LONGEST = Metric.slice.type.length - len(" / ") - Image.cause.type.length
"""Maximum characters of an embedder's name in a slice that also names a cause."""


def report_slice(model: str, strategy: str) -> str:
    """The slice name of a model's scores under a strategy, or under "one - other" for a difference of two."""
    return shortened(f"{model} / {strategy}", Metric.slice.type.length)


def embedder_slice(embedder: str, part: str = "all") -> str:
    """The slice name of an embedder's metrics over all queries, or over a part of them: a class or a cause."""
    name = shortened(embedder, LONGEST)
    return name if part == "all" else f"{name} / {part}"


def shortened(name: str, limit: int) -> str:
    """`name` in at most `limit` characters: a longer one becomes eight digits of its sha256, which keep it distinct,
    followed by its end."""
    if len(name) <= limit:
        return name
    mark = f"{hashlib.sha256(name.encode()).hexdigest()[:8]}\N{HORIZONTAL ELLIPSIS}"
    return mark + name[len(mark) - limit :]
