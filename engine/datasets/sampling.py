"""A seeded sample, balanced over strata, that does not depend on row order."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def stratified(
    items: Sequence[T],
    count: int | None,
    *,
    stratum: Callable[[T], Hashable],
    key: Callable[[T], str],
    seed: int,
) -> list[T]:
    """`count` of the items, or all if there are fewer or count is None.

    Strata take turns, the rarest first, until the sample is full, so that each contributes equally until it is used up.
    Within a stratum the order is that of sha256(seed, key): determined by seed and content, and a larger sample with
    the same seed contains the smaller one. key: unique for each item, such as the image's sha256.
    """
    strata: dict[Hashable, list[T]] = {}
    for item in sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest()):
        strata.setdefault(stratum(item), []).append(item)
    queues = sorted(strata.items(), key=lambda pair: (len(pair[1]), repr(pair[0])))
    longest = max((len(queue) for _, queue in queues), default=0)
    turns = [queue[turn] for turn in range(longest) for _, queue in queues if turn < len(queue)]
    return turns if count is None else turns[:count]
