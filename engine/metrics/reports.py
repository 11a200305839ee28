"""How report models and strategies compare: mean scores with intervals that respect patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.metrics.bootstrap import Interval, cluster_bootstrap, weighted_mean


@dataclass(frozen=True)
class ScoredReport:
    """One score of one report. value: None where unknown; such a report is left out of the mean."""

    model: str
    strategy: str
    metric: str
    patient: str
    value: float | None


@dataclass(frozen=True)
class MeanScore:
    """The mean of one metric for a model under a strategy, with its interval; n counts the reports that have it."""

    model: str
    strategy: str
    metric: str
    interval: Interval


def mean_scores(scores: Sequence[ScoredReport], *, seed: int, replicates: int = 1000) -> list[MeanScore]:
    """One mean for each model, strategy and metric, in that order, with a 95 % interval from resampling patients.

    Groups that cover the same patients are resampled alike, so their intervals can be compared. A group without any
    known value has no row.
    """
    groups: dict[tuple[str, str, str], list[ScoredReport]] = {}
    for score in scores:
        if score.value is not None:
            groups.setdefault((score.model, score.strategy, score.metric), []).append(score)
    means = []
    for (model, strategy, metric), rows in sorted(groups.items()):
        values = np.array([row.value for row in rows], dtype=np.float64)
        patients = [row.patient for row in rows]
        interval = cluster_bootstrap(weighted_mean(values), patients, rng=seed, replicates=replicates)
        means.append(MeanScore(model, strategy, metric, interval))
    return means
