"""Comparing report models and strategies: means, paired differences and kappa, with intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.metrics.agreement import cohen
from engine.metrics.bootstrap import Interval, cluster_bootstrap, weighted_mean
from engine.metrics.proportions import share


@dataclass(frozen=True)
class ScoredReport:
    """One score of one report. value: None if unknown; such reports are left out of means."""

    model: str
    strategy: str
    metric: str
    patient: str
    value: float | None
    image: str = ""


@dataclass(frozen=True)
class MeanScore:
    """The mean of one metric for a model and strategy, with its interval; n is the number of reports with a value."""

    model: str
    strategy: str
    metric: str
    interval: Interval


def mean_scores(scores: Sequence[ScoredReport], *, seed: int, replicates: int = 1000) -> list[MeanScore]:
    """The mean for each model, strategy and metric, sorted in that order, with a 95 % bootstrap interval over patients.

    Groups with the same patients have the same replicates, so their intervals are comparable. Groups without a known
    value are left out.
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
    """For each model, metric and pair of strategies the mean difference over the images with both scores.

    The strategy of a result is 'first - second', in alphabetical order. Pairs without a common image are left out.
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


def by_label(
    labels: np.ndarray, stances: np.ndarray, patients: Sequence[str], *, seed: int, replicates: int = 1000
) -> dict[str, Interval]:
    """What agreement averages over: `stance_recall`, the share of reports on pneumonias whose stance is pneumonia;
    `stance_specificity`, the share on normal images whose stance is normal; and `stance_undecided`, the share of all
    that are uncertain or take no stance, which counts against the first two. Labels and stances as in `kappa`; a share
    of no reports is left out."""
    rows = {
        "stance_recall": (stances == 1, labels == 1),
        "stance_specificity": (stances == 0, labels == 0),
        "stance_undecided": (np.isnan(stances) | (stances == 0.5), np.ones(len(labels), dtype=bool)),
    }
    return {
        name: share(met[among].astype(float), np.asarray(patients)[among], seed=seed, replicates=replicates)
        for name, (met, among) in rows.items()
        if among.any()
    }


def kappa(
    labels: np.ndarray, stances: np.ndarray, patients: Sequence[str], *, seed: int, replicates: int = 1000
) -> Interval:
    """Cohen's kappa between the stances of reports and the labels, in [-1, 1].

    labels: (n,), 0 or 1. stances: (n,), 1 pneumonia, 0 normal, .5 uncertain, NaN none; the last two are categories that
    no label has. NaN if labels and stances are all in one category.
    """
    categories = np.where(np.isnan(stances), 2.0, stances)
    return cluster_bootstrap(cohen(labels.astype(float), categories), list(patients), seed=seed, replicates=replicates)
