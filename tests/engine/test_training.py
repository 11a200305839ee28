import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.classification import trunk_cache
from engine.classification.backbones import Backbone, load_backbone
from engine.classification.inference import Classifier, save_checkpoint
from engine.classification.recipes import RECIPES
from engine.classification.training import Epoch, train_fold
from engine.classification.trunk_cache import TrunkCache
from engine.errors import InputError

RECIPE = replace(RECIPES["lite0"], views=1, epochs=3, folds=2, batch_size=8)
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
    return trunk_cache.build(folder, backbone, names, lambda rows: pixels[list(rows)], views=1, seed=0)


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, cache: TrunkCache
) -> tuple[Path, np.ndarray]:
    """A checkpoint of two members, and the out-of-fold logits."""
    dealt = np.repeat([0, 1], 20)
    results = [train_fold(backbone, RECIPE, cache, LABELS, dealt == fold, seed=fold) for fold in (0, 1)]
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(
        folder, backbone, [r.state for r in results], RECIPE, calibration=CALIBRATION, provenance={"run": 1}
    )
    return folder, np.concatenate([r.valid_logits for r in results])


def test_a_fold_learns_what_the_held_out_images_share(checkpoint: tuple[Path, np.ndarray]) -> None:
    _, logits = checkpoint
    assert ((logits > 0) == (LABELS == 1)).mean() > 0.9


def test_the_same_seed_trains_the_same_member(backbone: Backbone, cache: TrunkCache) -> None:
    held_out = np.arange(40) < 20
    one, other = (train_fold(backbone, RECIPE, cache, LABELS, held_out, seed=3) for _ in range(2))
    assert np.allclose(one.valid_logits, other.valid_logits, atol=1e-3)


def test_training_leaves_the_pretrained_backbone_untouched(backbone: Backbone, cache: TrunkCache) -> None:
    fresh = load_backbone("efficientnet_lite0", cut=16).state_dict()
    epochs: list[Epoch] = []
    train_fold(backbone, RECIPE, cache, LABELS, np.arange(40) < 20, seed=0, on_epoch=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    assert all(torch.equal(fresh[name], tensor) for name, tensor in backbone.state_dict().items())


def test_a_loaded_checkpoint_scores_explains_and_states_its_calibration(
    checkpoint: tuple[Path, np.ndarray], pixels: np.ndarray
) -> None:
    classifier = Classifier.load(checkpoint[0])
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
    classifier = Classifier.load(checkpoint[0])
    mirrored = pixels[:4, :, ::-1].copy()
    assert classifier.run(mirrored).logits == pytest.approx(classifier.run(pixels[:4]).logits, abs=1e-3)


def test_a_torn_or_swapped_checkpoint_is_refused_by_name(checkpoint: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="python -m jobs train"):
        Classifier.load(tmp_path)
    weights = (checkpoint[0] / "model.safetensors").read_bytes()
    (tmp_path / "model.json").write_text((checkpoint[0] / "model.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(InputError, match="torn"):
        Classifier.load(tmp_path)


def test_the_checkpoint_describes_itself_in_plain_json(checkpoint: tuple[Path, np.ndarray]) -> None:
    described = json.loads((checkpoint[0] / "model.json").read_text())
    assert described["members"] == 2 and described["recipe"]["backbone"] == "efficientnet_lite0"
    assert described["calibration"] == CALIBRATION


def test_pixels_of_another_shape_are_refused(checkpoint: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(InputError, match=r"uint8 \(n, 224, 224\); got float64 \(1, 32, 32\)"):
        Classifier.load(checkpoint[0]).run(np.zeros((1, 32, 32)))


def test_a_fold_of_one_class_is_refused(backbone: Backbone, cache: TrunkCache) -> None:
    with pytest.raises(InputError, match="training images of a fold are all of one class"):
        train_fold(backbone, RECIPE, cache, LABELS, LABELS == 1, seed=0)


def test_a_loss_that_is_no_number_stops_and_names_epoch_and_step(backbone: Backbone, cache: TrunkCache) -> None:
    broken = np.array(cache.views[0])
    broken[25] = np.nan
    with pytest.raises(InputError, match=r"the loss is nan at epoch 0, step \d"):
        train_fold(backbone, RECIPE, TrunkCache((broken,)), LABELS, np.arange(40) < 20, seed=0)


def test_running_out_of_memory_names_the_batch_size_to_try(
    backbone: Backbone, cache: TrunkCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("allocation failed")

    monkeypatch.setattr(TrunkCache, "take", exhausted)
    with pytest.raises(InputError, match="out of memory at batch size 8; try --batch-size 4"):
        train_fold(backbone, RECIPE, cache, LABELS, np.arange(40) < 20, seed=0)
