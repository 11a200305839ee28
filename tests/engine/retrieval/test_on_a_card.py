"""Embedders on a graphics card against the same in float32 on a CPU; skipped where torch finds no card."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models import resnet50

from engine import devices
from engine.classification.classifiers.convolutional import save_checkpoint
from engine.classification.networks.backbones import load_backbone
from engine.classification.networks.members import new_member
from engine.classification.recipes import RECIPES, Recipe
from engine.retrieval.embedders import load_embedder, reads_text
from tests.tiny_models import tiny_biomedclip, tiny_clip

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no graphics card")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """What each embedder is loaded from: models with random weights, and a classifier with an untrained head."""
    folder = tmp_path_factory.mktemp("weights")
    recipe = RECIPES["lite0"]
    assert isinstance(recipe, Recipe)
    torch.manual_seed(0)
    backbone = load_backbone("efficientnet_lite0", cut=recipe.cut)
    calibration = {"temperature": 1.0, "threshold": 0.5}
    members = [new_member(backbone, recipe).state_dict()]
    save_checkpoint(folder / "checkpoint", [(backbone, members)], recipe, calibration=calibration, provenance={})
    torch.save(resnet50(weights=None).state_dict(), folder / "resnet50.pth")
    tiny_clip(folder / "clip")
    tiny_biomedclip(folder / "biomedclip")
    found = {name: {"checkpoint": folder / "checkpoint"} for name in ("classifier", "multiview", "aligned")}
    found |= {name: {"weights": folder / name} for name in ("clip", "biomedclip")}
    return found | {"resnet50": {"weights": folder / "resnet50.pth"}}


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    """Smooth pictures of the size that most embedders take."""
    coarse = np.random.default_rng(5).integers(0, 256, (5, 7, 7), dtype=np.uint8)
    return coarse.repeat(32, axis=1).repeat(32, axis=2)


@pytest.mark.parametrize(
    "name", ["imagenet-lite0", "resnet50", "classifier", "multiview", "aligned", "clip", "biomedclip"]
)
def test_a_cards_vectors_are_those_of_float32_on_a_cpu(
    name: str, sources: dict[str, dict[str, Path]], pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = sources.get(name, {})
    embedder = load_embedder(name, **given)
    narrow = embedder.embed_images(pictures)
    text = embedder.embed_texts(["chest radiograph"]) if reads_text(name) else None
    monkeypatch.setattr(devices, "available", lambda: "cpu")
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_options: nullcontext())
    wide = load_embedder(name, **given).embed_images(pictures)
    assert narrow.dtype == np.float32 and narrow.shape == (5, embedder.dimension)
    assert (wide * narrow).sum(axis=1).min() >= 0.999
    assert np.abs(wide - narrow).max() > 1e-6, "computed in fewer bits"
    assert text is None or np.linalg.norm(text, axis=1) == pytest.approx([1.0], abs=1e-3)
