"""python -m jobs embed [--embedder NAME] [--train-run N]: embed every image as a vector and index the vectors.

Embedders: imagenet-lite0, resnet50, classifier or classifier:RUN, aligned (the classifier's features, also searchable
by text), multiview (the classifier's features, those of its training images averaged over augmented copies), clip,
biomedclip, and open_clip:ARCHITECTURE/PRETRAINED or open_clip:hf-hub:ORG/NAME. Only images without a vector are
embedded; --again embeds all of them, even if the job is already done.
"""

import hashlib
import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session, writes
from db.models import Dataset, Image, Run, VectorIndex
from db.queries import cases, datasets, indexes, predictions, runs
from db.queries.outliers import OUTLIER
from db.writes import MetricValue
from engine.errors import InputError
from engine.retrieval import outliers
from engine.retrieval.embedders import REGISTRY, EmbedderSpec, lies_apart, spec, train_run_named
from engine.retrieval.embedders.contrastive import folder_name
from engine.retrieval.index import approximate
from engine.retrieval.index.folder import FORMAT, write_index
from engine.retrieval.serving import given_weights
from engine.retrieval.text.alignment import FEWEST
from engine.retrieval.text.written_queries import QUERIES_SHA256
from jobs.checkpoints import train_run
from jobs.command import Context, JobError, UsageError, command, named_file, open_context, parser, positive, row_number
from jobs.embeddings.loading import load
from jobs.embeddings.vectors import SHARDS, EmbeddedImages, centred_on, training_images, vectors_of
from jobs.embeddings.words import keep_queries, taught, words_for
from jobs.indexes import open_index
from jobs.run import ActiveRun, Work

if TYPE_CHECKING:
    from engine.retrieval.arrays import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.text.alignment import Known


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    if args.list:
        show_embedders()
        return 0
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    with session.reading(context.engine) as db:
        images = datasets.images(db, dataset.id)
        trained = runs.current(db, "train", dataset.id)
    if not images:
        raise JobError(f"dataset '{dataset.name}' has no images; add some with: python -m jobs ingest FOLDER")
    name = args.embedder or ("classifier" if trained or args.train_run is not None else next(iter(REGISTRY)))
    source = source_of(context, dataset, name, args.train_run)
    refuse_few_labels(dataset, images, name)
    with session.reading(context.engine) as db:
        last = next((index.run_id for index in indexes.current(db, dataset.id) if index.embedder == name), 0)
        before = runs.find(db, last)
    with given_weights(before.weights if before and not args.weights else None) as earlier:
        weights = args.weights or earlier
        if earlier is not None:
            print(f"note: embedding with {earlier}, as before; name others with --weights")
        embedder = load(context, name, train_run_id=source.id if source else None, weights=weights)
    run = claim(context, dataset, images, embedder, source, kind=args.index, again=args.again)
    if run.already_finished:
        print(f"embed: already done as run {run.id}")
        return 0
    with run:
        embed(run, dataset, images, embedder, reuse=not args.again, kind=args.index, batch_size=args.batch_size)
        if weights is not None:  # queries, and images that are added later, are embedded with the same
            run.summary |= {"weights": str(weights.resolve())}
    print_outcome(run, embedder, len(images))
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "embed")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--embedder",
        metavar="NAME",
        help="embedder, see above (default: classifier if one is trained, else imagenet-lite0)",
    )
    options.add_argument(
        "--train-run", type=row_number, metavar="N", help="train run whose classifier to use (default: the current run)"
    )
    options.add_argument(
        "--weights", type=named_file, metavar="PATH", help="file of pretrained weights to use instead of the default"
    )
    options.add_argument(
        "--batch-size", type=positive, default=128, metavar="N", help="number of images read at once (default: 128)"
    )
    options.add_argument(
        "--index",
        choices=("auto", "exact", "ivf", "hnsw"),
        default="auto",
        help="type of index (default: auto, which is exact up to 20,000 images and ivf beyond)",
    )
    options.add_argument("--list", action="store_true", help="list the embedders and exit")
    options.add_argument("--again", action="store_true", help="embed every image again even if it is already done")
    return options


def source_of(context: Context, dataset: Dataset, name: str, number: int | None) -> Run | None:
    """The train run whose classifier the embedder called `name` uses; None if it uses none.

    number: the requested train run. Raises UsageError if name and number contradict each other.
    """
    try:
        known = spec(name)
    except InputError as error:
        raise UsageError(str(error)) from error
    own = train_run_named(name)
    requested = number if own is None else own
    if requested is not None and not known.learnt:
        raise UsageError(f"embedder '{name}' uses no train run; leave --train-run out, or add --embedder classifier")
    if number not in (None, requested):
        raise UsageError(f"embedder '{name}' already names a train run; leave --train-run {number} out")
    return train_run(context, dataset, requested) if known.learnt else None


def refuse_few_labels(dataset: Dataset, images: Sequence[Image], name: str) -> None:
    """Raise JobError if the embedder fits its text mapping to labels and too few training images have one."""
    labels = Counter(image.label for image in taught(images).images if image.label is not None)
    if spec(name).mapped and max(labels.values(), default=0) < FEWEST:
        raise JobError(
            f"embedder '{name}' needs at least {FEWEST} training images of one label, and dataset '{dataset.name}' has "
            "fewer; use --embedder imagenet-lite0"
        )


def print_outcome(run: ActiveRun, embedder: "Embedder", images: int) -> None:
    """Print how many images were embedded, and the recall of an approximate index."""
    new, recall = run.summary["embedded"], run.summary["recall_at_10"]
    print(
        f"embed: run {run.id} embedded {new} images with '{embedder.name}' ({embedder.dimension} dimensions) in "
        f"{run.seconds:.0f} s; {images - new} already had a vector"
    )
    if run.summary["kind"] != "exact" and images > 1:  # a single image has no neighbours
        print(f"embed: {run.summary['kind']} finds {recall:.1%} of the exact 10 nearest")
        if recall < approximate.RECALL:
            print(f"embed: that is less than {approximate.RECALL:.0%}; for exact search use --index exact")
    if odd := run.summary["outliers"]:
        print(
            f"embed: {odd} unlike most others, first {run.summary['least_alike']}; to see if these are chest "
            "radiographs, filter the cases by: Unlike most others"
        )


def show_embedders() -> None:
    """Print each embedder's properties, without loading it."""
    print(f"{'embedder':<15} {'dimensions':>10}  {'text':<5}  {'licence':<18} weights")
    for name, known in REGISTRY.items():
        text, size = "yes" if known.reads_text else "no", known.dimension or "as trained"
        print(f"{name:<15} {size:>10}  {text:<5}  {known.licence:<18} {known.revision}")
    print("also classifier:RUN, open_clip:ARCHITECTURE/PRETRAINED, open_clip:hf-hub:ORG/NAME")


def claim(
    context: Context,
    dataset: Dataset,
    images: Sequence[Image],
    embedder: "Embedder",
    source: Run | None,
    *,
    kind: str,
    again: bool,
) -> ActiveRun:
    """The run of this embedding."""
    work = Work(
        kind="embed",
        config={
            "dataset": dataset.name,
            "embedder": embedder.name,
            "revision": embedder.revision,
            "train_run": source.id if source else None,
            "index": kind,
            "format": FORMAT,
            "outliers": outliers.VERSION,
            **({"queries": QUERIES_SHA256} if spec(embedder.name).reads_text else {}),
            **(
                {"words": "known"} if spec(embedder.name).mapped else {}
            ),  # stored in the index: what they were fitted on
        },
        inputs=hashlib.sha256("\n".join(marks_of(images, spec(embedder.name))).encode()).hexdigest(),
        dataset_id=dataset.id,
    )
    return ActiveRun.claim(context, work, again=again)


def marks_of(images: Sequence[Image], known: EmbedderSpec) -> list[str]:
    """The lines that identify an index's inputs, hashed into the run's fingerprint: the images, and which of them
    determine the centre. An embedder with a text mapping also depends on labels, causes and splits."""
    if not known.mapped:
        learnt = training_images(images).tolist()
        return [f"{image.id} {image.sha256} {is_learnt}" for image, is_learnt in zip(images, learnt, strict=True)]
    return [f"{image.id} {image.sha256} {image.label} {image.cause} {image.split}" for image in images]


def embed(
    run: ActiveRun,
    dataset: Dataset,
    images: Sequence[Image],
    embedder: "Embedder",
    *,
    reuse: bool,
    kind: str,
    batch_size: int,
) -> None:
    """Embed the images and store the index and its row. reuse: take vectors from earlier indexes where possible."""
    made = vectors_of(run, dataset, images, embedder, reuse=reuse, batch_size=batch_size)
    words, known = words_for(embedder, images, made.vectors, made.centre)
    chosen = approximate.chosen(kind, len(images))
    recall = store(run, dataset, images, embedder, made, words=words, known=known, kind=chosen)
    if spec(embedder.name).reads_text:
        keep_queries(run, embedder, words)
    run.metrics([MetricValue("recall_at_10", "all", recall, slice=chosen)])
    outcome = {"images": len(images), "embedded": made.embedded, "kind": chosen, "recall_at_10": recall}
    run.summary = {**identity(embedder), **outcome, **store_outliers(run, dataset, embedder)}
    run.discard(run.folder / SHARDS)


def store(
    run: ActiveRun,
    dataset: Dataset,
    images: Sequence[Image],
    embedder: "Embedder",
    made: EmbeddedImages,
    *,
    words: "Vectors | None",
    known: "Known",
    kind: approximate.Kind,
) -> float:
    """Write the index's folder and its row; returns the index's recall@10 against exact search."""
    ids = np.array([image.id for image in images], dtype=np.int64)
    version = run.folder.name.replace(f"-{run.kind}", "")
    folder = run.context.artifacts / "indexes" / folder_name(embedder.name) / version
    sha256 = write_index(
        folder,
        vectors=made.vectors,
        ids=ids,
        centre=made.centre,
        centred_on=centred_on(images),
        words=words,
        known=known,
        kind=kind,
        **identity(embedder),
    )
    with session.transaction(run.context.engine) as db:
        row = indexes.of_run(db, run.id) or VectorIndex(run_id=run.id, dataset_id=dataset.id, **identity(embedder))
        row.dimension, row.count, row.kind, row.sha256 = embedder.dimension, len(ids), kind, sha256
        row.path = folder.relative_to(run.context.artifacts).as_posix()
        db.add(row)  # a repeated run keeps its row, since evaluations refer to it by id
    run.artifact("vector_index", folder, shape=(len(ids), embedder.dimension))
    recall: float = json.loads((folder / "manifest.json").read_text())["recall"]
    return recall


def store_outliers(run: ActiveRun, dataset: Dataset, embedder: "Embedder") -> dict[str, Any]:
    """Store which images are unlike most others in the run's index; returns their number and the path of the least
    similar one. They are unknown if training images lie apart from all others in it."""
    if lies_apart(embedder.name):
        return {"outliers": None}
    with session.reading(run.context.engine) as db:
        row = indexes.of_run(db, run.id)
    assert row is not None
    found = outliers.outliers(open_index(run.context, row))
    with session.transaction(run.context.engine) as db:
        there = cases.of_dataset(db, dataset.id, [*found])  # an ingest may have forgotten some since
        writes.measures(db, run.id, {OUTLIER: {number: found[number] for number in there}})
        known = predictions.images(db, there)
    least = next((known[number].path for number in found if number in known), None)
    return {"outliers": len(known), "least_alike": least}


def identity(embedder: "Embedder") -> dict[str, str]:
    """The columns that identify an embedder in rows and manifests."""
    return {"embedder": embedder.name, "revision": embedder.revision}


if __name__ == "__main__":
    raise SystemExit(main())
