"""Training the last blocks and a head of one backbone on cached trunk maps, a member for each fold."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.run import ActiveRun
from jobs.trainings.learning import TrainingSet, calibrate, provenance_of, store_predictions, summary_of

if TYPE_CHECKING:
    from torch import Tensor

    from engine.classification.backbones import Backbone
    from engine.classification.recipes import Recipe
    from engine.classification.training import Epoch, FoldResult
    from engine.classification.trunk_cache import TrunkCache


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
