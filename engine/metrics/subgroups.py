"""A classifier's performance in each subgroup of images, and its difference from that on the other images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from engine.metrics.bootstrap import Interval, Resampled, resampled
from engine.metrics.classification import METRICS, Floats, Sample
from engine.metrics.evaluation import Measured, measured_on
from engine.metrics.multiplicity import holm
from engine.metrics.names import DIFFERENCE, P_VALUE, SUBGROUP_LEAST, SUBGROUP_MEASURES, subgroup

Rows = NDArray[np.bool_]
BOUNDS = frozenset((0.0, 1.0))
"""Values at which all replicates of a side are equal."""


def subgroups(
    sample: Sample, patients: ArrayLike, attributes: Mapping[str, ArrayLike], *, seed: int, replicates: int = 1000
) -> list[Measured]:
    """AUC, recall and specificity of each subgroup with intervals, and their differences from the other images.

    patients: (n,) keys. attributes: name -> (n,) values, "" if unknown; images with an unknown value are neither in a
    subgroup nor among its others. A difference (name + DIFFERENCE) is the subgroup's value minus that of all others,
    with a bootstrap interval over the patients of both, or one combined from the two sides' intervals if a side's value
    is 0 or 1. Its p-value for no difference (name + P_VALUE) is Holm-adjusted for all differences computed. With only
    two subgroups the difference is reported for the first. Metrics based on fewer than SUBGROUP_LEAST images of a
    class, in the subgroup or (for differences) among the others, are not computed, nor attributes with fewer than two
    measurable values.
    """
    keys = np.asarray(patients)
    found: list[Measured] = []
    apart: list[tuple[str, str, Interval, float]] = []
    for name, given in sorted(attributes.items()):
        values = np.asarray(given)
        known = sorted(set(values.tolist()) - {""})
        parts = {value: rows for value in known if _measurable(sample, rows := values == value)}
        if len(parts) < 2:
            continue
        for place, (value, rows) in enumerate(parts.items()):
            where, names = subgroup(name, value), _measurable(sample, rows)
            part = Sample(sample.labels[rows], sample.probabilities[rows], sample.threshold)
            found += measured_on(part, keys[rows], names, where, seed=seed, replicates=replicates)
            if len(known) > 2 or place == 0:
                others = (values != "") & ~rows
                apart += _differences(sample, keys, rows, others, where, seed=seed, replicates=replicates)
    p_values = holm([p for *_, p in apart])
    for (metric, where, interval, _), p in zip(apart, p_values.tolist(), strict=True):
        found.append(Measured(f"{metric}{DIFFERENCE}", where, interval))
        found.append(Measured(f"{metric}{P_VALUE}", where, Interval(p, np.nan, np.nan, interval.n)))
    return found


def _measurable(sample: Sample, rows: Rows) -> tuple[str, ...]:
    """The metrics of SUBGROUP_MEASURES for which these rows suffice."""
    ill, well = int((sample.labels[rows] == 1).sum()), int((sample.labels[rows] == 0).sum())
    enough = {"auc": min(ill, well), "recall": ill, "specificity": well}
    return tuple(name for name in SUBGROUP_MEASURES if enough[name] >= SUBGROUP_LEAST)


def _differences(
    sample: Sample, patients: NDArray[np.str_], rows: Rows, others: Rows, where: str, *, seed: int, replicates: int
) -> Iterator[tuple[str, str, Interval, float]]:
    """(metric, slice, difference, p-value) for each metric that can be computed on both sides."""
    both = rows | others
    sides = [side[both] for side in (rows, others)]
    parts = [Sample(sample.labels[side], sample.probabilities[side], sample.threshold) for side in (rows, others)]
    keys = [patients[side] for side in (rows, others)]
    for name in (name for name in _measurable(sample, rows) if name in _measurable(sample, others)):

        def difference(weights: Floats, metric: str = name) -> Floats:
            inside, outside = (METRICS[metric](part, weights[:, side]) for part, side in zip(parts, sides, strict=True))
            apart: Floats = inside - outside
            return apart

        drawn = resampled(difference, patients[both], seed=seed, replicates=replicates)
        values = [float(METRICS[name](part, np.ones((1, len(part.labels))))[0]) for part in parts]
        interval = replace(drawn.interval(), n=sum(int(one.sum()) for one in _classes(name, parts[0].labels)))
        if not BOUNDS.isdisjoint(values):
            alone = (
                measured_on(part, of_part, (name,), where, seed=seed, replicates=replicates)[0].interval
                for part, of_part in zip(parts, keys, strict=True)
            )
            low, high = _joined(*alone)
            interval = replace(interval, low=low, high=high)
        yield name, where, interval, _p_value(name, drawn, parts, keys, values)


def _joined(first: Interval, second: Interval) -> tuple[float, float]:
    """The interval of first - second from the intervals of both (Newcombe 1998, Stat Med 17:873, method 10; Zou &
    Donner 2008 for intervals of any kind); NaN if one of them is unknown."""
    apart = first.value - second.value
    low = np.hypot(first.value - first.low, second.high - second.value)
    high = np.hypot(first.high - first.value, second.value - second.low)
    return float(apart - low), float(apart + high)


def _p_value(
    metric: str, drawn: Resampled, parts: Sequence[Sample], keys: Sequence[NDArray[np.str_]], values: Sequence[float]
) -> float:
    """Two-sided p-value for no difference between the sides: the difference over its standard error, by Student's t
    with the degrees of freedom of the side with fewer patients (Cameron & Miller 2015, J Hum Resour 50:317).

    The standard error is that of the replicates or, if larger, the analytic one under the null hypothesis that both
    sides have their pooled value: replicates of a side without failures have none, as if its value were certain. NaN if
    the replicates' interval is unknown.
    """
    if not drawn.value:
        return 1.0 if np.isfinite(drawn.error) else float("nan")
    rows = [_classes(metric, part.labels) for part in parts]
    mean = float(np.average(values, weights=[sum(map(np.sum, of_side)) for of_side in rows]))
    variance = 0.0
    for of_side, of_part, value in zip(rows, keys, values, strict=True):
        counts = [len(set(of_part[one])) if value in BOUNDS else int(one.sum()) for one in of_side]
        variance += _variance(mean, *counts)
    fewest = min(len(np.unique(of_part[np.any(of_side, axis=0)])) for of_side, of_part in zip(rows, keys, strict=True))
    error = np.maximum(drawn.error, np.sqrt(variance))
    return float(2 * student.sf(abs(drawn.value) / error, fewest - 1))


def _classes(metric: str, labels: Floats) -> list[Rows]:
    """Masks of the rows that the metric is based on, one for each label."""
    return [labels == label for label in {"recall": (1,), "specificity": (0,)}.get(metric, (1, 0))]


def _variance(value: float, *counts: int) -> float:
    """The sampling variance of a proportion of counts[0] rows, or of an AUC of counts (pneumonia, normal) (Hanley &
    McNeil 1982, Radiology 143:29)."""
    if len(counts) == 1:
        return value * (1 - value) / counts[0]
    ill, well = counts
    above, below = value / (2 - value) - value**2, 2 * value**2 / (1 + value) - value**2
    return (value * (1 - value) + (ill - 1) * above + (well - 1) * below) / (ill * well)
