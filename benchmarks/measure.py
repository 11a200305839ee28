"""Times two sides of a benchmark alternately, so that a noisy machine affects both."""

import resource
import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory() -> str:
    """The peak memory of this process so far, over both sides of a benchmark."""
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def ratio(
    name: str, plain: Callable[[], object], ours: Callable[[], object], *, unit: str, count: int, rounds: int = 3
) -> float:
    """Run both sides alternately `rounds` times after one warm-up; print each side's rate and the median ratio."""
    plain(), ours()
    pairs = [(seconds(plain), seconds(ours)) for _ in range(rounds)]
    quicker = statistics.median(slow / quick for slow, quick in pairs)
    slow, quick = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{name}: plain {count / slow:,.1f} {unit}/s, ours {count / quick:,.1f} {unit}/s, ratio {quicker:.1f}x")
    return quicker
