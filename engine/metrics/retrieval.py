"""Retrieval metrics: precision at k, average precision, R-precision and the neighbours' vote, with chance levels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.labels import CLASSES
from engine.metrics.bootstrap import Floats, Interval, cluster_bootstrap
from engine.metrics.classification import METRICS, Sample, auc
from engine.metrics.evaluation import Measured
from engine.metrics.proportions import share

KS = (1, 3, 5, 10)
VOTERS = 10
"""Number of nearest cases whose labels vote."""
BLOCK = 2**24
"""Maximum number of similarities in memory."""
COLUMNS = 8192
"""Number of vectors compared at a time, in float64, so that rounding does not break ties."""


@dataclass(frozen=True)
class Collection:
    """Labelled images. vectors: float32 (n, d), each of length 1. labels: int (n,), 0 or 1. patients: (n,) keys.
    causes: (n,), "" if unknown."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    causes: NDArray[np.str_]

    @classmethod
    def of(
        cls, vectors: NDArray[np.float32], labels: ArrayLike, patients: ArrayLike, causes: ArrayLike | None = None
    ) -> "Collection":
        """Check and convert. causes: None if all are unknown. Raises InputError if the lengths differ."""
        label, patient = np.asarray(labels, dtype=np.int64), np.asarray(patients, dtype=str)
        cause = np.full(len(label), "") if causes is None else np.asarray(causes, dtype=str)
        if not len(vectors) == len(label) == len(patient) == len(cause):
            raise InputError(f"got {len(vectors)} vectors, {len(label)} labels and {len(patient)} patients")
        return cls(vectors, label, patient, cause)


@dataclass(frozen=True)
class Ranked:
    """Metrics of each query's ranking of its candidates, (n,) each; NaN for a query without candidates, average
    precision and R-precision also without a candidate of its label."""

    precision: dict[int, Floats]
    """k -> proportion of the k nearest with the query's label; of all candidates if there are fewer than k."""
    average_precision: Floats
    r_precision: Floats
    vote: Floats
    """Proportion of pneumonia among the nearest VOTERS, in [0, 1]; NaN where these are all candidates, whose vote does
    not depend on the query, but on which label it leaves out."""
    chance: Floats
    """Proportion of the candidates with the query's label: the expected precision of random hits, at every k."""
    candidates: Floats
    """Number of images that could be hits."""


def ranked(
    queries: Collection, base: Collection | None = None, *, other_patients: bool = False, ks: Sequence[int] = KS
) -> Ranked:
    """Each query's candidates ranked by cosine, ties by row (Manning et al. 2008, sections 8.3 and 8.4).

    base: the images to search; None for the queries themselves, leave-one-out. other_patients: whether images of the
    query's patient are excluded too. Raises InputError if there is nothing to compare.
    """
    pool = base or queries
    if len(queries.labels) < 1 or len(pool.labels) < (2 if base is None else 1):
        raise InputError(f"retrieval needs at least two images; got {len(queries.labels)} and {len(pool.labels)}")
    found = Ranked({k: _unknown(queries) for k in ks}, *(_unknown(queries) for _ in range(5)))
    block = max(1, BLOCK // len(pool.labels))
    for start in range(0, len(queries.labels), block):
        rows = np.arange(start, min(start + block, len(queries.labels)))
        barred = np.zeros((len(rows), len(pool.labels)), dtype=bool)
        if base is None:
            barred[np.arange(len(rows)), rows] = True
        if other_patients:
            barred |= queries.patients[rows][:, None] == pool.patients[None]
        _rank(queries, pool, rows, barred, found)
    return found


def _rank(queries: Collection, pool: Collection, rows: NDArray[np.intp], barred: NDArray[np.bool_], to: Ranked) -> None:
    """Fill the given rows of `to`. barred: bool (rows, pool), images that are not candidates."""
    near: Floats = np.empty(barred.shape)
    wide = queries.vectors[rows].astype(np.float64)
    for start in range(0, len(pool.labels), COLUMNS):
        near[:, start : start + COLUMNS] = wide @ pool.vectors[start : start + COLUMNS].astype(np.float64).T
    near = np.round(near, 12)  # so that equal vectors have equal similarities wherever they stand
    near[barred] = -np.inf
    order = np.argsort(-near, axis=1, kind="stable")
    count = len(pool.labels)
    candidates = count - barred.sum(axis=1)
    place = np.arange(count)
    there = place < candidates[:, None]
    relevant = (pool.labels[order] == queries.labels[rows][:, None]) & there
    relevants = relevant.sum(axis=1)
    for k, values in to.precision.items():
        values[rows] = _share(relevant[:, :k].sum(axis=1), np.minimum(candidates, k))
    precision = np.cumsum(relevant, axis=1) / (place + 1)
    to.average_precision[rows] = _share((precision * relevant).sum(axis=1), relevants)
    to.r_precision[rows] = _share((relevant & (place < relevants[:, None])).sum(axis=1), relevants)
    voters = there & (place < VOTERS)
    vote = _share((pool.labels[order] * voters).sum(axis=1), voters.sum(axis=1))
    to.vote[rows] = np.where(candidates > VOTERS, vote, np.nan)
    to.chance[rows] = _share(relevants, candidates)
    to.candidates[rows] = candidates


def measured(
    queries: Collection,
    base: Collection | None = None,
    *,
    other_patients: bool = False,
    seed: int,
    replicates: int = 1000,
    ks: Sequence[int] = KS,
) -> Iterator[Measured]:
    """Means over the queries with 95 % bootstrap intervals over their patients: p_at_K, map (mean average precision),
    r_precision, chance, and vote_auc, the AUC of the nearest neighbours' vote; for all queries also vote_auc_chance,
    see `vote_by_chance`.

    Slices: all, each label (without vote_auc), and each cause (whose vote_auc is against all normal queries). n is the
    number of queries with a value. Arguments as in `ranked`.
    """
    ranks = ranked(queries, base, other_patients=other_patients, ks=ks)
    means = {f"p_at_{k}": values for k, values in ranks.precision.items()}
    means |= {"map": ranks.average_precision, "r_precision": ranks.r_precision}
    ill = queries.labels == 1
    everyone = np.ones(len(ill), dtype=bool)
    slices = {"all": everyone} | {name: queries.labels == label for label, name in CLASSES.items()}
    slices |= {str(cause): queries.causes == cause for cause in sorted(set(queries.causes[ill]) - {""})}
    for where, members in slices.items():
        rows = np.flatnonzero(members)
        if not len(rows):
            continue
        patients = queries.patients[rows]
        for name, values in means.items():
            yield Measured(name, where, share(values[rows], patients, seed=seed, replicates=replicates))
        known = np.isfinite(ranks.chance[rows])
        level = float(ranks.chance[rows][known].mean()) if known.any() else np.nan
        yield Measured("chance", where, Interval(level, np.nan, np.nan, int(known.sum())))
        if where in CLASSES.values():
            continue
        voted = np.flatnonzero((members | (queries.labels == 0)) & np.isfinite(ranks.vote))
        if not len(voted):
            continue
        sample = Sample.of(queries.labels[voted], ranks.vote[voted], threshold=0.5)
        interval = cluster_bootstrap(
            partial(METRICS["auc"], sample), queries.patients[voted], seed=seed, replicates=replicates
        )
        yield Measured("vote_auc", where, interval)
        if where == "all":
            yield Measured("vote_auc_chance", where, vote_by_chance(queries.labels[voted], ranks, voted, seed=seed))


def vote_by_chance(
    labels: NDArray[np.int64], ranks: Ranked, rows: NDArray[np.intp], *, seed: int, draws: int = 200
) -> Interval:
    """The AUC of the vote if hits were drawn at random: mean and 95 % percentile interval over draws. With
    leave-one-out it is below .5, because removing the query leaves fewer candidates of its own label.

    labels: (n,), of these rows. rows: (n,), the queries of `ranks` to include.
    """
    candidates = ranks.candidates[rows].astype(np.int64)
    alike = np.rint(ranks.chance[rows] * candidates).astype(np.int64)
    ill = np.where(labels == 1, alike, candidates - alike)
    voters = np.minimum(candidates, VOTERS)
    rng = np.random.default_rng(seed)
    votes = rng.hypergeometric(ill, candidates - ill, voters, size=(draws, len(rows))) / voters
    found = np.array([auc(labels, vote) for vote in votes])
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(found.mean()), float(low), float(high), len(rows))


def text_precision(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    answering: NDArray[np.bool_],
    kinds: Sequence[str],
    *,
    seed: int,
    replicates: int = 1000,
    ks: Sequence[int] = KS,
) -> Iterator[Measured]:
    """Precision of text queries: text_p_at_K, and text_chance, the expected precision of random hits.

    vectors: images, float32 (n, d). queries: float32 (q, d). answering: bool (q, n), which images are relevant to which
    query. kinds: (q,), of the queries; they are the slices besides "all". 95 % bootstrap intervals over queries; n is
    the number of queries. Ties are ordered by row. Raises InputError if the shapes do not match.
    """
    if answering.shape != (len(queries), len(vectors)) or len(kinds) != len(queries):
        raise InputError(f"got {len(queries)} queries, {len(vectors)} images, answers {answering.shape}")
    near = np.round(queries.astype(np.float64) @ vectors.astype(np.float64).T, 12)
    right = np.take_along_axis(answering, np.argsort(-near, axis=1, kind="stable"), axis=1)
    asked = np.asarray(kinds)
    for where in ("all", *dict.fromkeys(kinds)):
        rows = np.flatnonzero((asked == where) | (where == "all"))
        for k in ks:
            values = right[rows, :k].mean(axis=1)
            found = share(values, rows.astype(str), seed=seed, replicates=replicates)
            yield Measured(f"text_p_at_{k}", where, found)
        yield Measured("text_chance", where, Interval(float(answering[rows].mean()), np.nan, np.nan, len(rows)))


def _unknown(queries: Collection) -> Floats:
    return np.full(len(queries.labels), np.nan)


def _share(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Floats:
    shares: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) > 0)
    return shares
