"""python -m jobs map [--embedder NAME]: project all images to two dimensions and cluster them, for the Map page.

Each map's coordinates are stored with its trustworthiness. Distances between far-apart groups mean nothing on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db import session
from db.queries import cases, runs
from db.queries.cases import Question
from db.writes import MetricValue
from engine.commands import embed_again
from engine.digests import is_whole
from engine.files import kept_array
from engine.retrieval.index.vector_index import VectorIndex
from engine.retrieval.map import projection
from jobs import indexes
from jobs.command import UsageError, command, natural, open_context, parser
from jobs.run import ActiveRun, Work


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "map")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--embedder",
        metavar="NAME",
        help="embedder whose index to map (default: that of the latest index, preferably not multiview)",
    )
    known = ",".join(projection.METHODS)
    options.add_argument("--methods", default=known, metavar="A,B", help=f"projections to compute (default: {known})")
    options.add_argument(
        "--clusters", type=natural, default=10, metavar="N", help="number of k-means clusters, 0 for none (default: 10)"
    )
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    args = options.parse_args(argv)
    wanted = [name.strip() for name in args.methods.split(",")]
    for name in wanted:
        if name not in projection.METHODS:
            raise UsageError(f"map '{name}' is unknown; known: {', '.join(projection.METHODS)}")
    methods = [name for name in projection.METHODS if name in wanted]
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    index = indexes.choose(context, dataset, args.embedder, alike=True)
    work = Work(
        kind="map",
        config={"dataset": dataset.name, "embedder": index.embedder, "methods": methods, "clusters": args.clusters},
        inputs=index.sha256,
        dataset_id=dataset.id,
        seed=args.seed,
    )
    run = ActiveRun.claim(context, work)
    if not run.already_finished:
        with run:
            draw(run, indexes.open_index(context, index), methods, args.clusters, args.seed)
    with session.reading(context.engine) as db:
        total = cases.count(db, Question(dataset.id))
    if total != index.count:
        again = embed_again(dataset.name, index.embedder)
        print(f"note: the dataset has {total} images, the index {index.count}; update the index with: {again}")
    for name, trusted in run.summary["trustworthiness"].items():
        print(f"map: {name} of {run.summary['images']} images, trustworthiness {trusted:.3f}")
    print(f"map: {'already done as' if run.already_finished else 'done as'} run {run.id}")
    return 0


def draw(run: ActiveRun, index: VectorIndex, methods: Sequence[str], clusters: int, seed: int) -> None:
    """Store the coordinates of all images by each method and their clusters, as files with one row per entry of `ids`;
    an intact map of an earlier attempt is kept."""
    vectors = np.asarray(index.vectors)
    trusted = {}
    for name in run.track(methods, stage="drawing maps"):
        points = kept(run, name, len(vectors))
        if points is None:
            points = projection.METHODS[name](vectors, seed=seed)
        run.array(name, points)
        trusted[name] = projection.trust(vectors, points, seed=seed)
    run.array("ids", index.ids)
    found = {}
    if clusters:
        run.array("clusters", projection.clusters(vectors, clusters, seed=seed))
        found = {"clusters": min(clusters, len(vectors))}
    count = len(index.ids)
    run.metrics(MetricValue("trustworthiness", "all", value, n=count, slice=name) for name, value in trusted.items())
    run.summary = {"images": len(index.ids), "embedder": index.manifest.embedder, "trustworthiness": trusted} | found


def kept(run: ActiveRun, name: str, count: int) -> NDArray[Any] | None:
    """The coordinates (count, 2) from an earlier attempt; None if they are absent, damaged or not those recorded."""
    path = run.folder / f"{name}.npy"
    with session.reading(run.context.engine) as db:
        made = runs.artifact(db, run.id, name)
    if made is not None and not is_whole(path, made.sha256):
        return None
    return kept_array(path, count, 2)


if __name__ == "__main__":
    raise SystemExit(main())
