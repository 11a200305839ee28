"""How readers compare: with each other, with the label and with the model, from their verdicts on single images."""

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
    """A reader's verdict on an image, with what label and model say of it: 1 pneumonia, 0 normal, None unknown."""

    image: int
    patient: str
    reader: str
    verdict: str
    call: int | None
    """The verdict as 1 or 0; None where it is neither, such as uncertain."""
    label: int | None
    model: int | None


@dataclass(frozen=True)
class PairAgreement:
    """Two readers on the images that both judged. agreement: share of equal verdicts."""

    first: str
    second: str
    agreement: Interval
    kappa: Interval


@dataclass(frozen=True)
class GroupAgreement:
    """All readers at once; None where no image has two verdicts."""

    fleiss: Interval | None
    """Over the images with exactly `verdicts` verdicts."""
    verdicts: int
    """The number, 2 or more, that most images have; 0 where none has."""
    alpha: Interval | None
    """Krippendorff's, over the images that two or more judged."""


@dataclass(frozen=True)
class ReferenceAgreement:
    """A reader against label or model. undecided: verdicts that are neither pneumonia nor normal, which are left out;
    unknown: images whose label or call is not known, left out too. The rest is None where nothing is left."""

    reader: str
    undecided: int
    unknown: int
    agreement: Interval | None = None
    """Share of equal verdicts."""
    kappa: Interval | None = None
    sensitivity: Interval | None = None
    """Of the verdict, with the label for the truth; None against the model."""
    specificity: Interval | None = None


class ReaderStudy:
    """Judgements sorted by reader and image; resampling draws patients, since images of one are not independent."""

    def __init__(
        self, judgements: Sequence[Judgement], *, readers: int | None = None, seed: int = 0, replicates: int = 1000
    ) -> None:
        """judgements: one at most of each reader and image. readers: only the so many that judged most."""
        self.by_reader: dict[str, dict[int, Judgement]] = {}
        for one in judgements:
            self.by_reader.setdefault(one.reader, {})[one.image] = one
        self.readers = sorted(self.by_reader, key=lambda reader: (-len(self.by_reader[reader]), reader))[:readers]
        """Those that judged most first."""
        self._patients = {one.image: one.patient for one in judgements}
        self._seed, self._replicates = seed, replicates

    def pairs(self) -> list[PairAgreement]:
        """Every two readers that judged an image in common; all verdicts are categories."""
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
        """Fleiss' kappa needs as many verdicts on each image: it is of the largest group of images that have.
        Krippendorff's alpha takes every image with two verdicts or more."""
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
        """Every reader against the model's call."""
        return [
            self._against(reader, {i: one.model for i, one in rows.items()}, False) for reader, rows in self._rows()
        ]

    def apart(self, kind: str) -> list[int]:
        """Images where judgements differ, in order: "readers" from each other, or a reader from "model" or "label"."""
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
        """What each reader said of the image."""
        return {reader: rows[image].verdict for reader, rows in self._rows() if image in rows}

    def _rows(self) -> list[tuple[str, dict[int, Judgement]]]:
        return [(reader, self.by_reader[reader]) for reader in self.readers]

    def _counts(self) -> dict[int, list[int]]:
        """How many readers put each image into each category."""
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
