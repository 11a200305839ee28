"""The training images nearest to each failure, and near-duplicates of audited images in the training set."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db import session, writes
from db.models import Neighbour
from db.queries import indexes
from db.queries.predictions import PredictedImage
from db.writes import MetricValue
from jobs.audits.subject import Audit, column, files
from jobs.results.values import metric_value

NEAREST = 5
EMBEDDER = "classifier"
CHUNK = 256
"""Audited images that are compared with all training images at once."""


def neighbours(audit: Audit) -> Iterator[MetricValue]:
    """Store the five nearest training images of each failure, and every near-duplicate of any audited image.

    Measures the share of nearest images with the same label, and the share of images with a near-duplicate.
    """
    from engine.metrics.bootstrap import Interval
    from engine.metrics.proportions import wilson
    from engine.retrieval.duplicates import NEAR, distances, verdict

    subject = audit.subject
    ours, theirs = vectors(audit)
    labels, training_ids = column(subject.training, "label"), column(subject.training, "image_id")
    agreement = np.empty(len(subject.judged))
    duplicated = np.zeros(len(subject.judged), dtype=bool)
    rows = []
    for start in range(0, len(subject.judged), CHUNK):
        chunk = slice(start, start + CHUNK)
        similarities = ours[chunk].astype(np.float64) @ theirs.T.astype(np.float64)
        apart = distances(audit.appearance["hash"][chunk], audit.other_appearance["hash"])
        for place, (near, bits) in enumerate(zip(similarities, apart, strict=True), start=start):
            image = subject.judged[place]
            nearest = np.lexsort((training_ids, -near))[:NEAREST]
            copies = np.flatnonzero(bits <= NEAR)
            agreement[place] = (labels[nearest] == image.label).mean()
            duplicated[place] = len(copies) > 0
            listed = np.union1d(nearest, copies) if subject.failed[place] else copies
            rows += [
                {
                    "run_id": audit.run.id,
                    "image_id": image.image_id,
                    "neighbour_id": int(training_ids[other]),
                    "rank": rank,
                    "similarity": float(near[other]),
                    "hash_distance": int(bits[other]),
                    "verdict": verdict(int(bits[other])),
                }
                for rank, other in enumerate(listed[np.argsort(-near[listed], kind="stable")], start=1)
            ]
    with session.transaction(audit.run.context.engine) as db:
        writes.clear(db, Neighbour, audit.run.id)
        writes.upsert(db, Neighbour, rows, unique=("run_id", "image_id", "rank"))
    everything = np.ones(len(subject.judged), dtype=bool)
    for name, chosen in {"all": everything, "failures": subject.failed, "correct": ~subject.failed}.items():
        of_slice = [row for row, is_in in zip(subject.judged, chosen, strict=True) if is_in]
        if of_slice:
            agreed = audit.mean(agreement[chosen], of_slice)
            yield metric_value("neighbour_label_agreement", subject.split, name, agreed)
            share = float(duplicated[chosen].mean())
            low, high = wilson(share, len(np.unique(column(of_slice, "patient_key"))))
            yield metric_value("near_duplicates", subject.split, name, Interval(share, low, high, len(of_slice)))


def vectors(audit: Audit) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The classifier's features of audited and training images, minus the training images' mean, as unit vectors: from
    its index if possible, else computed."""
    from engine.retrieval.index.centring import centre_of, centred

    subject = audit.subject
    indexed = from_index(audit)
    if indexed is not None:
        return indexed
    judged = embedded(audit, "audited", subject.judged, Path(subject.dataset.root))
    training = embedded(audit, "training", subject.training, subject.classifier.root)
    centre = centre_of(training)
    return centred(judged, centre), centred(training, centre)


def from_index(audit: Audit) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The vectors from the index that `embed` built with this same classifier, or None if it lacks any image."""
    from engine.retrieval.index.folder import IndexDamagedError
    from engine.retrieval.index.vector_index import VectorIndex

    subject, context = audit.subject, audit.run.context
    with session.reading(context.engine) as db:
        known = indexes.current(db, subject.dataset.id)
    for index in known:
        if index.embedder != EMBEDDER or index.revision != audit.classifier.revision[: len(index.revision)]:
            continue
        try:
            opened = VectorIndex.open(context.artifacts / index.path, sha256=index.sha256)
        except IndexDamagedError:
            continue
        rows = [opened.rows(column(part, "image_id")) for part in (subject.judged, subject.training)]
        if [len(found) for found in rows] == [len(subject.judged), len(subject.training)]:
            judged, training = (np.asarray(opened.vectors[found]) for found in rows)
            return judged, training
    return None


def embedded(audit: Audit, which: str, rows: list[PredictedImage], root: Path) -> NDArray[np.float32]:
    """The classifier's features as unit vectors."""
    from engine.imaging.images import read_batch
    from engine.retrieval.embedders import unit

    def features(part: list[PredictedImage]) -> NDArray[np.float32]:
        pixels = read_batch(files(root, part), size=audit.classifier.input_size)
        return unit(audit.classifier.run(pixels).features)

    return audit.sharded(f"features-{which}", rows, features, stage=f"computing features of {which} images")
