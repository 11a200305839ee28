"""How a classifier fares in each subgroup of the films, and whether it does worse there than on the others."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.metrics.bootstrap import Interval, resampled
from engine.metrics.classification import METRICS, Floats, Sample
from engine.metrics.evaluation import Measured, measured_on
from engine.metrics.multiplicity import holm
from engine.metrics.names import DIFFERENCE, P_VALUE, SUBGROUP_LEAST, SUBGROUP_MEASURES, subgroup

Rows = NDArray[np.bool_]


def subgroups(
    sample: Sample, patients: ArrayLike, attributes: Mapping[str, ArrayLike], *, seed: int, replicates: int = 1000
) -> list[Measured]:
    """AUC, recall and specificity of each subgroup with its films' interval, and their difference from the other films.

    patients: (n,) keys; attributes: (n,) values each, "" where unknown. Films of unknown value are in no subgroup and
    among no others. A difference is the subgroup's value less that of all others, with an interval that draws whole
    patients of both, and a p-value of no difference under the name's P_VALUE, Holm-corrected for all differences that
    were looked at; of two subgroups, whose differences are one, only the first's stands. What rests on fewer than
    SUBGROUP_LEAST rows of a class, in the subgroup or outside it, is not measured; nor is an attribute of which one
    value is left.
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
    for name in (name for name in _measurable(sample, rows) if name in _measurable(sample, others)):

        def difference(weights: Floats, metric: str = name) -> Floats:
            inside, outside = (METRICS[metric](part, weights[:, side]) for part, side in zip(parts, sides, strict=True))
            apart: Floats = inside - outside
            return apart

        drawn = resampled(difference, patients[both], seed=seed, replicates=replicates)
        class_rows = {"recall": sample.labels == 1, "specificity": sample.labels == 0}.get(name, both)
        yield name, where, replace(drawn.interval(), n=int((class_rows & rows).sum())), drawn.p_of_none()
