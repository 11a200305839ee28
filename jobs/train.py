"""python -m jobs train [--recipe NAME]: train the pneumonia classifier, with folds that keep patients apart.

The official train and val images are dealt into folds by patient; the test split is never read. What each fold trains
is scored on the patients it did not see; temperature and thresholds are chosen on those out-of-fold predictions alone.
A killed run goes on with the view or fold it was at.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
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
    from engine.classification.recipes import Recipe, StatisticsRecipe
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
    options.add_argument("--recipe", default="best", metavar="NAME", help="best (default), quick, lite0 or seed")
    options.add_argument("--epochs", type=positive, help="override the recipe's")
    options.add_argument("--batch-size", type=positive, help="override the recipe's")
    options.add_argument("--views", type=positive, help="cached views of each image; override the recipe's")
    options.add_argument("--folds", type=positive, help="override the recipe's")
    options.add_argument("--repeats", type=positive, help="how often folds are dealt anew; override the recipe's")
    options.add_argument("--seed", type=natural, default=0)
    args = options.parse_args(argv)

    from engine.classification.recipes import RECIPES, StatisticsRecipe

    if args.recipe not in RECIPES:
        raise UsageError(f"recipe '{args.recipe}' is unknown; known: {', '.join(RECIPES)}")
    recipe = RECIPES[args.recipe]
    overridden = {name: getattr(args, name) for name in ("epochs", "batch_size", "views", "folds", "repeats")}
    overridden = {name: value for name, value in overridden.items() if value is not None}
    for name in overridden.keys() - {field.name for field in fields(recipe)}:
        raise UsageError(f"recipe '{recipe.name}' has no --{name.replace('_', '-')}; leave it out")
    recipe = replace(recipe, **overridden)
    if isinstance(recipe, StatisticsRecipe) and recipe.views < 2:
        raise UsageError(f"--views {recipe.views} leaves no mirror image; recipe '{recipe.name}' needs at least 2")
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
        if isinstance(recipe, StatisticsRecipe):
            train_statistics(run, training_set, recipe, seed=args.seed)
        else:
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
    from engine.classification.inference import save_checkpoint

    calibration = calibrate(
        training_set.labels,
        logits,
        logits,
        chosen_on="out-of-fold predictions of single members, without mirror images",
    )
    folder = run.folder / "checkpoint"
    provenance = provenance_of(run, training_set, seed=seed)
    revision = save_checkpoint(folder, backbone, members, recipe, calibration=calibration, provenance=provenance)
    store_predictions(run, training_set, dealt, logits, calibration)
    run.artifact("checkpoint", folder)
    run.summary = summary_of(training_set, recipe.name, [recipe.backbone], logits, calibration, revision)
    for fold in range(recipe.folds):
        (run.folder / f"fold{fold}.safetensors").unlink(missing_ok=True)


def calibrate(labels: np.ndarray, logits: np.ndarray, under_stress: np.ndarray, *, chosen_on: str) -> dict[str, Any]:
    """Temperature and thresholds from out-of-fold logits.

    labels, logits: (n,). under_stress: (n,) or (views, n), the same images varied as well: the threshold for a recall
    of .97 has to hold on films that are unlike the training's.
    """
    from engine.classification.calibration import fit_temperature, probabilities
    from engine.metrics.classification import recall_threshold, youden_threshold

    temperature = fit_temperature(labels, logits)
    every = np.atleast_2d(under_stress)
    return {
        "temperature": temperature,
        "threshold": youden_threshold(labels, probabilities(logits, temperature=temperature)),
        "threshold_recall97": recall_threshold(
            np.tile(labels, len(every)), probabilities(every.ravel(), temperature=temperature), recall=0.97
        ),
        "chosen_on": chosen_on,
    }


def provenance_of(run: ActiveRun, training_set: TrainingSet, *, seed: int) -> dict[str, Any]:
    """What a checkpoint remembers of its making."""
    return {"run": run.id, "seed": seed, "code_version": code_version(), "images": training_set.fingerprint}


def store_predictions(
    run: ActiveRun, training_set: TrainingSet, dealt: np.ndarray, logits: np.ndarray, calibration: dict[str, Any]
) -> None:
    """A row for each image's out-of-fold prediction."""
    from engine.classification.calibration import probabilities

    calibrated = probabilities(logits, temperature=calibration["temperature"])
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


def summary_of(
    training_set: TrainingSet,
    recipe: str,
    backbones: Sequence[str],
    logits: np.ndarray,
    calibration: dict[str, Any],
    revision: str,
) -> dict[str, Any]:
    """What the run's row tells at a glance."""
    from engine.metrics.classification import auc

    return {
        **calibration,
        "oof_auc": auc(training_set.labels, logits),
        "recipe": recipe,
        "backbone": ", ".join(backbones),
        "checkpoint_sha256": revision,
        "images": len(training_set.labels),
        "patients": len(np.unique(training_set.patients)),
    }


def train_statistics(run: ActiveRun, training_set: TrainingSet, recipe: "StatisticsRecipe", *, seed: int) -> None:
    """Describe every view by every backbone, fit each deal's folds, average, calibrate, store."""
    import torch

    from engine.classification import linear
    from engine.classification.backbones import load_backbone
    from engine.metrics.classification import auc
    from engine.splits import grouped_folds

    device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = training_set.labels
    deals = [
        grouped_folds(training_set.strata, training_set.patients, folds=recipe.folds, seed=seed + repeat)
        for repeat in range(recipe.repeats)
    ]
    backbones = [load_backbone(name, models=run.context.models) for name in recipe.backbones]
    described = described_views(run, training_set, recipe, backbones, seed=seed, device=device)
    logits = np.zeros((recipe.repeats, recipe.views, len(labels)))
    models: list[list[linear.Linear]] = [[] for _ in backbones]
    heads = {"films": 2, "all views": recipe.views}
    with run.progress("fitting folds", recipe.repeats * recipe.folds * len(backbones)) as advance:
        for repeat, dealt in enumerate(deals):
            for fold in range(recipe.folds):
                held_out = dealt == fold
                for member, views in zip(models, described, strict=True):
                    pair = [
                        linear.fit(
                            [view[~held_out] for view in views[:count]], labels[~held_out], penalty=recipe.penalty
                        )
                        for count in heads.values()
                    ]
                    member.append(linear.average(pair))
                    for number, view in enumerate(views):
                        logits[repeat, number, held_out] += member[-1](view[held_out]) / len(backbones)
                    advance(1)
            run.metrics(
                [
                    {
                        "name": "valid_auc",
                        "split": f"deal{repeat}",
                        "step": fold,
                        "value": auc(labels[dealt == fold], logits[repeat, :2, dealt == fold].mean(1)),
                        "n": int((dealt == fold).sum()),
                    }
                    for fold in range(recipe.folds)
                ]
            )
    plain = logits[:, :2].mean((0, 1))
    calibration = calibrate(
        labels,
        plain,
        logits.mean(0),
        chosen_on="out-of-fold predictions, mean over deals, backbones and mirror images; recall .97 on all views",
    )
    folder = run.folder / "checkpoint"
    revision = linear.save_checkpoint(
        folder,
        backbones,
        [linear.average(member) for member in models],
        [views[0] for views in described],
        recipe,
        calibration=calibration,
        provenance=provenance_of(run, training_set, seed=seed),
    )
    store_predictions(run, training_set, deals[0], plain, calibration)
    np.save(run.folder / "out_of_fold_logits.npy", logits.astype(np.float32), allow_pickle=False)
    run.artifact("out_of_fold_logits", run.folder / "out_of_fold_logits.npy", shape=logits.shape)
    run.artifact("checkpoint", folder)
    run.summary = summary_of(training_set, recipe.name, recipe.backbones, plain, calibration, revision) | {
        "oof_auc_of_deals": [auc(labels, deal[:2].mean(0)) for deal in logits],
        "oof_auc_varied": [auc(labels, view) for view in logits.mean(0)[2:]],
    }


def described_views(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "StatisticsRecipe",
    backbones: "Sequence[Backbone]",
    *,
    seed: int,
    device: str,
) -> list[tuple[np.ndarray, ...]]:
    """For each backbone and view the statistics of every image, float16 (n, d), memory-mapped."""
    from functools import partial

    from engine.classification import trunk_cache
    from engine.classification.statistics import Statistics
    from engine.images import read_batch

    found = []
    with run.progress("describing views", len(backbones) * recipe.views * len(training_set.files)) as advance:
        for backbone in backbones:
            describer = Statistics(backbone)
            describer.parts.to(device)
            cache = trunk_cache.build(
                run.context.artifacts / "cache" / "trunk",
                backbone,
                [image.sha256 for image in training_set.images],
                lambda rows: read_batch([training_set.files[row] for row in rows], size=recipe.size),
                views=recipe.views,
                seed=seed,
                advance=advance,
                size=recipe.size,
                describe=partial(describer.describe, device=device),
                mirrored=True,
            )
            found.append(cache.views)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
