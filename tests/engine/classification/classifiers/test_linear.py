import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.classification.classifiers.checkpoints import load_classifier
from engine.classification.classifiers.linear import save_checkpoint
from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.statistics import Statistics
from engine.classification.recipes import RECIPES, StatisticsRecipe
from engine.classification.training import linear
from engine.errors import InputError

LABELS = np.tile([0, 1, 1], 8)
CALIBRATION = {"temperature": 1.5, "threshold": 0.4}


@pytest.fixture(scope="module")
def recipe() -> StatisticsRecipe:
    found = RECIPES["quick"]
    assert isinstance(found, StatisticsRecipe)
    return replace(found, backbones=("efficientnet_lite0", "efficientnet_lite1"), folds=2)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Noise, with a bright patch in the lower left where the label is 1."""
    made = np.random.default_rng(0).integers(0, 120, size=(24, 224, 224), dtype=np.uint8)
    made[LABELS == 1, 140:200, 20:90] += 110
    return made


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, recipe: StatisticsRecipe, pixels: np.ndarray) -> Path:
    backbones = [load_backbone(name) for name in recipe.backbones]
    described = [Statistics(backbone).describe(pixels) for backbone in backbones]
    models = [linear.fit([rows], LABELS, penalty=10.0) for rows in described]
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(folder, backbones, models, described, recipe, calibration=CALIBRATION, provenance={"run": 1})
    return folder


def test_whoever_may_read_what_a_checkpoint_says_may_read_its_weights(checkpoint: Path) -> None:
    said, weights = (checkpoint / name for name in ("model.json", "model.safetensors"))
    assert weights.stat().st_mode == said.stat().st_mode


def test_a_loaded_checkpoint_scores_describes_and_explains(checkpoint: Path, pixels: np.ndarray) -> None:
    classifier = load_classifier(checkpoint)
    said = classifier.run(pixels, heatmaps=True, batch_size=7)
    assert ((said.logits > 0) == (LABELS == 1)).mean() > 0.9
    assert said.probabilities == pytest.approx(1 / (1 + np.exp(-said.logits / 1.5)))
    assert said.features.shape == (24, classifier.feature_dim) and np.isfinite(said.features).all()
    assert said.heatmaps is not None and said.heatmaps.shape == (24, 7, 7)
    assert said.heatmaps.min() >= 0 and said.heatmaps.max() == 1.0
    assert (classifier.threshold, classifier.temperature) == (0.4, 1.5)
    assert classifier.run(pixels[3:4]).logits == pytest.approx(said.logits[3:4], abs=0.05)
    assert len(classifier.run(pixels[:0]).logits) == 0


def test_mirror_images_get_the_same_score(checkpoint: Path, pixels: np.ndarray) -> None:
    classifier = load_classifier(checkpoint)
    mirrored = pixels[:4, :, ::-1].copy()
    assert classifier.run(mirrored).logits == pytest.approx(classifier.run(pixels[:4]).logits, abs=1e-4)


def test_the_checkpoint_describes_itself_in_plain_json(checkpoint: Path, recipe: StatisticsRecipe) -> None:
    described = json.loads((checkpoint / "model.json").read_text())
    assert described["format"] == 2 and described["calibration"] == CALIBRATION
    assert described["recipe"]["backbones"] == list(recipe.backbones)


def test_a_torn_swapped_or_foreign_checkpoint_is_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_classifier(tmp_path)
    described = json.loads((checkpoint / "model.json").read_text())
    weights = (checkpoint / "model.safetensors").read_bytes()
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="cannot be read"):
        load_classifier(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(InputError, match="torn"):
        load_classifier(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    described["format"] = 99
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="another format"):
        load_classifier(tmp_path)


def test_pixels_of_another_shape_are_refused(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"uint8 \(n, 224, 224\); got float64 \(1, 32, 32\)"):
        load_classifier(checkpoint).run(np.zeros((1, 32, 32)))
