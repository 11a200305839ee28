"""Which images of a map are drawn, and what a box over it holds: arrays over all images, however many there are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTCOMES = ("not judged", "TP", "TN", "FN", "FP")
"""What `Points.outcomes` counts through."""
LABELS = ("unknown", "normal", "pneumonia")
"""Names of the labels -1, 0 and 1."""

Rows = NDArray[np.intp]
Box = tuple[float, float, float, float]
"""Left and right, lower and upper edge."""


@dataclass(frozen=True)
class Points:
    """The images on a map, as columns of n.

    ids: int64, distinct. places: float32 (n, 2). labels: int8, 1 pneumonia, 0 normal, -1 unknown. probabilities:
    float64 in [0, 1], NaN unknown. threshold: in [0, 1]. clusters: int16 from 1, where the map has them. values: of an
    attribute, int16, each an index into value_names, where the map is coloured by one.
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
        """Index into OUTCOMES of each image, uint8 (n,)."""
        if self.threshold is None:
            return np.zeros(len(self.ids), dtype=np.uint8)
        called = self.probabilities >= self.threshold
        judged = (self.labels >= 0) & ~np.isnan(self.probabilities)
        right = called == (self.labels == 1)
        code = np.where(called, np.where(right, 1, 4), np.where(right, 2, 3))
        return np.where(judged, code, 0).astype(np.uint8)

    @cached_property
    def failures(self) -> NDArray[np.bool_]:
        """Whether the classifier is wrong on each, bool (n,)."""
        return self.outcomes >= OUTCOMES.index("FN")

    def column(self, name: str, rows: Rows) -> NDArray[Any]:
        """label, outcome, cluster, or else the attribute's value of these images, in words: (m,) for rows (m,)."""
        if name == "cluster":
            assert self.clusters is not None
            return np.char.add("cluster ", self.clusters[rows].astype(str))
        names, codes = self._coded(name)
        found: NDArray[Any] = np.array(names)[codes[rows]]
        return found

    def counts(self, name: str) -> dict[str, int]:
        """How many of all images have each label, outcome, cluster or value; those that none has are left out."""
        if name == "cluster":
            numbers, found = np.unique(np.asarray(self.clusters), return_counts=True)
            return {f"cluster {number}": int(count) for number, count in zip(numbers, found, strict=True)}
        names, codes = self._coded(name)
        found = np.bincount(codes, minlength=len(names))
        return {name: int(count) for name, count in zip(names, found, strict=True) if count}

    def _coded(self, name: str) -> tuple[tuple[str, ...], NDArray[Any]]:
        """What images can be called, and which of it each is."""
        if name == "label":
            return LABELS, self.labels + 1
        if name == "outcome":
            return OUTCOMES, self.outcomes
        assert self.values is not None
        return self.value_names, self.values


def drawn(points: Points, *, most: int, failures: int) -> Rows:
    """The rows that a chart of at most `most` images shows, in row order: all where they are not more, else up to
    `failures` of those that the classifier gets wrong, and of the others as many as there is room for.

    Drawn by a hash of the id, so that the same images are shown every time, whatever else is asked.
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
    """Of these rows the failures, then the others: those whose probability is farthest from the label first, then by
    id; last those of which one of the two is unknown."""
    labels = points.labels[rows]
    errors = np.where(labels < 0, np.nan, np.abs(points.probabilities[rows] - labels))
    errors = np.where(np.isnan(errors), -1.0, errors) + 2 * points.failures[rows]
    if len(rows) > limit:
        least = np.partition(errors, len(rows) - limit)[len(rows) - limit]
        near = errors >= least
        rows, errors = rows[near], errors[near]
    return rows[np.lexsort((points.ids[rows], -errors))][:limit]


def _lowest(ids: NDArray[np.int64], rows: Rows, count: int) -> Rows:
    """The `count` rows whose ids' hashes are lowest."""
    if len(rows) <= count:
        return rows
    # Knuth's multiplicative hash, modulo 2^32
    hashes = (ids[rows].astype(np.uint64) * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    return rows[np.argpartition(hashes, count)[:count]]
