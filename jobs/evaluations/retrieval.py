"""Retrieval metrics of an index, for image queries and text queries."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from db import session
from db.models import Run, VectorIndex
from db.queries import leakage, predictions, runs
from db.queries.predictions import KnownImage, PredictedImage
from db.slice_names import embedder_slice
from db.writes import MetricValue
from engine.datasets.splits import LEARNT_FROM
from engine.errors import InputError
from jobs.command import Context
from jobs.results.indexed import Rows, index_rows, test_rows
from jobs.results.values import metric_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.metrics.evaluation import Measured
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex
    from engine.retrieval.text.facts import Facts

WAYS = ("", "other_patients_", "from_train_")
"""The ways of measuring retrieval, by metric prefix: leave-one-out among test images; the same without other images of
the query's patient; and test images against those of train and val."""


def retrieval_values(
    context: Context, index: VectorIndex, predict: Run | None, *, seed: int, replicates: int
) -> Iterator[MetricValue]:
    """Every retrieval metric in each of WAYS, with the embedder's name or "NAME / class or cause" as slice, and the
    precision of the written queries if the embedder reads text. predict: the run whose heatmaps give the lung zones."""
    from engine.metrics.retrieval import Collection, measured

    opened, rows = index_rows(context, index)
    split, of_split = test_rows(rows)
    learnt = [(row, image) for row, image in rows if image.split in LEARNT_FROM]
    judged = unseen(context, index, of_split)

    def collection(rows: Sequence[tuple[int, KnownImage]]) -> Collection:
        labelled = [(row, image) for row, image in rows if image.label is not None]
        images = [image for _, image in labelled]
        return Collection.of(
            opened.vectors[[row for row, _ in labelled]],
            np.array([image.label for image in images], dtype=np.intp),
            [image.patient_key for image in images],
            [image.cause or "" for image in images],
        )

    queries = collection(judged)
    if len(queries.labels) < 2:
        kind = "test images" if split == "test" else "images"
        whose = " of patients unseen by its classifier" if len(judged) < len(of_split) else ""
        raise InputError(f"it holds fewer than two labelled {kind}{whose}")
    for prefix in WAYS:
        base = collection(learnt) if prefix == "from_train_" else None
        if base is not None and (split != "test" or not len(base.labels)):
            continue
        other = prefix == "other_patients_"
        for value in measured(queries, base, other_patients=other, seed=seed, replicates=replicates):
            where = embedder_slice(index.embedder, value.slice)
            yield metric_value(f"{prefix}{value.name}", split, where, value.interval)
    if opened.words is not None and not learnt:
        return  # the words were fitted on these same images
    for value in text_values(context, index, opened, judged, predict, seed=seed, replicates=replicates):
        where = embedder_slice(index.embedder, value.slice)
        yield metric_value(value.name, split, where, value.interval)


def unseen(context: Context, index: VectorIndex, rows: Rows) -> Rows:
    """The rows of patients unseen by the classifier that the embedder is built on; all rows if there is none."""
    with session.reading(context.engine) as db:
        built = runs.find(db, index.run_id)
        train_run = built.config.get("train_run") if built else None
        if train_run is None:
            return rows
        kept = leakage.unseen_of(db, index.dataset_id, train_run)
    return [(row, image) for row, image in rows if image.image_id in kept]


def text_values(
    context: Context,
    index: VectorIndex,
    opened: "OpenIndex",
    judged: Rows,
    predict: Run | None,
    *,
    seed: int,
    replicates: int,
) -> "Iterator[Measured]":
    """The precision of the written queries among `judged`; nothing if the embedder reads no text."""
    from engine.metrics.retrieval import text_precision
    from engine.retrieval.text.written_queries import QUERIES

    queries = query_vectors(context, index)
    if queries is None:
        return
    relevant, answerable = answers(context, [image for _, image in judged], predict)
    vectors = opened.vectors[[row for row, _ in judged]]
    kinds = [QUERIES[number].kind for number in answerable]
    yield from text_precision(vectors, queries[answerable], relevant, kinds, seed=seed, replicates=replicates)


def query_vectors(context: Context, index: VectorIndex) -> "NDArray[np.float32] | None":
    """The written queries as vectors of the index, float32 (40, d); None if its embedder reads no text, or if it was
    built with other queries."""
    from engine.retrieval.text.written_queries import QUERIES_SHA256

    with session.reading(context.engine) as db:
        stored = runs.artifact(db, index.run_id, "query_vectors")
        built = runs.find(db, index.run_id)
    current = built is not None and built.config.get("queries") == QUERIES_SHA256
    if stored is None or not current or not (context.artifacts / stored.path).is_file():
        return None
    found: NDArray[np.float32] = np.load(context.artifacts / stored.path, allow_pickle=False)
    return found


def answers(
    context: Context, images: Sequence[KnownImage], predict: Run | None
) -> "tuple[NDArray[np.bool_], NDArray[np.intp]]":
    """Which images are relevant to each written query, bool (q, n), and the queries' numbers, int (q,). Queries without
    a relevant image, such as a cause that no image has, are left out."""
    from engine.retrieval.text.written_queries import QUERIES, answering

    facts = facts_of(context, images, predict)
    found = np.array([answering(query, facts) for query in QUERIES])
    answerable = np.flatnonzero(found.any(axis=1))
    return found[answerable], answerable


def facts_of(context: Context, images: Sequence[KnownImage], predict: Run | None) -> "Facts":
    """Label, cause and lung zones of the images; zones only for images that the predict run scored."""
    from engine.imaging.heat import ZONES, evidence, prominent
    from engine.retrieval.text.facts import Facts

    predicted: dict[int, PredictedImage] = {}
    if predict is not None:
        with session.reading(context.engine) as db:
            predicted = {image.image_id: image for image in predictions.of_run(db, predict.id)}
    rows = [predicted.get(image.image_id) for image in images]
    shares = np.array([[((row and row.zones) or {}).get(zone, np.nan) for zone in ZONES] for row in rows])
    found = evidence(shares, np.array([row.probability if row else np.nan for row in rows]))
    labels = np.array([-1 if image.label is None else image.label for image in images])
    causes = np.array([image.cause or "" for image in images])
    return Facts(labels, causes, prominent(found, labels == 1))
