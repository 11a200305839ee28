"""Selective classification: how a classifier does on the images it still calls when the least certain are referred.

Coverage is the share of images that are called, risk the share of these that are called wrongly (El-Yaniv & Wiener
2010, J Mach Learn Res 11:1605). Images of equal confidence are called or referred together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from engine.metrics.bootstrap import Interval, Resampled, replicate
from engine.metrics.classification import Floats, Sample
from engine.metrics.evaluation import Measured
from engine.metrics.names import COVERAGES, SELECTIVE, SELECTIVE_LEAST
from engine.metrics.proportions import at_bound

PERCENT = np.arange(1, 101)
"""Coverages of the stored curve."""
DIGITS = 12
"""Decimals of a confidence: distances that differ by rounding alone, such as those of .4 and .6 from .5, are equal."""
AREAS = ("aurc", "e_aurc")
REFERRED = ("referred_low", "referred_high")
NAN = float("nan")


@dataclass(frozen=True)
class RiskCoverage:
    """A point for each distinct confidence, float (m,): calling every image of at least this confidence (falling)
    covers this share of the images (rising to 1) and is wrong in this share of those called."""

    confidence: Floats
    coverage: Floats
    risk: Floats


def confidence(probabilities: ArrayLike, threshold: float) -> Floats:
    """Distance of each probability from the threshold in log odds, |logit p - logit t|: float (n,), 0 to infinity.

    probabilities: (n,) in [0, 1]. threshold: in [0, 1]. Where t minimises the expected cost, so that t / (1 - t) is the
    cost of a false positive over that of a false negative (Elkan 2001, IJCAI), this is the logarithm of how many times
    more the opposite call would cost: one confidence means the same on both sides of any threshold, which |p - t| does
    not. At .5 it ranks images as the larger class probability does (Geifman & El-Yaniv 2017, NeurIPS).
    """
    given, at = np.clip(np.asarray(probabilities, dtype=np.float64), 0, 1), np.clip(np.float64(threshold), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(given) - np.log1p(-given) - (np.log(at) - np.log1p(-at)))
    return np.asarray(np.round(np.where(given == at, 0.0, apart), DIGITS), dtype=np.float64)


def risk_coverage(sample: Sample) -> RiskCoverage:
    """The empirical risk-coverage curve; without points where there are no rows."""
    return _Ranked(sample).curve()


def aurc(sample: Sample, weights: Floats) -> Floats:
    """Area under the risk-coverage curve (AURC; Geifman, Uziel & El-Yaniv 2019, ICLR): the mean over images of the risk
    when every image at least as confident is called. In [0, 1], 0 is best; a random order has the error rate on
    average.

    weights: (r, n), how often each row counts -> values (r,), NaN where nothing counts.
    """
    called, right, _, _ = _Ranked(sample).counted(weights)
    return _area(called, right)


def excess_aurc(sample: Sample, weights: Floats) -> Floats:
    """AURC less that of the best order of the same calls, all errors last (E-AURC; Geifman, Uziel & El-Yaniv 2019):
    how well confidence ranks the errors, however many there are. At least 0, which is best.

    weights: (r, n), whole numbers, how often each row counts -> values (r,), NaN where nothing counts.
    """
    called, right, _, _ = _Ranked(sample).counted(weights)
    return _excess(called, right)


def selective(sample: Sample, patients: ArrayLike, *, seed: int, replicates: int = 1000) -> list[Measured]:
    """`aurc` and `e_aurc`, and with steps 1 to 100 the accuracy, recall and specificity of the images called at that
    coverage in percent, with 95 % intervals over patients, (n,) keys.

    Called are the fewest most confident images that are at least this share of all, found anew in each replicate. An
    interval's n counts the called images that the value rests on: recall's are the pneumonia images, specificity's the
    normal ones. Values that rest on fewer than SELECTIVE_LEAST are NaN. For each of COVERAGES there are also
    `referred_low` and `referred_high`: the probabilities from the first up to, not with, the second (1 is included) are
    those of the referred images, which their n counts; NaN where none is referred.
    """
    ranked, n = _Ranked(sample), len(sample.labels)
    if not n:
        return []
    values = ranked.statistic(np.ones((1, n)))[0]
    keys, member = np.unique(np.asarray(patients), return_inverse=True)
    draws = np.empty((0, len(values)))
    if len(keys) > 1:
        draws = replicate(ranked.statistic, member, len(keys), seed=seed, replicates=replicates)
    intervals = [Resampled(float(value), draws[:, at], n).interval() for at, value in enumerate(values)]
    found = [Measured(name, "all", _area_of(one)) for name, one in zip(AREAS, intervals, strict=False)]
    curve, labels = ranked.curve(), sample.labels
    shares = iter(intervals[len(AREAS) :])
    for percent, at in zip(PERCENT.tolist(), _reached(curve.coverage), strict=True):
        called = ranked.confidence >= curve.confidence[at]
        for name, rows in zip(SELECTIVE, (called, called & (labels == 1), called & (labels == 0)), strict=True):
            found.append(Measured(name, "all", _share_of(next(shares), member[rows]), percent))
        if percent in COVERAGES:
            found += [
                Measured(name, "all", Interval(end, NAN, NAN, int((~called).sum())), percent)
                for name, end in zip(REFERRED, _referred(sample, called), strict=True)
            ]
    return found


class _Ranked:
    """The sample's rows by falling confidence."""

    def __init__(self, sample: Sample) -> None:
        self.confidence = confidence(sample.probabilities, sample.threshold)
        self.order = np.argsort(-self.confidence, kind="stable")
        falling = self.confidence[self.order]
        last = np.append(falling[1:] != falling[:-1], True)[: len(falling)]
        self.ends = np.flatnonzero(last)
        self.cutoffs = falling[self.ends]
        ill = sample.labels == 1
        right = (sample.probabilities >= sample.threshold) == ill
        self.marks = [mark[self.order].astype(np.float64) for mark in (right, ill, right & ill)]

    def curve(self) -> RiskCoverage:
        """See `risk_coverage`."""
        called, right, _, _ = (counts[0] for counts in self.counted(np.ones((1, len(self.order)))))
        return RiskCoverage(self.cutoffs, called / len(self.order), 1 - right / called)

    def counted(self, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Images called, right among them, pneumonia among them, and both, each (r, m), when all of at least each of
        the m distinct confidences are called. weights: (r, n)."""
        ordered = weights[:, self.order]
        called, right, ill, found = (
            np.cumsum(part, axis=1)[:, self.ends] for part in (ordered, *(ordered * mark for mark in self.marks))
        )
        return called, right, ill, found

    def statistic(self, weights: Floats) -> Floats:
        """AURC, E-AURC, then accuracy, recall and specificity at each of PERCENT: weights (r, n) -> (r, 302)."""
        counts = called, right, _, _ = self.counted(weights)
        areas = [_area(called, right), _excess(called, right)]
        at = np.stack([_reached(row / row[-1]) for row in called])
        called, right, ill, found = (np.take_along_axis(count, at, axis=1) for count in counts)
        shares = [_ratio(right, called), _ratio(found, ill), _ratio(right - found, called - ill)]
        columns = np.stack(shares, axis=2).reshape(len(weights), -1)
        return np.column_stack([*areas, columns])


def _reached(coverage: Floats) -> NDArray[np.intp]:
    """The first point of a curve, coverage (m,), that covers each of PERCENT."""
    return np.minimum(np.searchsorted(coverage, PERCENT / 100 - 1e-9), len(coverage) - 1)


def _area(called: Floats, right: Floats) -> Floats:
    """AURC of the counts (r, m) of a curve: each image has the risk of the point at which it is first called."""
    first = np.diff(called, axis=1, prepend=0)
    risk = np.divide(called - right, called, out=np.zeros(called.shape), where=called > 0)
    return _ratio((first * risk).sum(axis=1), called.max(axis=1, initial=0))


def _excess(called: Floats, right: Floats) -> Floats:
    """AURC less that of as many errors where each is less confident than every right call, and none as confident as
    another: the mean of 0 for each of the n - k right calls and of i / (n - k + i) for the errors i = 1 to k."""
    n, good = (counts.max(axis=1, initial=0) for counts in (called, right))
    least = _ratio(n - good - good * (digamma(n + 1) - digamma(good + 1)), n)
    return np.maximum(np.round(_area(called, right) - least, DIGITS), 0.0)


def _area_of(found: Interval) -> Interval:
    """Unknown where there are too few images; without an interval where no replicate has an error."""
    if found.n < SELECTIVE_LEAST:
        return Interval(NAN, NAN, NAN, found.n)
    return Interval(found.value, NAN, NAN, found.n) if found.low == found.high else found


def _share_of(found: Interval, patients: NDArray[np.intp]) -> Interval:
    """The interval of a share of these rows, patients (n,); of 0 or 1, of which hardly a replicate differs, at least as
    wide as Wilson's."""
    n, low, high = len(patients), found.low, found.high
    if n < SELECTIVE_LEAST:
        return Interval(NAN, NAN, NAN, n)
    if found.value in (0.0, 1.0) and np.isfinite(low):
        wilsons = at_bound(found, patients)
        low, high = min(low, wilsons.low), max(high, wilsons.high)
    return Interval(found.value, low, high, n, found.undefined)


def _referred(sample: Sample, called: NDArray[np.bool_]) -> Iterator[float]:
    """The range of the referred images' probabilities, from the first up to, not with, the second, 1 included; NaN
    where none is referred."""
    given = sample.probabilities
    if called.all():
        yield from (NAN, NAN)
        return
    low, high = given[~called].min(), given[~called].max()
    below, above = given[given < low], given[given > high]
    yield _between(float(below.max()), float(low)) if len(below) else 0.0
    yield _between(float(high), float(above.min())) if len(above) else 1.0


def _between(lower: float, upper: float) -> float:
    """A number above `lower` and at most `upper` with as few decimals as that takes, so that links to it are short."""
    middle = lower + (upper - lower) / 2
    return next((short for digits in range(2, 17) if lower < (short := round(middle, digits)) <= upper), upper)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where bottom is 0."""
    quotient: Floats = np.divide(top, bottom, out=np.full(bottom.shape, NAN), where=bottom > 0)
    return quotient
