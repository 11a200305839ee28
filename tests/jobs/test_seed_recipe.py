"""EfficientNet-B3 from training to prediction with random weights in place of the real ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import efficientnet_b3

from db import session
from db.models import Metric
from db.queries import runs
from engine.datasets.phantoms import write_phantoms
from engine.pretrained import weights
from jobs import ingest, predict, train
from jobs.command import Context

COMMAND = ["--recipe", "seed", "--epochs", "2", "--folds", "2", "--batch-size", "8"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # computation only; other tests use the server
def test_the_seed_recipe_trains_and_predicts_with_b3(
    context: Context,
    job_options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PNEUMOSCOPE_MODELS", str(context.models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    write_phantoms(tmp_path / "films", seed=1, counts={"train": (8, 8), "test": (2, 2)})
    assert ingest.main([str(tmp_path / "films"), *job_options]) == 0
    assert train.main([*COMMAND, *job_options]) == 1
    assert "backbone 'efficientnet_b3' needs 49 MB" in capsys.readouterr().err

    torch.manual_seed(0)
    network = efficientnet_b3(weights=None)
    with torch.inference_mode():  # statistics that match random weights, or nothing reaches the last maps
        for _ in range(30):
            network(torch.rand(8, 3, 64, 64))
    file = context.models / "efficientnet_b3" / weights.spec("efficientnet_b3").files[0]
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    assert train.main([*COMMAND, *job_options]) == 0
    assert predict.main(job_options) == 0
    with session.transaction(context.engine) as db:
        trained, predicted = runs.current(db, "train"), runs.current(db, "predict")
        assert trained is not None and predicted is not None and trained.summary is not None
        checkpoint = runs.artifact(db, trained.id, "checkpoint")
        heatmaps = runs.artifact(db, predicted.id, "heatmaps")
        epochs = db.query(Metric).filter_by(run_id=trained.id, name="valid_auc").count()
    assert checkpoint is not None and heatmaps is not None
    assert epochs == 4 and heatmaps.shape == "4x7x7" and "best epoch" in trained.summary["chosen_on"]
    assert checkpoint.path.endswith("checkpoint-best") and not (context.artifacts / "cache" / "trunk").exists()
    stored = load_file(context.artifacts / checkpoint.path / "model.safetensors")
    before, after = network.state_dict()["features.8.0.weight"], stored["efficientnet_b3/member0.tail.1.0.weight"]
    assert torch.equal(stored["efficientnet_b3/trunk.0.0.weight"], network.state_dict()["features.0.0.weight"])
    assert before.shape == after.shape == (1536, 384, 1, 1) and not np.allclose(before, after)
