"""python -m jobs duplicates [--dataset NAME]: find near-duplicate images, within and across splits.

All pairs are compared by perceptual hash, and close ones also by the cosine of ImageNet features. A test image that is
also in train under another name inflates test metrics. The Case page shows the pairs, the Overview page the number of
those across splits.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db import session, writes
from db.models import Dataset, Image, NearDuplicate
from db.queries import datasets
from db.queries import duplicates as queries
from jobs.command import JobError, command, open_context, parser
from jobs.run import ActiveRun, Advance, Work
from jobs.shards import sharded

VERSION = 2
"""Increased when the criterion for near-duplicates changes."""
SHARD = 2048
"""Images whose hashes share a file while the run is active: at most this many are recomputed after a kill."""
BATCH = 128
DRAWN = 256
"""Random images whose mean vector is subtracted before cosines are computed."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "duplicates")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    args = options.parse_args(argv)
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    with session.reading(context.engine) as db:
        images = datasets.images(db, dataset.id)
    if not images:
        raise JobError(f"dataset '{dataset.name}' has no images; add some with: python -m jobs ingest FOLDER")
    shas = "\n".join(f"{image.id} {image.sha256}" for image in images)
    work = Work(
        kind="duplicates",
        config={"dataset": dataset.name, "version": VERSION},
        inputs=hashlib.sha256(shas.encode()).hexdigest(),
        dataset_id=dataset.id,
    )
    run = ActiveRun.claim(context, work)
    if not run.already_finished:
        with run:
            find(run, dataset, images)
    found = run.summary
    with session.reading(context.engine) as db:  # splits and patients may have been corrected since
        across, two = queries.across(db, run.id), queries.of_two_patients(db, run.id)
    print(
        f"duplicates: {found['near_duplicate']} near-duplicate and {found['possible']} possible pairs among "
        f"{found['images']} images; near-duplicates across splits: {across}, of different patients: {two}"
    )
    print(f"duplicates: {'already done as' if run.already_finished else 'done as'} run {run.id}")
    return 0


def find(run: ActiveRun, dataset: Dataset, images: Sequence[Image]) -> None:
    """Hash every image, compare all pairs, and store the close ones with a verdict."""
    from engine.retrieval.duplicates import POSSIBLE, near_pairs, verdict

    hashes = hashed(run, dataset, images)
    with run.progress("comparing pairs", len(images)) as advance:
        pairs = near_pairs(hashes, within=POSSIBLE, advance=advance)
    similar = similarities(run, dataset, images, pairs.one, pairs.other)
    rows = []
    for one, other, bits, cosine in zip(pairs.one, pairs.other, pairs.distance, similar, strict=True):
        found = verdict(int(bits), float(cosine))
        if found == "different":
            continue
        lower, upper = sorted((images[int(one)].id, images[int(other)].id))
        pair = {"image_id": lower, "other_id": upper, "hash_distance": int(bits)}
        rows.append({"run_id": run.id, **pair, "similarity": float(cosine), "verdict": found})
    with session.transaction(run.context.engine) as db:
        writes.clear(db, NearDuplicate, run.id)
        writes.upsert(db, NearDuplicate, rows, unique=("run_id", "image_id", "other_id"))
    run.discard(*run.folder.glob("hashes-*.npy"))
    counts = [row["verdict"] for row in rows]
    run.summary = {
        "images": len(images),
        "latest_image": max((image.id for image in images), default=None),
        "near_duplicate": counts.count("near-duplicate"),
        "possible": counts.count("possible"),
    }


def hashed(run: ActiveRun, dataset: Dataset, images: Sequence[Image]) -> NDArray[np.uint8]:
    """The perceptual hash of every image, uint8 (n, 32); hashes from an earlier attempt are reused."""
    from engine.imaging.images import Ingested, read_batch
    from engine.retrieval.duplicates import BITS, perceptual_hash

    def computed(part: Sequence[Image], advance: Advance) -> NDArray[np.uint8]:
        files = [Ingested(Path(dataset.root) / image.path, image.sha256) for image in part]
        made = np.concatenate([perceptual_hash(read_batch(batch)) for batch in writes.batches(files, BATCH)])
        advance(len(part))
        return made

    none = np.empty((0, BITS // 8), dtype=np.uint8)
    return sharded(run, images, computed, name="hashes", stage="hashing images", size=SHARD, none=none)


def similarities(
    run: ActiveRun, dataset: Dataset, images: Sequence[Image], one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosine of each pair's ImageNet features, minus the mean of randomly drawn images: float64 (p,)."""
    from engine.imaging.images import Ingested, read_fitted
    from engine.retrieval.duplicates import EMBEDDER
    from engine.retrieval.embedders import load_embedder
    from engine.retrieval.index.centring import centre_of, centred

    if not len(one):
        return np.empty(0)
    embedder = load_embedder(EMBEDDER, models=run.context.models)
    drawn = np.random.default_rng(0).permutation(len(images))[:DRAWN]
    rows, places = np.unique(np.concatenate([one, other, drawn]), return_inverse=True)
    parts = []
    with run.progress("comparing close pairs", len(rows)) as advance:
        for batch in writes.batches(rows.tolist(), BATCH):
            files = [Ingested(Path(dataset.root) / images[row].path, images[row].sha256) for row in batch]
            parts.append(embedder.embed_images(read_fitted(files, embedder.fit)))
            advance(len(batch))
    vectors = np.concatenate(parts)
    placed = centred(vectors, centre_of(vectors[places[2 * len(one) :]])).astype(np.float64)
    left, right = placed[places[: len(one)]], placed[places[len(one) : 2 * len(one)]]
    return np.asarray((left * right).sum(axis=1))


if __name__ == "__main__":
    raise SystemExit(main())
