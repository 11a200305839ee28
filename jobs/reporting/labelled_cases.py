"""The labelled cases of other patients that are most similar to an image, from a vector index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset
from db.queries import predictions
from db.queries.predictions import KnownImage
from engine.datasets.splits import LEARNT_FROM
from engine.digests import json_sha256
from jobs import indexes
from jobs.command import Context

if TYPE_CHECKING:
    from engine.reporting.generators import LabelledCase
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex


@dataclass(frozen=True)
class LabelledCases:
    """An index, the labelled images in it by id, and their human-written reports by path."""

    index: "OpenIndex"
    known: Mapping[int, KnownImage]
    references: Mapping[str, str]
    settings: dict[str, str]
    """What determines the choice of cases, for a report's settings."""
    found: "dict[int, Sequence[LabelledCase]]" = field(default_factory=dict)
    """Earlier lookups, since every strategy asks for the same images."""

    @classmethod
    def of(
        cls, context: Context, dataset: Dataset, embedder: str | None, references: Mapping[str, str]
    ) -> "LabelledCases":
        """Use the index of `embedder`, or the latest one, and its cases from the LEARNT_FROM splits, or from all splits
        if it has none of these. Raises JobError or UsageError if there is no index."""
        chosen = indexes.choose(context, dataset, embedder)
        index = indexes.open_index(context, chosen)
        with session.reading(context.engine) as db:
            images = predictions.images(db, index.ids.tolist())
        labelled = {number: image for number, image in images.items() if image.label is not None}
        learnt = {number: image for number, image in labelled.items() if image.split in LEARNT_FROM}
        known = learnt or labelled
        facts = [(i.sha256, i.label, i.cause, references.get(i.path)) for i in known.values()]
        patients = [(i.sha256, i.patient_key) for i in images.values()]
        chosen_by = {"cases": json_sha256(facts), "patients": json_sha256(patients)}
        settings = {"embedder": chosen.embedder, "index": chosen.sha256, **chosen_by}
        return cls(index, known, references, settings)

    def nearest(self, image: KnownImage, k: int) -> "Sequence[LabelledCase]":
        """The k most similar cases of other patients, most similar first; empty if the image is not in the index."""
        if image.image_id not in self.found:
            self.found[image.image_id] = self._nearest(image, k)
        return self.found[image.image_id]

    def _nearest(self, image: KnownImage, k: int) -> "Sequence[LabelledCase]":
        from engine.reporting.generators import LabelledCase

        rows = self.index.rows([image.image_id])
        if not len(rows):
            return ()
        others = [number for number, other in self.known.items() if other.patient_key != image.patient_key]
        found = self.index.search(self.index.vectors[rows], k, allowed_ids=others)
        return [
            LabelledCase(
                number=number,
                label=label,
                cause=self.known[number].cause,
                similarity=float(similarity),
                report=self.references.get(self.known[number].path),
            )
            for number, similarity in zip(found.ids[0].tolist(), found.similarities[0], strict=True)
            if number >= 0 and (label := self.known[number].label) is not None
        ]
