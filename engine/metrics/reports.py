"""How report models and strategies compare: means, paired differences and kappa, with intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.metrics.agreement import cohen
from engine.metrics.bootstrap import Interval, cluster_bootstrap, weighted_mean
from engine.metrics.proportions import share


@dataclass(frozen=True)
class ScoredReport:
    """One score of one report. value: None where unknown; such a report is left out of the mean."""

    model: str
    strategy: str
    metric: str
    patient: str
    value: float | None
    image: str = ""


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
        interval = share(values, patients, seed=seed, replicates=replicates)
        means.append(MeanScore(model, strategy, metric, interval))
    return means


def paired_differences(scores: Sequence[ScoredReport], *, seed: int, replicates: int = 1000) -> list[MeanScore]:
    """For each model, metric and pair of strategies the mean difference over the images that have both scores.

    The strategy of a result is 'first - second', in alphabetical order. Pairs without a common image have no row.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, ScoredReport]]] = {}
    for score in scores:
        if score.value is not None:
            groups.setdefault((score.model, score.metric), {}).setdefault(score.strategy, {})[score.image] = score
    found = []
    for (model, metric), by_strategy in sorted(groups.items()):
        for first, second in combinations(sorted(by_strategy), 2):
            one, other = by_strategy[first], by_strategy[second]
            images = sorted(one.keys() & other.keys())
            if not images:
                continue
            differences = np.array([float(one[i].value or 0) - float(other[i].value or 0) for i in images])
            patients = [one[image].patient for image in images]
            interval = cluster_bootstrap(weighted_mean(differences), patients, seed=seed, replicates=replicates)
            found.append(MeanScore(model, f"{first} - {second}", metric, interval))
    return found


def kappa(
    labels: np.ndarray, stances: np.ndarray, patients: Sequence[str], *, seed: int, replicates: int = 1000
) -> Interval:
    """Cohen's kappa of what reports say against the labels, in [-1, 1].

    labels: 0 or 1, (n,). stances: 1 pneumonia, 0 normal, .5 uncertain, NaN none, (n,); the last two are classes of
    their own that no label has. NaN where labels and stances are all of one class.
    """
    said = np.where(np.isnan(stances), 2.0, stances)
    return cluster_bootstrap(cohen(labels.astype(float), said), list(patients), seed=seed, replicates=replicates)
