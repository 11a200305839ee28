"""python -m jobs train [--recipe NAME]: train the pneumonia classifier, one ensemble member for each fold.

The official train and val images are dealt into folds by patient; the test split is never read. Each fold's member is
scored on the patients it did not see; temperature and thresholds are chosen on those out-of-fold predictions alone. A
killed run goes on with the fold it was at.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from db import session, writes
from db.models import Dataset, Image, Prediction
from db.queries import datasets
from engine.classification import versions
from jobs.command import Context, JobError, UsageError, command, natural, open_context, parser, positive
from jobs.run import ActiveRun, code_version

if TYPE_CHECKING:
    from torch import Tensor

    from engine.classification.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training import Epoch, FoldResult
    from engine.classification.trunk_cache import TrunkCache


@dataclass(frozen=True)
class TrainingSet:
    """The images to learn from, in id order."""

    images: Sequence[Image]
    files: list[Path]
    labels: np.ndarray
    strata: np.ndarray
    patients: np.ndarray

    @classmethod
    def of(cls, context: Context, dataset: Dataset) -> "TrainingSet":
        """All labelled images outside the test split. Raises JobError where there is nothing to learn from."""
        with session.transaction(context.engine) as db:
            labelled = datasets.images(db, dataset.id, labelled=True)
        images = [image for image in labelled if image.split != "test"]
        classes = {image.label for image in images}
        if classes != {0, 1}:
            held = "no labelled images" if not classes else f"only {'pneumonia' if classes == {1} else 'normal'} images"
            raise JobError(
                f"dataset '{dataset.name}' has {held} outside its test split; training needs normal and pneumonia: "
                "add the missing ones to the folder and run: python -m jobs ingest FOLDER"
            )
        return cls(
            images=images,
            files=[Path(dataset.root) / image.path for image in images],
            labels=np.array([image.label for image in images]),
            strata=np.array([(image.cause or "pneumonia") if image.label else "normal" for image in images]),
            patients=np.array([image.patient_key for image in images]),
        )

    @property
    def fingerprint(self) -> str:
        """Hash of contents, labels and patients."""
        lines = (f"{i.sha256} {i.label} {i.cause} {i.patient_key}" for i in self.images)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "train")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument("--recipe", default="lite0", metavar="NAME", help="lite0 (offline default) or seed")
    options.add_argument("--epochs", type=positive, help="override the recipe's")
    options.add_argument("--batch-size", type=positive, help="override the recipe's")
    options.add_argument("--views", type=positive, help="cached views of each image; override the recipe's")
    options.add_argument("--folds", type=positive, help="override the recipe's")
    options.add_argument("--seed", type=natural, default=0)
    args = options.parse_args(argv)

    from engine.classification.recipes import RECIPES

    if args.recipe not in RECIPES:
        raise UsageError(f"recipe '{args.recipe}' is unknown; known: {', '.join(RECIPES)}")
    overridden = {name: getattr(args, name) for name in ("epochs", "batch_size", "views", "folds")}
    recipe = replace(RECIPES[args.recipe], **{name: value for name, value in overridden.items() if value is not None})
    if recipe.folds < 2:
        raise UsageError(f"--folds {recipe.folds} leaves nothing to hold out; ask for at least 2")
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    training_set = TrainingSet.of(context, dataset)
    run = ActiveRun.claim(
        context,
        kind="train",
        config={"dataset": dataset.name, "recipe": asdict(recipe)},
        inputs=f"{training_set.fingerprint} {versions.VIEWS} {versions.TRUNK} {versions.TRAINING}",
        dataset_id=dataset.id,
        seed=args.seed,
    )
    if run.already_finished:
        print(f"train: already done as run {run.id}")
        return 0
    with run:
        train(run, training_set, recipe, seed=args.seed)
    print(
        f"train: run {run.id} finished in {run.seconds:.0f} s; out-of-fold AUC {run.summary['oof_auc']:.4f}, "
        f"threshold {run.summary['threshold']:.3f}, temperature {run.summary['temperature']:.2f}"
    )
    return 0


def train(run: ActiveRun, training_set: TrainingSet, recipe: "Recipe", *, seed: int) -> None:
    """Cache the views, train the folds that are not yet trained, calibrate, store."""
    import torch

    from engine.classification.backbones import load_backbone
    from engine.splits import grouped_folds

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dealt = grouped_folds(training_set.strata, training_set.patients, folds=recipe.folds, seed=seed)
    backbone = load_backbone(recipe.backbone, models=run.context.models, cut=recipe.cut).to(device)
    cache = cached_views(run, training_set, recipe, backbone, seed=seed, device=device)
    logits = np.full(len(dealt), np.nan)
    members = []
    with run.progress("training folds", recipe.folds * recipe.epochs) as advance:
        for fold in range(recipe.folds):
            state, fold_logits = trained_fold(
                run, recipe, backbone, cache, training_set.labels, dealt, fold, seed, device, advance
            )
            members.append(state)
            logits[dealt == fold] = fold_logits
    store(run, training_set, recipe, backbone.to("cpu"), members, dealt, logits, seed=seed)


def cached_views(
    run: ActiveRun, training_set: TrainingSet, recipe: "Recipe", backbone: "Backbone", *, seed: int, device: str
) -> "TrunkCache":
    """The trunk's maps of every image in every view."""
    from engine.classification import trunk_cache
    from engine.images import read_batch

    size = backbone.spec.input_size
    with run.progress("caching trunk features", recipe.views * len(training_set.files)) as advance:
        return trunk_cache.build(
            run.context.artifacts / "cache" / "trunk",
            backbone,
            [image.sha256 for image in training_set.images],
            lambda rows: read_batch([training_set.files[row] for row in rows], size=size),
            views=recipe.views,
            seed=seed,
            device=device,
            advance=advance,
        )


def trained_fold(
    run: ActiveRun,
    recipe: "Recipe",
    backbone: "Backbone",
    cache: "TrunkCache",
    labels: np.ndarray,
    dealt: np.ndarray,
    fold: int,
    seed: int,
    device: str,
    advance: Any,
) -> "tuple[dict[str, Tensor], np.ndarray]":
    """The fold's weights and held-out logits: from the file an earlier try left, or trained now."""
    import torch
    from safetensors.torch import load_file, save_file

    from engine.classification.training import train_fold
    from engine.files import whole_file

    held_out = dealt == fold
    path = run.folder / f"fold{fold}.safetensors"
    if path.exists():
        state = load_file(path)
        advance(recipe.epochs)
        return state, state.pop("valid_logits").numpy()

    def on_epoch(epoch: "Epoch") -> None:
        store_epoch(run, fold, epoch, int(held_out.sum()))
        advance(1)

    result: FoldResult = train_fold(
        backbone, recipe, cache, labels, held_out, seed=seed * 1000 + fold, device=device, on_epoch=on_epoch
    )
    with whole_file(path) as temporary:
        save_file({**result.state, "valid_logits": torch.from_numpy(result.valid_logits)}, temporary)
    return result.state, result.valid_logits


def store_epoch(run: ActiveRun, fold: int, epoch: "Epoch", held_out: int) -> None:
    """One point on each of the fold's curves."""
    measured = asdict(epoch)
    step = measured.pop("epoch")
    run.metrics(
        [
            {"name": name, "split": f"fold{fold}", "step": step, "value": value, "n": held_out}
            for name, value in measured.items()
        ]
    )


def store(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "Recipe",
    backbone: "Backbone",
    members: "list[dict[str, Tensor]]",
    dealt: np.ndarray,
    logits: np.ndarray,
    *,
    seed: int,
) -> None:
    """Calibrate on the out-of-fold logits, then write checkpoint, predictions and summary."""
    from engine.classification.calibration import fit_temperature, probabilities
    from engine.classification.inference import save_checkpoint
    from engine.metrics.classification import auc, recall_threshold, youden_threshold

    labels = training_set.labels
    temperature = fit_temperature(labels, logits)
    calibrated = probabilities(logits, temperature=temperature)
    calibration = {
        "temperature": temperature,
        "threshold": youden_threshold(labels, calibrated),
        "threshold_recall97": recall_threshold(labels, calibrated, recall=0.97),
        "chosen_on": "out-of-fold predictions of single members, without mirror images",
    }
    folder = run.folder / "checkpoint"
    provenance = {"run": run.id, "seed": seed, "code_version": code_version(), "images": training_set.fingerprint}
    revision = save_checkpoint(folder, backbone, members, recipe, calibration=calibration, provenance=provenance)
    rows = [
        {
            "run_id": run.id,
            "image_id": image.id,
            "fold": int(fold),
            "logit": float(logit),
            "probability": float(probability),
        }
        for image, fold, logit, probability in zip(training_set.images, dealt, logits, calibrated, strict=True)
    ]
    with session.transaction(run.context.engine) as db:
        writes.clear(db, Prediction, run.id)
        writes.upsert(db, Prediction, rows, unique=("run_id", "image_id"))
    run.artifact("checkpoint", folder)
    run.summary = {
        **calibration,
        "oof_auc": auc(labels, logits),
        "recipe": recipe.name,
        "backbone": recipe.backbone,
        "checkpoint_sha256": revision,
        "images": len(labels),
        "patients": len(np.unique(training_set.patients)),
    }
    for fold in range(recipe.folds):
        (run.folder / f"fold{fold}.safetensors").unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
