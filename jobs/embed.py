"""python -m jobs embed [--embedder NAME] [--train-run N]: turn every image into a vector and index them.

Embedders: imagenet-lite0, resnet50, classifier or classifier:RUN, aligned (the classifier's, found by words as well),
clip, biomedclip, and open_clip:ARCHITECTURE/PRETRAINED or open_clip:hf-hub:ORG/NAME.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session, writes
from db.models import Dataset, Image, Run, VectorIndex
from db.queries import datasets, evaluation, runs
from engine.errors import InputError
from engine.files import kept_array, whole_file
from engine.retrieval import approximate
from engine.retrieval.alignment import FEWEST
from engine.retrieval.embedders import REGISTRY, EmbedderSpec, spec, train_run_named
from engine.retrieval.embedders.contrastive import folder_name
from engine.retrieval.vector_index import FORMAT, IndexDamagedError, centre_of, centred, uncentred, write_index
from engine.retrieval.written_queries import QUERIES_SHA256
from jobs import indexes
from jobs.command import Context, JobError, UsageError, command, open_context, parser, row_number
from jobs.predict import train_run
from jobs.run import ActiveRun, sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.images import Ingested
    from engine.retrieval.alignment import Known
    from engine.retrieval.approximate import Vectors
    from engine.retrieval.embedders import Embedder
    from engine.retrieval.vector_index import VectorIndex as OpenIndex

SHARD = 512
"""Images whose vectors are one file while the run goes on, and are lost at most where it is killed."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "embed")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument(
        "--embedder", metavar="NAME", help="see above (default: classifier once trained, else imagenet-lite0)"
    )
    options.add_argument(
        *("--train-run", "--run"),
        type=row_number,
        metavar="N",
        help="train run whose classifier embeds (default: the latest)",
    )
    options.add_argument("--weights", type=Path, metavar="PATH", help="pretrained weights to use instead of the known")
    options.add_argument("--batch-size", type=int, default=128, metavar="N", help="images at once (default: 128)")
    options.add_argument(
        "--index",
        choices=("auto", "exact", "ivf", "hnsw"),
        default="auto",
        help="how vectors are searched (default: exact up to 20,000 images, ivf beyond)",
    )
    options.add_argument("--list", action="store_true", help="list the embedders and embed nothing")
    options.add_argument("--anew", action="store_true", help="embed every image, whatever an earlier index holds")
    args = options.parse_args(argv)
    if args.list:
        show_embedders()
        return 0
    if args.batch_size < 1:
        raise UsageError(f"--batch-size is {args.batch_size}, expected 1 or more")
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    with session.reading(context.engine) as db:
        images = datasets.images(db, dataset.id)
        trained = runs.in_force(db, "train", dataset.id)
    if not images:
        raise JobError(f"dataset '{dataset.name}' has no images; add some with: python -m jobs ingest FOLDER")
    name = args.embedder or ("classifier" if trained or args.train_run is not None else next(iter(REGISTRY)))
    try:
        known = spec(name)
    except InputError as error:
        raise UsageError(str(error)) from error
    named = train_run_named(name)
    asked = args.train_run if named is None else named
    if asked is not None and not known.learnt:
        raise UsageError(f"embedder '{name}' uses no train run; leave --train-run out, or add --embedder classifier")
    if args.train_run not in (None, asked):
        raise UsageError(f"embedder '{name}' names a train run already; leave --train-run {args.train_run} out")
    source = train_run(context, dataset, asked) if known.learnt else None
    if known.mapped and sum(image.label is not None for image in taught(images).images) < FEWEST:
        raise JobError(
            f"words are aligned by what labels tell, and fewer than {FEWEST} training images of dataset "
            f"'{dataset.name}' have one; embed with --embedder imagenet-lite0"
        )
    embedder = load(context, name, train_run_id=source.id if source else None, weights=args.weights)
    run = claim(context, dataset, images, embedder, source, kind=args.index, again=args.anew)
    if run.already_finished:
        print(f"embed: already done as run {run.id}")
        return 0
    with run:
        embed(run, dataset, images, embedder, anew=args.anew, kind=args.index, batch_size=args.batch_size)
    new, recall = run.summary["embedded"], run.summary["recall_at_10"]
    print(
        f"embed: run {run.id} embedded {new} images with '{name}' ({embedder.dimension} dimensions) in "
        f"{run.seconds:.0f} s; {len(images) - new} were there already"
    )
    if run.summary["kind"] != "exact":
        print(f"embed: {run.summary['kind']} finds {recall:.1%} of the exact 10 nearest")
        if recall < approximate.RECALL:
            print(f"embed: that is under {approximate.RECALL:.0%}; search exactly with --index exact")
    return 0


def show_embedders() -> None:
    """Print what is known of each embedder before it is loaded."""
    print(f"{'embedder':<15} {'dimensions':>10}  {'words':<5}  {'licence':<18} weights")
    for name, known in REGISTRY.items():
        words, size = "yes" if known.reads_text else "no", known.dimension or "as trained"
        print(f"{name:<15} {size:>10}  {words:<5}  {known.licence:<18} {known.revision}")
    print("and classifier:RUN, open_clip:ARCHITECTURE/PRETRAINED, open_clip:hf-hub:ORG/NAME")


def load(context: Context, name: str, *, train_run_id: int | None, weights: Path | None = None) -> "Embedder":
    """The embedder called `name`; `classifier` comes from the train run's checkpoint. Raises InputError, JobError."""
    from engine.retrieval.embedders import load_embedder

    checkpoint = None
    if train_run_id is not None:
        with session.reading(context.engine) as db:
            made = runs.artifact(db, train_run_id, "checkpoint")
        if made is None:
            raise JobError(f"train run {train_run_id} has no checkpoint; train again with: python -m jobs train")
        checkpoint = context.artifacts / made.path
    return load_embedder(name, models=context.models, weights=weights, checkpoint=checkpoint)


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
    """The run for this work."""
    return ActiveRun.claim(
        context,
        kind="embed",
        config={
            "dataset": dataset.name,
            "embedder": embedder.name,
            "revision": embedder.revision,
            "train_run": source.id if source else None,
            "index": kind,
            "format": FORMAT,
            **({"queries": QUERIES_SHA256} if spec(embedder.name).reads_text else {}),
            **({"words": "known"} if spec(embedder.name).mapped else {}),  # what they were learnt from is kept
        },
        inputs=hashlib.sha256("\n".join(marks_of(images, spec(embedder.name))).encode()).hexdigest(),
        dataset_id=dataset.id,
        again=again,
    )


def marks_of(images: Sequence[Image], known: EmbedderSpec) -> list[str]:
    """What an index depends on, a line an image: the centre follows what is there to learn from, words that are mapped
    follow labels, causes and splits."""
    if not known.mapped:
        return [f"centred on {centred_on(images)}", *(f"{image.id} {image.sha256}" for image in images)]
    return [f"{image.id} {image.sha256} {image.label} {image.cause} {image.split}" for image in images]


def usable(context: Context, dataset: Dataset, name: str, revision: str) -> "OpenIndex | None":
    """The latest whole index of that embedder and weights, whose vectors need not be made again."""
    with session.reading(context.engine) as db:
        known = evaluation.indexes_of(db, dataset.id, name, revision)
    for index in known:
        try:
            return indexes.opened(context, index)
        except IndexDamagedError as error:
            print(f"embed: {error}")
    return None


def lending(context: Context, dataset: Dataset, embedder: "Embedder") -> "OpenIndex | None":
    """An index of `aligned` over the same classifier, whose vectors have the classifier's in them."""
    from engine.retrieval.embedders.aligned import revision_over
    from engine.retrieval.embedders.features import ClassifierEmbedder

    if not isinstance(embedder, ClassifierEmbedder):
        return None
    return usable(context, dataset, "aligned", revision_over(embedder.classifier.revision))


def embed(
    run: ActiveRun,
    dataset: Dataset,
    images: Sequence[Image],
    embedder: "Embedder",
    *,
    anew: bool,
    kind: str,
    batch_size: int,
) -> None:
    """The vectors that no earlier index has, in shards, which a run that goes on after a kill keeps; then the index and
    its row, and away with the shards. Images that are gone are left out, and the earlier centre stays the centre once
    there is one of training images, or as long as there are none."""
    from engine.images import Ingested
    from engine.retrieval.embedders.aligned import without_zones

    ids = np.array([image.id for image in images], dtype=np.int64)
    earlier = None if anew else usable(run.context, dataset, embedder.name, embedder.revision)
    there = held(earlier, ids)
    lender = None if anew or there.all() else lending(run.context, dataset, embedder)
    lent = held(lender, ids) & ~there
    made = ~(there | lent)
    absent = [image for image, is_made in zip(images, made, strict=True) if is_made]
    shards = run.folder / "shards"
    parts = [np.empty((0, embedder.dimension), np.float32)]
    with run.progress("embedding images", len(absent)) as advance:
        for start in range(0, len(absent), SHARD):
            part = absent[start : start + SHARD]
            files = [Ingested(Path(dataset.root) / image.path, image.sha256) for image in part]
            path = shards / f"{sha256_of([image.sha256 for image in part])[:16]}.npy"
            vectors = kept_array(path, len(files), embedder.dimension)
            if vectors is None or not np.isfinite(vectors).all():
                vectors = embed_files(embedder, files, batch_size=batch_size, advance=advance)
                with whole_file(path) as temporary:
                    np.save(temporary, vectors, allow_pickle=False)
            else:
                advance(len(files))
            parts.append(vectors)
    whole = np.zeros((len(ids), embedder.dimension), np.float32)
    whole[made] = np.concatenate(parts)
    if lender is not None:
        whole[lent] = without_zones(uncentred(lender.vectors[lender.rows(ids[lent])], lender.centre))
    if earlier is not None and earlier.centre.any() and earlier.manifest.centred_on == centred_on(images):
        centre = earlier.centre
        whole[there] = earlier.vectors[earlier.rows(ids[there])]
        whole[~there] = centred(whole[~there], centre)
    else:
        if earlier is not None:
            whole[there] = uncentred(earlier.vectors[earlier.rows(ids[there])], earlier.centre)
        centre = centre_for(embedder, images, whole)
        whole = centred(whole, centre)
    words, known = words_for(embedder, images, whole, centre)
    version = run.folder.name.replace(f"-{run.kind}", "")
    folder = run.context.artifacts / "indexes" / folder_name(embedder.name) / version
    chosen = approximate.chosen(kind, len(ids))
    named = {"embedder": embedder.name, "revision": embedder.revision}
    sha256 = write_index(
        folder,
        vectors=whole,
        ids=ids,
        centre=centre,
        centred_on=centred_on(images),
        words=words,
        known=known,
        kind=chosen,
        **named,
    )
    recall = json.loads((folder / "manifest.json").read_text())["recall"]
    with session.transaction(run.context.engine) as db:
        row = evaluation.index_of(db, run.id) or VectorIndex(run_id=run.id, dataset_id=dataset.id, **named)
        row.dimension, row.count, row.kind, row.sha256 = embedder.dimension, len(ids), chosen, sha256
        row.path = folder.relative_to(run.context.artifacts).as_posix()
        db.add(row)  # of a run that is done again the same: evaluations name it by its id
    run.artifact("vector_index", folder, shape=(len(ids), embedder.dimension))
    if spec(embedder.name).reads_text:
        keep_queries(run, embedder, words)
    run.metrics([{"name": "recall_at_10", "split": "all", "slice": chosen, "value": recall}])
    run.summary = {**named, "images": len(ids), "embedded": len(absent), "kind": chosen, "recall_at_10": recall}
    shutil.rmtree(shards, ignore_errors=True)


def held(index: "OpenIndex | None", ids: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which of the images have a vector in the index: bool (n,)."""
    return np.zeros(len(ids), dtype=bool) if index is None else np.isin(ids, index.ids)


def centre_for(embedder: "Embedder", images: Sequence[Image], raw: "Vectors") -> "Vectors":
    """The mean of train and val, or of all where nothing is in them; nothing where texts are compared too, which lie
    elsewhere than pictures. A test image never moves it where there is a training split."""
    known = spec(embedder.name)
    if known.reads_text and not known.mapped:
        return np.zeros(embedder.dimension, dtype=np.float32)
    learnt = training_images(images)
    return centre_of(raw[learnt] if learnt.any() else raw)


def centred_on(images: Sequence[Image]) -> str:
    """Which images the centre is the mean of, as the manifest names them."""
    return "train" if training_images(images).any() else "all"


def training_images(images: Sequence[Image]) -> "NDArray[np.bool_]":
    """Those of train and val: bool (n,)."""
    return np.array([image.split in ("train", "val") for image in images])


def words_for(
    embedder: "Embedder", images: Sequence[Image], whole: "Vectors", centre: "Vectors"
) -> "tuple[Vectors | None, Known]":
    """What maps the embedder's texts among the images, learnt anew from those of train and val (all where none is in
    them), and what it was learnt from; None where texts lie there already. whole: vectors as compared, (n, d)."""
    from engine.heat import prominent
    from engine.retrieval import alignment

    if not spec(embedder.name).mapped:
        return None, alignment.NOTHING_KNOWN

    chosen = taught(images)
    labels = np.array([-1 if image.label is None else image.label for image in chosen.images])
    causes = np.array([image.cause or "" for image in chosen.images])
    vectors = whole[chosen.rows]
    zones = prominent(alignment.zone_evidence(uncentred(vectors, centre)), labels == 1)
    facts = alignment.Facts(labels, causes, zones)
    return alignment.fit(vectors, facts), alignment.known_from(facts)


@dataclass(frozen=True)
class Taught:
    """The images that words are learnt from, and their rows, int (m,)."""

    images: list[Image]
    rows: "NDArray[np.intp]"


def taught(images: Sequence[Image]) -> Taught:
    """Those of train and val, or all where none is in them."""
    learnt = training_images(images)
    rows = np.flatnonzero(learnt if learnt.any() else np.ones(len(images), dtype=bool))
    return Taught([images[row] for row in rows.tolist()], rows)


def keep_queries(run: ActiveRun, embedder: "Embedder", words: "Vectors | None") -> None:
    """The written queries as vectors of the index, so that text search is measured and shown without the embedder."""
    from engine.retrieval.alignment import mapped
    from engine.retrieval.written_queries import QUERIES

    asked = embedder.embed_texts([query.text for query in QUERIES])
    asked = asked if words is None else mapped(words, asked)
    path = run.folder / "query_vectors.npy"
    with whole_file(path) as temporary:
        np.save(temporary, asked, allow_pickle=False)
    run.artifact("query_vectors", path, shape=asked.shape)


def embed_files(embedder: "Embedder", files: "Sequence[Ingested]", *, batch_size: int, advance: Any) -> "Vectors":
    """The files' vectors, float32 (n, d), reading `batch_size` of them at once. Raises InputError naming a bad file."""
    from engine.images import read_batch

    made = []
    for batch in writes.batches(files, batch_size):
        made.append(embedder.embed_images(read_batch(batch, size=embedder.input_size)))
        advance(len(batch))
    return np.concatenate(made)


if __name__ == "__main__":
    raise SystemExit(main())
