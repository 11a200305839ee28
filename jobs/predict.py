"""python -m jobs predict [--train-run N]: score images with a trained classifier, with a heatmap for each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from db import session
from db.models import Image, Run
from db.queries import runs
from engine import devices
from engine.classification import versions
from engine.classification.classifiers import model_json
from engine.classification.recipes import OperatingPoint
from engine.datasets.folders import SPLITS
from engine.digests import json_sha256
from jobs.checkpoints import checkpoint_of, train_run
from jobs.command import Context, UsageError, command, open_context, parser, row_number
from jobs.predictions.splits import images_to_score
from jobs.predictions.stress_threshold import STRESS, VERSION, refuse_without_members, stress_threshold
from jobs.run import ActiveRun, Advance, Work
from jobs.shards import records, sharded

if TYPE_CHECKING:
    from engine.classification.classifiers.checkpoints import AnyClassifier

BATCH, SHARDS = 256, "shards"
"""Images scored at once, whose scores share a file in this folder while the run is active: at most so many are scored
again after a kill."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "predict")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--train-run", type=row_number, metavar="N", help="train run to use (default: the current run)"
    )
    options.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="split to score (default: test, or all images if the dataset has no test split)",
    )
    options.add_argument(
        "--checkpoint", choices=("best", "last"), help="epoch whose weights to use (default: as the recipe says)"
    )
    options.add_argument(
        "--operating-point",
        choices=(*get_args(OperatingPoint), STRESS),
        help="rule for the decision threshold: Youden's index, an out-of-fold recall of .97, .5, or what suits "
        "training images under stress (default: as the recipe says)",
    )
    args = options.parse_args(argv)
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    trained = train_run(context, dataset, args.train_run)
    kept = checkpoint_name(trained, args.checkpoint)
    if args.operating_point == STRESS:
        refuse_without_members(trained)
    images, split = images_to_score(context, dataset, args.split)
    inputs = inputs_of(trained, images) + (f" {VERSION}" if args.operating_point == STRESS else "")
    work = Work(
        kind="predict",
        config={
            "dataset": dataset.name,
            "train_run": trained.id,
            "split": split,
            "checkpoint": kept,
            **({"operating_point": args.operating_point} if args.operating_point else {}),
        },
        inputs=inputs,
        dataset_id=dataset.id,
        predicts=len(images),
        expected_summary={"checkpoint_sha256": weights_of(context, trained, kept)},
    )
    run = ActiveRun.claim(context, work)
    if run.already_finished:
        print(f"predict: already done as run {run.id}")
        return 0
    with run:
        predict(run, Path(dataset.root), images, trained, kept, operating_point=args.operating_point)
    print(f"predict: run {run.id} scored {len(images)} images ({split}) in {run.seconds:.0f} s")
    return 0


def inputs_of(trained: Run, images: Sequence[Image]) -> str:
    """Hash of what the predictions depend on, except the weights, which training again in place may have replaced."""
    parts = [str(versions.INFERENCE), trained.fingerprint, *(image.sha256 for image in images)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def checkpoint_name(trained: Run, requested: str | None) -> str:
    """The artifact that holds the requested weights. Raises UsageError if the recipe keeps only one checkpoint."""
    recipe = trained.config.get("recipe") or {}
    keeps = recipe.get("keep")
    if requested and not keeps:
        raise UsageError(f"recipe '{recipe.get('name')}' has no epochs to choose from; leave --checkpoint out")
    return "checkpoint" if requested in (None, keeps) else f"checkpoint_{requested}"


def weights_of(context: Context, trained: Run, kept: str) -> str | None:
    """The sha256 of the train run's current weights; None if they cannot be read."""
    with session.reading(context.engine) as db:
        checkpoint = runs.artifact(db, trained.id, kept)
    return model_json.revision(context.artifacts / checkpoint.path) if checkpoint else None


def predict(
    run: ActiveRun, root: Path, images: Sequence[Image], trained: Run, kept: str, *, operating_point: str | None
) -> None:
    """Score all images in shards that a resumed run reuses, then store heatmaps and rows together."""
    from engine.classification.calibration import threshold_at
    from engine.classification.classifiers.checkpoints import load_classifier
    from engine.imaging.heat import lung_zones
    from engine.imaging.images import Ingested, read_batch

    folder = checkpoint_of(run.context, trained, kept)
    classifier = load_classifier(folder, device=devices.available())
    calibration = dict(classifier.calibration)
    if operating_point == STRESS:
        calibration |= stress_threshold(run, trained, folder, classifier)
    elif operating_point is not None:
        chosen = threshold_at(operating_point, calibration)
        calibration |= {"threshold": chosen, "operating_point": operating_point}

    def scores(batch: Sequence[Image], advance: Advance) -> np.ndarray:
        files = [Ingested(root / image.path, image.sha256) for image in batch]
        output = classifier.run(read_batch(files, size=classifier.input_size), heatmaps=True)
        assert output.heatmaps is not None
        advance(len(batch))
        return records({"logit": output.logits, "probability": output.probabilities, "heatmap": output.heatmaps})

    # not in the fingerprint, since training again in place may replace them
    weights = json_sha256([classifier.revision, classifier.temperature])[:16]
    scored = sharded(run, images, scores, name=f"{SHARDS}/{weights}", stage="scoring images", size=BATCH)
    rows: list[dict[str, Any]] = [
        {
            "run_id": run.id,
            "image_id": image.id,
            "logit": float(score["logit"]),
            "probability": float(score["probability"]),
            "heatmap_row": row,
            "zones": lung_zones(score["heatmap"]),
        }
        for row, (image, score) in enumerate(zip(images, scored, strict=True))
    ]
    store(run, rows, scored["heatmap"].astype(np.float16), classifier, trained, calibration)
    run.discard(run.folder / SHARDS)


def store(
    run: ActiveRun,
    rows: list[dict[str, Any]],
    heatmaps: np.ndarray,
    classifier: "AnyClassifier",
    trained: Run,
    calibration: dict[str, Any],
) -> None:
    """Write the heatmaps to a file atomically, and rows and summary in one transaction."""
    run.array("heatmaps", heatmaps)
    summary = {
        **calibration,
        "train_run": trained.id,
        "recipe": classifier.recipe.name,
        "checkpoint_sha256": classifier.revision,
        "images": len(rows),
    }
    run.predictions(rows, summary)


if __name__ == "__main__":
    raise SystemExit(main())
