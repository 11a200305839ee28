"""Agreement of readers with each other, with the label and with the model, from their verdicts on images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.metrics.agreement import cohen, fleiss, krippendorff
from engine.metrics.bootstrap import Floats, Interval, Statistic, cluster_bootstrap
from engine.metrics.proportions import share


@dataclass(frozen=True)
class Judgement:
    """A reader's verdict on an image, with label and model prediction: 1 pneumonia, 0 normal, None if unknown."""

    image: int
    patient: str
    reader: str
    verdict: str
    call: int | None
    """The verdict as 1 or 0; None if it is neither, such as uncertain."""
    label: int | None
    model: int | None


@dataclass(frozen=True)
class PairAgreement:
    """Two readers on the images that both reviewed. agreement: proportion of equal verdicts."""

    first: str
    second: str
    agreement: Interval
    kappa: Interval


@dataclass(frozen=True)
class GroupAgreement:
    """Agreement of all readers; None if no image has two verdicts."""

    fleiss: Interval | None
    """Fleiss' kappa over the images with exactly `verdicts` verdicts."""
    verdicts: int
    """The most common number of verdicts per image, of those from 2 up; 0 if no image has two."""
    alpha: Interval | None
    """Krippendorff's alpha over the images with two or more verdicts."""


@dataclass(frozen=True)
class ReferenceAgreement:
    """A reader against label or model. undecided: number of verdicts that are neither pneumonia nor normal; unknown:
    number of images whose label or prediction is unknown; both are left out. The rest is None if nothing remains."""

    reader: str
    undecided: int
    unknown: int
    agreement: Interval | None = None
    """Proportion of equal verdicts."""
    kappa: Interval | None = None
    sensitivity: Interval | None = None
    """Of the reader, with the label as ground truth; None against the model."""
    specificity: Interval | None = None


class ReaderStudy:
    """Judgements by reader and image; the bootstrap resamples patients, whose images are not independent."""

    def __init__(
        self, judgements: Sequence[Judgement], *, readers: int | None = None, seed: int = 0, replicates: int = 1000
    ) -> None:
        """judgements: at most one for each reader and image. readers: how many readers to include, those with the most
        judgements first; None for all."""
        self.by_reader: dict[str, dict[int, Judgement]] = {}
        for one in judgements:
            self.by_reader.setdefault(one.reader, {})[one.image] = one
        self.readers = sorted(self.by_reader, key=lambda reader: (-len(self.by_reader[reader]), reader))[:readers]
        """Sorted by number of judgements, most first."""
        self._patients = {one.image: one.patient for one in judgements}
        self._seed, self._replicates = seed, replicates

    def pairs(self) -> list[PairAgreement]:
        """Every pair of readers with an image in common; each distinct verdict is a category."""
        found = []
        for first, second in combinations(self.readers, 2):
            one, other = self.by_reader[first], self.by_reader[second]
            images = sorted(one.keys() & other.keys())
            if images:
                left, right = ([side[image].verdict for image in images] for side in (one, other))
                same = (np.asarray(left) == np.asarray(right)).astype(np.float64)
                equal = self._share(same, images)
                found.append(PairAgreement(first, second, equal, self._interval(cohen(left, right), images)))
        return found

    def together(self) -> GroupAgreement:
        """Agreement of all readers. Fleiss' kappa needs the same number of verdicts on each image, so it covers the
        largest group of images with an equal number. Krippendorff's alpha covers all images with two or more."""
        counts = {image: row for image, row in self._counts().items() if sum(row) > 1}
        if not counts:
            return GroupAgreement(None, 0, None)
        sizes = Counter(sum(row) for row in counts.values())
        most = max(sizes, key=lambda number: (sizes[number], number))
        equal = [image for image, row in counts.items() if sum(row) == most]
        return GroupAgreement(
            fleiss=self._interval(fleiss([counts[image] for image in equal]), equal),
            verdicts=most,
            alpha=self._interval(krippendorff(list(counts.values())), list(counts)),
        )

    def against_label(self) -> list[ReferenceAgreement]:
        """Every reader against the label."""
        return [self._against(reader, {i: one.label for i, one in rows.items()}, True) for reader, rows in self._rows()]

    def against_model(self) -> list[ReferenceAgreement]:
        """Every reader against the model's prediction."""
        return [
            self._against(reader, {i: one.model for i, one in rows.items()}, False) for reader, rows in self._rows()
        ]

    def apart(self, kind: str) -> list[int]:
        """Ids of the images with disagreement, sorted. kind: "readers" among each other, or a reader with "model" or
        "label"."""
        found = set()
        verdicts: dict[int, str] = {}
        for _, rows in self._rows():
            for image, one in rows.items():
                truth = {"model": one.model, "label": one.label}.get(kind)
                if kind == "readers":
                    differs = verdicts.setdefault(image, one.verdict) != one.verdict
                else:
                    differs = one.call is not None and truth is not None and one.call != truth
                if differs:
                    found.add(image)
        return sorted(found)

    def verdicts(self, image: int) -> dict[str, str]:
        """Reader -> verdict on the image."""
        return {reader: rows[image].verdict for reader, rows in self._rows() if image in rows}

    def _rows(self) -> list[tuple[str, dict[int, Judgement]]]:
        return [(reader, self.by_reader[reader]) for reader in self.readers]

    def _counts(self) -> dict[int, list[int]]:
        """Image -> number of readers in each category."""
        categories = sorted({one.verdict for _, rows in self._rows() for one in rows.values()})
        place = {category: at for at, category in enumerate(categories)}
        counts = {image: [0] * len(categories) for image in sorted(self._patients)}
        for _, rows in self._rows():
            for image, one in rows.items():
                counts[image][place[one.verdict]] += 1
        return counts

    def _against(self, reader: str, truth: Mapping[int, int | None], is_label: bool) -> ReferenceAgreement:
        rows = self.by_reader[reader]
        decided = [image for image in sorted(rows) if rows[image].call is not None]
        images = [image for image in decided if truth[image] is not None]
        left_out = len(rows) - len(decided), len(decided) - len(images)
        if not images:
            return ReferenceAgreement(reader, *left_out)
        calls = np.array([rows[image].call for image in images])
        true = np.array([truth[image] for image in images])
        right = (calls == true).astype(np.float64)
        agreement, kappa = self._share(right, images), self._interval(cohen(calls, true), images)
        if not is_label:
            return ReferenceAgreement(reader, *left_out, agreement, kappa)
        rates = [self._share(np.where(true == truly, right, np.nan), images) for truly in (1, 0)]
        return ReferenceAgreement(reader, *left_out, agreement, kappa, *rates)

    def _share(self, values: Floats, images: Sequence[int]) -> Interval:
        """The mean of values that are 0, 1 or NaN."""
        return share(values, self._clusters(images), seed=self._seed, replicates=self._replicates)

    def _interval(self, statistic: Statistic, images: Sequence[int]) -> Interval:
        return cluster_bootstrap(statistic, self._clusters(images), seed=self._seed, replicates=self._replicates)

    def _clusters(self, images: Sequence[int]) -> list[str]:
        return [self._patients[image] for image in images]
