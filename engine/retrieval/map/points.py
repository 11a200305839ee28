"""The points of a map: which images are drawn and which lie in a box, as arrays over all images of any number."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.labels import CLASSES, NAMES

OUTCOMES = ("no outcome", "TP", "TN", "FN", "FP")
"""Names that `Points.outcomes` indexes."""
LABELS = (NAMES[None], *CLASSES.values())
"""Names of the labels -1, 0 and 1."""

Rows = NDArray[np.intp]
Box = tuple[float, float, float, float]
"""Left, right, lower and upper edge."""


@dataclass(frozen=True)
class Points:
    """The n images on a map, one array per column.

    ids: int64, distinct. places: float32 (n, 2). labels: int8, 1 pneumonia, 0 normal, -1 unknown. probabilities:
    float64 in [0, 1], NaN if unknown. threshold: in [0, 1]. clusters: int16 from 1, if the map has clusters. values:
    int16, indexes into value_names, if the map is coloured by an attribute.
    """

    ids: NDArray[np.int64]
    places: NDArray[np.float32]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    threshold: float | None = None
    clusters: NDArray[np.int16] | None = None
    values: NDArray[np.int16] | None = None
    value_names: tuple[str, ...] = ()

    @cached_property
    def outcomes(self) -> NDArray[np.uint8]:
        """Each image's index into OUTCOMES, uint8 (n,)."""
        if self.threshold is None:
            return np.zeros(len(self.ids), dtype=np.uint8)
        called = self.probabilities >= self.threshold
        judged = (self.labels >= 0) & ~np.isnan(self.probabilities)
        right = called == (self.labels == 1)
        code = np.where(called, np.where(right, 1, 4), np.where(right, 2, 3))
        return np.where(judged, code, 0).astype(np.uint8)

    @cached_property
    def failures(self) -> NDArray[np.bool_]:
        """Whether the classifier is wrong on each image, bool (n,)."""
        return self.outcomes >= OUTCOMES.index("FN")

    def column(self, name: str, rows: Rows) -> NDArray[Any]:
        """The values of a column as text, str (m,) for rows (m,). name: label, outcome or cluster; any other name means
        the attribute in `values`."""
        if name == "cluster":
            assert self.clusters is not None
            return np.char.add("cluster ", self.clusters[rows].astype(str))
        names, codes = self._coded(name)
        found: NDArray[Any] = np.array(names)[codes[rows]]
        return found

    def counts(self, name: str) -> dict[str, int]:
        """The number of images with each label, outcome, cluster or attribute value; zero counts are left out."""
        if name == "cluster":
            numbers, found = np.unique(np.asarray(self.clusters), return_counts=True)
            return {f"cluster {number}": int(count) for number, count in zip(numbers, found, strict=True)}
        names, codes = self._coded(name)
        found = np.bincount(codes, minlength=len(names))
        return {name: int(count) for name, count in zip(names, found, strict=True) if count}

    def _coded(self, name: str) -> tuple[tuple[str, ...], NDArray[Any]]:
        """(the possible names, each image's index into them)."""
        if name == "label":
            return LABELS, self.labels + 1
        if name == "outcome":
            return OUTCOMES, self.outcomes
        assert self.values is not None
        return self.value_names, self.values


def drawn(points: Points, *, most: int, failures: int) -> Rows:
    """The rows to show in a chart of at most `most` images, in ascending order.

    All rows if they fit; else up to `failures` images that the classifier gets wrong, and as many of the others as fit.
    They are sampled by a hash of the id, so that the same images are shown every time.
    """
    if len(points.ids) <= most:
        return np.arange(len(points.ids))
    wrong = _lowest(points.ids, np.flatnonzero(points.failures), min(failures, most))
    others = _lowest(points.ids, np.flatnonzero(~points.failures), most - len(wrong))
    return np.sort(np.concatenate([wrong, others]))


def inside(points: Points, box: Box) -> Rows:
    """The rows of the images in the box, edges included."""
    left, right, low, high = box
    x, y = points.places[:, 0], points.places[:, 1]
    return np.flatnonzero((x >= left) & (x <= right) & (y >= low) & (y <= high))


def most_wrong(points: Points, rows: Rows, *, limit: int) -> Rows:
    """At most `limit` of these rows: failures first, then the others, each by the distance of the probability from the
    label (largest first), then by id; images with an unknown label or probability come last."""
    labels = points.labels[rows]
    errors = np.where(labels < 0, np.nan, np.abs(points.probabilities[rows] - labels))
    errors = np.where(np.isnan(errors), -1.0, errors) + 2 * points.failures[rows]
    if len(rows) > limit:
        least = np.partition(errors, len(rows) - limit)[len(rows) - limit]
        near = errors >= least
        rows, errors = rows[near], errors[near]
    return rows[np.lexsort((points.ids[rows], -errors))][:limit]


def _lowest(ids: NDArray[np.int64], rows: Rows, count: int) -> Rows:
    """The `count` rows whose ids have the lowest hashes."""
    if len(rows) <= count:
        return rows
    # Knuth's multiplicative hash, modulo 2^32
    hashes = (ids[rows].astype(np.uint64) * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    return rows[np.argpartition(hashes, count)[:count]]
