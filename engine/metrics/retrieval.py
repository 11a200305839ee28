"""How good a collection's neighbours are: precision at k, leaving one out, beside what chance would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.metrics.bootstrap import Interval, cluster_bootstrap, weighted_mean
from engine.retrieval.neighbours import leave_one_out

KS = (1, 3, 5, 10)


@dataclass(frozen=True)
class RetrievalPrecision:
    """P@k for each k, with 95 % intervals over patients, and the value that random neighbours would reach."""

    at: dict[int, Interval]
    chance: float
    """Expected P@k of neighbours drawn at random from the same candidates; the same for every k."""


def precision_at_k(
    vectors: NDArray[np.float32],
    labels: ArrayLike,
    patients: ArrayLike,
    *,
    rng: np.random.Generator | int,
    ks: Sequence[int] = KS,
    other_patients_only: bool = False,
    replicates: int = 1000,
) -> RetrievalPrecision:
    """Mean over the images of the share of their k nearest others that carry their label (Manning et al. 2008, 8.4).

    vectors: float32 (n, d), each of length 1. labels: int (n,), all known. patients: (n,) keys; intervals resample
    them, and with other_patients_only an image's own patient is no candidate either. An image with fewer than k
    candidates is judged by those it has, one without any is left out.
    Raises InputError where there are fewer than two images or the arrays' lengths differ.
    """
    label, patient = np.asarray(labels), np.asarray(patients)
    if not len(vectors) == len(label) == len(patient):
        raise InputError(f"got {len(vectors)} vectors, {len(label)} labels and {len(patient)} patients")
    groups = patient if other_patients_only else np.arange(len(label))
    rows = leave_one_out(vectors, max(ks), groups=groups).rows
    seed = int(np.random.default_rng(rng).integers(2**63))  # one for all: then every k sees the same replicates
    at = {
        k: cluster_bootstrap(weighted_mean(_shares(rows[:, :k], label)), patient, rng=seed, replicates=replicates)
        for k in ks
    }
    return RetrievalPrecision(at=at, chance=chance_level(label, groups))


def chance_level(labels: ArrayLike, groups: ArrayLike) -> float:
    """Expected P@k of neighbours drawn at random: mean over images of the share of candidates with their label.

    labels, groups: (n,); an image's candidates are those of other groups. NaN where no image has any.
    """
    label = np.unique(np.asarray(labels), return_inverse=True)[1]
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    both = np.unique(label * (group.max() + 1) + group, return_inverse=True)[1]
    same_label, same_group, same_both = (np.bincount(of)[of] for of in (label, group, both))
    candidates = len(label) - same_group
    known = candidates > 0
    return float(np.mean((same_label - same_both)[known] / candidates[known])) if known.any() else float("nan")


def _shares(rows: NDArray[np.int64], label: NDArray[np.generic]) -> NDArray[np.float64]:
    """Share of each image's hits (n, k) that carry its label, (n,); NaN where it has none."""
    hit = rows >= 0
    same = (label[rows] == label[:, None]) & hit
    found = hit.sum(axis=1)
    shares: NDArray[np.float64] = np.divide(same.sum(axis=1), found, out=np.full(len(rows), np.nan), where=found > 0)
    return shares
