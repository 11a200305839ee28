"""How a classifier fares in each subgroup of the films, and whether it does worse there than on the others."""

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
"""Values of a side of which every replicate is alike."""


def subgroups(
    sample: Sample, patients: ArrayLike, attributes: Mapping[str, ArrayLike], *, seed: int, replicates: int = 1000
) -> list[Measured]:
    """AUC, recall and specificity of each subgroup with its films' interval, and their difference from the other films.

    patients: (n,) keys; attributes: (n,) values each, "" where unknown. Films of unknown value are in no subgroup and
    among no others. A difference is the subgroup's value less that of all others, with an interval that draws whole
    patients of both, or that follows from both sides' where one is 0 or 1; and a p-value of no difference under the
    name's P_VALUE, Holm-corrected for all differences that were looked at; of two subgroups, whose differences are one,
    only the first's stands. What rests on fewer than SUBGROUP_LEAST rows of a class, in the subgroup or outside it, is
    not measured; nor is an attribute of which one value is left.
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
    """Which of SUBGROUP_MEASURES rest on enough of these rows."""
    ill, well = int((sample.labels[rows] == 1).sum()), int((sample.labels[rows] == 0).sum())
    enough = {"auc": min(ill, well), "recall": ill, "specificity": well}
    return tuple(name for name in SUBGROUP_MEASURES if enough[name] >= SUBGROUP_LEAST)


def _differences(
    sample: Sample, patients: NDArray[np.str_], rows: Rows, others: Rows, where: str, *, seed: int, replicates: int
) -> Iterator[tuple[str, str, Interval, float]]:
    """Metric, slice, difference and p-value of what can be measured on both sides."""
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
        yield name, where, interval, _p_of_none(name, drawn, parts, keys, values)


def _joined(first: Interval, second: Interval) -> tuple[float, float]:
    """The ends of the interval of first - second from the intervals of both (Newcombe 1998, Stat Med 17:873, method 10;
    Zou & Donner 2008 for any two intervals); NaN where one of these is not known."""
    apart = first.value - second.value
    low = np.hypot(first.value - first.low, second.high - second.value)
    high = np.hypot(first.high - first.value, second.value - second.low)
    return float(apart - low), float(apart + high)


def _p_of_none(
    metric: str, drawn: Resampled, parts: Sequence[Sample], keys: Sequence[NDArray[np.str_]], values: Sequence[float]
) -> float:
    """Two-sided p-value of both sides having one value: the difference over its standard error, by Student's t with as
    many degrees of freedom as the side of fewer patients leaves (Cameron & Miller 2015, J Hum Resour 50:317).

    The error is the replicates', or that which two such sides have where both are worth their mean, if that is larger:
    no replicate of a side without a failure has one, as if its value were known for certain. NaN where the interval of
    the replicates is not known.
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
    """The rows that the metric rests on, those of each label by themselves."""
    return [labels == label for label in {"recall": (1,), "specificity": (0,)}.get(metric, (1, 0))]


def _variance(value: float, *counts: int) -> float:
    """The sampling variance of a share of so many rows, or of the AUC of so many pneumonias and normals (Hanley &
    McNeil 1982, Radiology 143:29)."""
    if len(counts) == 1:
        return value * (1 - value) / counts[0]
    ill, well = counts
    above, below = value / (2 - value) - value**2, 2 * value**2 / (1 + value) - value**2
    return (value * (1 - value) + (ill - 1) * above + (well - 1) * below) / (ill * well)
