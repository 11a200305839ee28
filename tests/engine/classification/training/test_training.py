import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.classification.classifiers.checkpoints import load_classifier
from engine.classification.classifiers.convolutional import save_checkpoint
from engine.classification.networks.backbones import Backbone, load_backbone
from engine.classification.recipes import RECIPES, Recipe
from engine.classification.training import fold as training
from engine.classification.training.fold import Epoch, Fold, train_fold
from engine.classification.training.progress import ProgressFolder
from engine.classification.views import trunk_cache
from engine.classification.views.descriptions import TrunkMaps
from engine.classification.views.fresh import FreshViews
from engine.classification.views.kinds import Source
from engine.classification.views.trunk_cache import TrunkCache
from engine.errors import InputError

LITE0 = RECIPES["lite0"]
assert isinstance(LITE0, Recipe)
RECIPE = replace(LITE0, views=2, epochs=3, folds=2, batch_size=8)
CALIBRATION = {"temperature": 1.5, "threshold": 0.4}
LABELS = np.tile([0, 1], 20)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Noise, with a bright patch in the lower left where the label is 1."""
    made = np.random.default_rng(0).integers(0, 120, size=(40, 224, 224), dtype=np.uint8)
    made[LABELS == 1, 140:200, 20:90] += 110
    return made


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("efficientnet_lite0", cut=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, pixels: np.ndarray) -> TrunkCache:
    names = [str(row) for row in range(40)]
    folder = tmp_path_factory.mktemp("cache")
    source = Source(names, lambda rows, _: pixels[list(rows)], "augmented", seed=0)
    return trunk_cache.build(folder, source, TrunkMaps(backbone), views=range(2))


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, cache: TrunkCache
) -> tuple[Path, np.ndarray]:
    """A checkpoint of two members, and the out-of-fold logits."""
    fold_of = np.repeat([0, 1], 20)
    results = [train_fold(backbone, RECIPE, cache, Fold(LABELS, fold_of == fold), seed=fold) for fold in (0, 1)]
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(
        folder, [(backbone, [r.last.state for r in results])], RECIPE, calibration=CALIBRATION, provenance={"run": 1}
    )
    return folder, np.concatenate([r.last.valid_logits for r in results])


def test_whoever_may_read_what_a_checkpoint_says_may_read_its_weights(checkpoint: tuple[Path, np.ndarray]) -> None:
    said, weights = (checkpoint[0] / name for name in ("model.json", "model.safetensors"))
    assert weights.stat().st_mode == said.stat().st_mode


def test_a_fold_learns_what_the_held_out_images_share(checkpoint: tuple[Path, np.ndarray]) -> None:
    _, logits = checkpoint
    assert ((logits > 0) == (LABELS == 1)).mean() > 0.9


def test_the_same_seed_trains_the_same_member(backbone: Backbone, cache: TrunkCache) -> None:
    held_out = np.arange(40) < 20
    one, other = (train_fold(backbone, RECIPE, cache, Fold(LABELS, held_out), seed=3) for _ in range(2))
    assert same(one.last.state, other.last.state) and np.array_equal(one.last.valid_logits, other.last.valid_logits)


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("float16", "cuda", torch.float16),
        ("float16", "cuda:0", torch.float16),  # as accelerate names a card
        ("float16", "cpu", torch.bfloat16),
        ("bfloat16", "cuda:1", torch.bfloat16),
        ("float32", "cuda:0", None),
    ],
)
def test_half_precision_is_the_cards_own_however_the_card_is_named(
    precision: str, device: str, expected: torch.dtype | None
) -> None:
    assert training.half(precision, device) is expected


class KilledError(Exception):
    """Simulates a kill: whatever was not on disk is lost."""


def killed_at(step: int, cache: TrunkCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the training when the batch of that step, counted over all epochs, is read."""
    steps = iter(range(10**6))

    def take(self: TrunkCache, rows: np.ndarray, views: np.ndarray) -> torch.Tensor:
        if len(rows) < 9 and next(steps) == step:  # a training batch; held-out ones are larger
            raise KilledError
        return original(self, rows, views)

    original = TrunkCache.take
    monkeypatch.setattr(TrunkCache, "take", take)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("step", [0, 2, 3, 4, 7, 8])
def test_a_training_killed_at_any_step_goes_on_to_the_same_weights_bit_for_bit(
    backbone: Backbone, cache: TrunkCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    held_out = np.arange(40) < 20
    whole = train_fold(backbone, RECIPE, cache, Fold(LABELS, held_out), seed=3)
    kept = ProgressFolder(tmp_path / "fold", "this training")
    with monkeypatch.context() as patched:
        killed_at(step, cache, patched)
        with pytest.raises(KilledError):
            train_fold(backbone, RECIPE, cache, Fold(LABELS, held_out), seed=3, progress=kept)
    torch.rand(7), np.random.default_rng().random()
    epochs: list[Epoch] = []
    resumed = train_fold(backbone, RECIPE, cache, Fold(LABELS, held_out), seed=3, progress=kept, on_epoch=epochs.append)
    assert same(whole.last.state, resumed.last.state) and same(whole.best.state, resumed.best.state)
    assert np.array_equal(whole.best.valid_logits, resumed.best.valid_logits)
    assert whole.curve == resumed.curve == tuple(epochs)
    assert len(list(kept.path.iterdir())) == 2


def test_progress_that_is_foreign_or_torn_is_refused_by_name(
    backbone: Backbone, cache: TrunkCache, tmp_path: Path
) -> None:
    held_out = np.arange(40) < 20
    short = replace(RECIPE, epochs=1)
    train_fold(backbone, short, cache, Fold(LABELS, held_out), seed=0, progress=ProgressFolder(tmp_path, "one"))
    with pytest.raises(InputError, match="is of other images, another recipe or seed; delete"):
        train_fold(backbone, short, cache, Fold(LABELS, held_out), seed=0, progress=ProgressFolder(tmp_path, "other"))
    (file,) = tmp_path.glob("*.safetensors")
    whole = file.read_bytes()
    for damaged in (whole[:-9], whole[:40] + b"?" + whole[41:]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=f"training progress {file} is damaged; delete {tmp_path}"):
            train_fold(backbone, short, cache, Fold(LABELS, held_out), seed=0, progress=ProgressFolder(tmp_path, "one"))
    file.unlink()
    with pytest.raises(InputError, match=f"{file} cannot be read"):
        ProgressFolder(tmp_path, "one").load()
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(InputError, match=r"progress\.json cannot be read"):
        ProgressFolder(tmp_path, "one").load()


def test_the_best_epoch_is_kept_beside_the_last(backbone: Backbone, cache: TrunkCache) -> None:
    wild = replace(RECIPE, epochs=4, tail_learning_rate=0.03, head_learning_rate=0.3)
    found = train_fold(backbone, wild, cache, Fold(LABELS, np.arange(40) < 20), seed=2)
    aucs = [epoch.valid_auc for epoch in found.curve]
    assert found.best.epoch == int(np.argmax(aucs)) and found.last.epoch == 3
    assert same(found.best.state, found.last.state) == (found.best.epoch == 3)


def test_views_that_are_not_cached_train_and_resume_alike(
    backbone: Backbone, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.imaging.images import resize

    def read(rows: Sequence[int], size: int) -> np.ndarray:
        return np.stack([resize(pixels[row], size) for row in rows])

    fresh = FreshViews(backbone, read, "seed", 224)
    recipe = replace(RECIPE, views=0, variation="seed", epochs=2)
    held_out = np.arange(40) < 20
    whole = train_fold(backbone, recipe, fresh, Fold(LABELS, held_out), seed=1)
    kept = ProgressFolder(tmp_path, "fresh")

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 0:
            raise KilledError

    with pytest.raises(KilledError):
        train_fold(backbone, recipe, fresh, Fold(LABELS, held_out), seed=1, progress=kept, on_epoch=stop)
    resumed = train_fold(backbone, recipe, fresh, Fold(LABELS, held_out), seed=1, progress=kept)
    assert same(whole.last.state, resumed.last.state)
    first, again = (next(fresh.drawn([np.arange(3)], np.random.default_rng(s))) for s in (0, 1))
    assert not torch.equal(first, again)


def test_training_leaves_the_pretrained_backbone_untouched(backbone: Backbone, cache: TrunkCache) -> None:
    fresh = load_backbone("efficientnet_lite0", cut=16).state_dict()
    epochs: list[Epoch] = []
    train_fold(backbone, RECIPE, cache, Fold(LABELS, np.arange(40) < 20), seed=0, on_epoch=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    assert all(torch.equal(fresh[name], tensor) for name, tensor in backbone.state_dict().items())


def test_a_loaded_checkpoint_scores_explains_and_states_its_calibration(
    checkpoint: tuple[Path, np.ndarray], pixels: np.ndarray
) -> None:
    classifier = load_classifier(checkpoint[0])
    said = classifier.run(pixels, heatmaps=True, batch_size=16)
    assert ((said.probabilities > 0.5) == (LABELS == 1)).mean() > 0.9
    assert said.probabilities == pytest.approx(1 / (1 + np.exp(-said.logits / 1.5)))
    assert said.features.shape == (40, 1280) and said.features.dtype == np.float32
    assert said.heatmaps is not None and said.heatmaps.shape == (40, 7, 7)
    assert said.heatmaps.min() >= 0 and said.heatmaps.max() == 1.0
    assert (classifier.threshold, classifier.temperature) == (0.4, 1.5)
    one_by_one = np.concatenate([classifier.run(pixels[i : i + 1]).logits for i in range(4)])
    assert one_by_one == pytest.approx(said.logits[:4], abs=0.05)


def test_mirror_images_get_the_same_score_when_averaged_over_flips(
    checkpoint: tuple[Path, np.ndarray], pixels: np.ndarray
) -> None:
    classifier = load_classifier(checkpoint[0])
    mirrored = pixels[:4, :, ::-1].copy()
    assert classifier.run(mirrored).logits == pytest.approx(classifier.run(pixels[:4]).logits, abs=1e-3)


def test_a_torn_or_swapped_checkpoint_is_refused_by_name(checkpoint: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train again as its run's page says"):
        load_classifier(tmp_path)
    weights = (checkpoint[0] / "model.safetensors").read_bytes()
    (tmp_path / "model.json").write_text((checkpoint[0] / "model.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(InputError, match="torn"):
        load_classifier(tmp_path)


def test_a_checkpoint_of_another_backbone_is_refused_by_name(
    checkpoint: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    described = json.loads((checkpoint[0] / "model.json").read_text())
    described["members"] = {"efficientnet_lite1": 2}
    (tmp_path / "model.json").write_text(json.dumps(described))
    (tmp_path / "model.safetensors").write_bytes((checkpoint[0] / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match="does not fit backbone 'efficientnet_lite1' cut at -2"):
        load_classifier(tmp_path)


def test_the_checkpoint_describes_itself_in_plain_json(checkpoint: tuple[Path, np.ndarray]) -> None:
    described = json.loads((checkpoint[0] / "model.json").read_text())
    assert described["members"] == {"efficientnet_lite0": 2}
    assert described["recipe"]["backbones"] == ["efficientnet_lite0"]
    assert described["calibration"] == CALIBRATION


def test_pixels_of_another_shape_are_refused(checkpoint: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"uint8 \(n, 224, 224\); got float64 \(1, 32, 32\)"):
        load_classifier(checkpoint[0]).run(np.zeros((1, 32, 32)))


def test_a_fold_of_one_class_is_refused(backbone: Backbone, cache: TrunkCache) -> None:
    with pytest.raises(InputError, match="training images of a fold are all of one class"):
        train_fold(backbone, RECIPE, cache, Fold(LABELS, LABELS == 1), seed=0)


def test_a_loss_that_is_no_number_stops_and_names_epoch_and_step(backbone: Backbone, cache: TrunkCache) -> None:
    broken = np.array(cache.views[0])
    broken[25] = np.nan
    with pytest.raises(InputError, match=r"the loss is nan at epoch 0, step \d.* the folder cache in the artifact"):
        train_fold(backbone, RECIPE, TrunkCache((broken, broken)), Fold(LABELS, np.arange(40) < 20), seed=0)


def test_running_out_of_memory_names_the_batch_size_to_try(
    backbone: Backbone, cache: TrunkCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("allocation failed")

    monkeypatch.setattr(TrunkCache, "take", exhausted)
    with pytest.raises(InputError, match="out of memory at batch size 8; try --batch-size 4"):
        train_fold(backbone, RECIPE, cache, Fold(LABELS, np.arange(40) < 20), seed=0)
