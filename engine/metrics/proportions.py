"""How good a classifier is by a confusion matrix alone: shares with intervals that need no row."""

from math import sqrt
from statistics import NormalDist

from engine.metrics.bootstrap import Interval

NAN = float("nan")


def wilson(rate: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share among n independent trials (Wilson 1927): inside [0, 1], and not empty at 0 or 1."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def of_confusion(*, tp: int, fn: int, fp: int, tn: int) -> dict[str, Interval]:
    """Recall, specificity, precision, accuracy and F1 of a confusion matrix with 95 % Wilson intervals.

    The intervals take images for independent, which those of one patient are not quite. F1 = 2 J / (1 + J) where J is
    the share of true positives among all that label or model call positive (Jaccard), so J's interval gives F1's.
    NaN where nothing is counted, and for precision and F1 among images of one label, which they would say nothing of
    but how many there are; n: the images that a share is of.
    """
    both = bool(tp + fn and fp + tn)
    overlap = _share(tp, tp + fp + fn) if both else _share(0, 0)
    value, low, high = (2 * j / (1 + j) for j in (overlap.value, overlap.low, overlap.high))
    return {
        "recall": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "precision": _share(tp, tp + fp) if both else _share(0, 0),
        "accuracy": _share(tp + tn, tp + fn + fp + tn),
        "f1": Interval(value, low, high, overlap.n),
    }


def _share(part: int, whole: int) -> Interval:
    return Interval(part / whole, *wilson(part / whole, whole), whole) if whole else Interval(NAN, NAN, NAN, 0)
