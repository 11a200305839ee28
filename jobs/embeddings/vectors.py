"""Obtains each image's vector from an earlier index, one of another embedder or the embedder, and centres them all."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from db import session, writes
from db.models import Dataset, Image
from db.queries import indexes as stored_indexes
from db.queries import leakage
from engine.datasets.splits import LEARNT_FROM
from engine.digests import json_sha256
from engine.retrieval.embedders import spec
from engine.retrieval.index.centring import centre_of, centred, uncentred
from engine.retrieval.index.folder import IndexDamagedError
from jobs import indexes
from jobs.command import Context
from jobs.run import ActiveRun, Advance
from jobs.shards import sharded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.imaging.images import Ingested
    from engine.retrieval.arrays import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex

SHARD, SHARDS = 512, "shards"
"""Images whose vectors share a file in this folder while the run is active: at most so many are redone after a kill."""


@dataclass(frozen=True)
class EmbeddedImages:
    """vectors: centred unit vectors, float32 (n, d), in the images' order. centre: subtracted from each, (d,).
    embedded: the number of images that were embedded now."""

    vectors: "Vectors"
    centre: "Vectors"
    embedded: int


def vectors_of(
    run: ActiveRun,
    dataset: Dataset,
    images: Sequence[Image],
    embedder: "Embedder",
    *,
    reuse: bool,
    batch_size: int,
) -> EmbeddedImages:
    """The vector of every image: copied from an earlier index of the same embedder, extracted from one of
    the embedder's lender, or embedded now. The centre is that of the current images, as if all were embedded now.

    reuse: False embeds all images.
    """
    ids = np.array([image.id for image in images], dtype=np.int64)
    earlier = reusable_index(run.context, dataset, embedder.name, embedder.revision) if reuse else None
    there = has_vector(earlier, ids)
    lender = embedder.lender if reuse and not there.all() else None
    lending = reusable_index(run.context, dataset, lender.name, lender.revision) if lender else None
    lent = has_vector(lending, ids) & ~there
    made = ~(there | lent)
    absent = [image for image, is_made in zip(images, made, strict=True) if is_made]
    whole = np.zeros((len(ids), embedder.dimension), np.float32)
    whole[made] = embedded(run, dataset, absent, embedder, batch_size=batch_size)
    if lender is not None and lending is not None:
        whole[lent] = lender.extract(uncentred(lending.vectors[lending.rows(ids[lent])], lending.centre))
    if earlier is not None:
        whole[there] = uncentred(earlier.vectors[earlier.rows(ids[there])], earlier.centre)
    centre = centre_for(embedder, images, whole)
    return EmbeddedImages(centred(whole, centre), centre, len(absent))


def embedded(
    run: ActiveRun, dataset: Dataset, images: Sequence[Image], embedder: "Embedder", *, batch_size: int
) -> "Vectors":
    """The images' vectors, float32 (n, d), computed in shards that a resumed run reuses."""
    from engine.imaging.images import Ingested

    train_run = run.config.get("train_run")
    with session.reading(run.context.engine) as db:
        learnt = leakage.trained_on(db, train_run) if train_run is not None else set()

    def computed(part: Sequence[Image], advance: Advance) -> "Vectors":
        files = [Ingested(Path(dataset.root) / image.path, image.sha256) for image in part]
        return embed_files(embedder, files, learnt, batch_size=batch_size, advance=advance)

    return sharded(
        run,
        images,
        computed,
        name=lambda part: f"{SHARDS}/{json_sha256([image.sha256 for image in part])[:16]}",
        stage="embedding images",
        size=SHARD,
        none=np.empty((0, embedder.dimension), np.float32),
        finite=True,
    )


def embed_files(
    embedder: "Embedder", files: "Sequence[Ingested]", learnt: Set[str], *, batch_size: int, advance: Advance
) -> "Vectors":
    """The files' vectors, float32 (n, d), reading `batch_size` of them at once, while those before are embedded.
    learnt: sha256 of the images that the embedder's classifier was trained on. Raises InputError naming a bad file."""
    from engine.imaging.images import parallel, read_fitted

    made = []
    batches = list(writes.batches(files, batch_size))
    read = parallel(partial(read_fitted, fit=embedder.fit), batches, workers=1)
    for batch, pixels in zip(batches, read, strict=True):
        made.append(embedder.embed_collection(pixels, [file.sha256 for file in batch], learnt=learnt))
        advance(len(batch))
    return np.concatenate(made)


def reusable_index(context: Context, dataset: Dataset, name: str, revision: str) -> "OpenIndex | None":
    """The latest intact index with this embedder and these weights, whose vectors can be reused."""
    with session.reading(context.engine) as db:
        known = stored_indexes.of_embedder(db, dataset.id, name, revision)
    for index in known:
        try:
            return indexes.open_index(context, index)
        except IndexDamagedError as error:
            print(f"embed: {error}")
    return None


def has_vector(index: "OpenIndex | None", ids: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which of the images have a vector in the index: bool (n,)."""
    return np.zeros(len(ids), dtype=bool) if index is None else np.isin(ids, index.ids)


def centre_for(embedder: "Embedder", images: Sequence[Image], raw: "Vectors") -> "Vectors":
    """What is subtracted from every vector, (d,): the mean of train and val, so that test images never affect it, or of
    all images if there are none. 0 for embedders with a joint text and image space, since text and image means
    differ."""
    known = spec(embedder.name)
    if known.reads_text and not known.mapped:
        return np.zeros(embedder.dimension, dtype=np.float32)
    learnt = training_images(images)
    return centre_of(raw[learnt] if learnt.any() else raw)


def centred_on(images: Sequence[Image]) -> str:
    """Which images the centre is the mean of, in the manifest's terms: train or all."""
    return "train" if training_images(images).any() else "all"


def training_images(images: Sequence[Image]) -> "NDArray[np.bool_]":
    """Which images are in train or val: bool (n,)."""
    return np.array([image.split in LEARNT_FROM for image in images])
