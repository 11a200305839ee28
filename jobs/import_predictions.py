"""python -m jobs import_predictions FILE --classifier NAME: import the predictions of your own classifier.

FILE is a CSV with columns path (as in the dataset's folder) and probability (of pneumonia). The predictions become a
run like any other, with cases, thresholds, reports and metrics, which `compare` accepts. The classifier's training
images are unknown here, so include only images that it never saw.
"""

import argparse
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db import session
from db.models import Dataset, Image
from db.queries import datasets, evaluation
from engine.classification import imported_predictions
from engine.classification.imported_predictions import ImportedPrediction, ImportedPredictions
from engine.classification.recipes import RECIPES
from engine.commands import job
from engine.datasets.folders import SPLITS
from engine.datasets.path_sheets import astray, examples
from engine.digests import file_sha256, json_sha256
from engine.imaging.heat import lung_zones
from engine.metrics.classification import HALF
from jobs.command import Context, UsageError, command, named, named_file, open_context, parser
from jobs.predictions.splits import images_to_score
from jobs.run import ActiveRun, Work


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    if args.classifier.lower() in RECIPES:
        raise UsageError(f"'{args.classifier}' is the name of a recipe; choose another name with --classifier")
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    images, split = images_to_score(context, dataset, args.split)
    found = predictions_of(context, dataset, images, args.file)
    by_path = found.by_path
    maps = imported_predictions.heatmaps(args.heatmaps, found.rows) if args.heatmaps else None
    scored = scored_images(dataset, images, by_path, split=split, file=args.file)
    work = Work(
        kind="predict",
        config={
            "dataset": dataset.name,
            "classifier": args.classifier,
            "split": split,
            "threshold": args.threshold,
            "predictions_sha256": json_sha256({image.sha256: by_path[image.path].probability for image in scored}),
            **({"heatmaps_sha256": file_sha256(args.heatmaps)} if args.heatmaps else {}),
        },
        inputs=hashlib.sha256("\n".join(image.sha256 for image in images).encode()).hexdigest(),
        dataset_id=dataset.id,
        predicts=len(scored),
    )
    run = ActiveRun.claim(context, work)
    if not run.already_finished:
        with run:
            store(run, scored, by_path, maps, args.classifier, args.threshold)
    done = "already done as run" if run.already_finished else "run"
    counted = f"{len(scored):,} images ({split}) by {args.classifier}"
    print(f"import_predictions: {done} {run.id}, {counted}; next, run: {' && '.join(next_steps(context, dataset))}")
    return 0


def argument_parser() -> argparse.ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "import_predictions")
    options.add_argument("file", type=named_file, metavar="FILE", help="CSV with columns path and probability")
    options.add_argument(
        "--classifier", type=named, required=True, metavar="NAME", help="name of the classifier, shown on the pages"
    )
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="split to import (default: test, or all images if the dataset has no test split)",
    )
    options.add_argument(
        "--threshold",
        type=probability,
        default=HALF,
        metavar="P",
        help="decision threshold: the lowest probability that is predicted positive (default: .5)",
    )
    options.add_argument(
        "--heatmaps", type=named_file, metavar="FILE", help="NumPy array (.npy) with one heatmap per row: (rows, h, w)"
    )
    return options


def probability(value: str) -> float:
    """An argparse type: a number in [0, 1]."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"'{value}' is not a number from 0 to 1")
    return number


def predictions_of(context: Context, dataset: Dataset, images: Sequence[Image], file: Path) -> ImportedPredictions:
    """The file's predictions for the dataset's images; reports rows that match no image or are of other splits."""
    with session.reading(context.engine) as db:
        paths, copies = datasets.paths(db, dataset.id), datasets.copies(db, dataset.id)
    found = imported_predictions.read(file, paths, copies)
    for line in astray(found.strays, [*paths, *copies], what=f"rows of {file}"):
        print(f"warning: {line}")
    elsewhere = found.by_path.keys() - {image.path for image in images}
    if elsewhere:
        print(f"import_predictions: skipped {len(elsewhere):,} rows on images of other splits; see --split")
    return found


def scored_images(
    dataset: Dataset, images: Sequence[Image], by_path: Mapping[str, ImportedPrediction], *, split: str, file: Path
) -> list[Image]:
    """The images of the split that have a row in the file; warns about the others. Raises UsageError if there are
    none."""
    scored = [image for image in images if image.path in by_path]
    if not scored:
        raise UsageError(
            f"{file} has no row for an image of split '{split}' of dataset '{dataset.name}', whose paths look like "
            f"{examples([images[0].path])}; correct the paths, or choose another with --split"
        )
    if len(scored) < len(images):
        lacking = [image.path for image in images if image.path not in by_path]
        print(f"warning: {len(lacking):,} images of split '{split}' have no row in {file}: {examples(lacking)}")
    return scored


def next_steps(context: Context, dataset: Dataset) -> list[str]:
    """The commands to run next; existing reports have to be rescored against the new predictions first."""
    with session.reading(context.engine) as db:
        reported = bool(evaluation.reports(db, dataset.id))
    return [*([job("score", dataset.name)] if reported else []), job("evaluate", dataset.name)]


def store(
    run: ActiveRun,
    images: Sequence[Image],
    by_path: Mapping[str, ImportedPrediction],
    maps: NDArray[np.floating] | None,
    classifier: str,
    threshold: float,
) -> None:
    """Store the predictions as the run's rows, with heatmaps and lung zones if there are heatmaps."""
    rows: list[dict[str, Any]] = [
        {
            "run_id": run.id,
            "image_id": image.id,
            "logit": imported_predictions.logit(by_path[image.path].probability),
            "probability": by_path[image.path].probability,
        }
        for image in images
    ]
    if maps is not None:
        heat = np.stack([imported_predictions.heatmap(maps, by_path[image.path].row) for image in images])
        run.array("heatmaps", heat.astype(np.float16))
        for place, (row, one) in enumerate(zip(rows, heat, strict=True)):
            row |= {"heatmap_row": place, "zones": lung_zones(one)}
    run.predictions(rows, {"threshold": threshold, "recipe": classifier, "imported": True, "images": len(rows)})


if __name__ == "__main__":
    raise SystemExit(main())
