"""Several recipes as one classifier."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db import session
from db.models import Run
from db.queries import runs
from engine.classification.classifiers.checkpoints import load_classifier
from engine.classification.recipes import RECIPES, EnsembleRecipe, Recipe
from engine.datasets.phantoms import write_phantoms
from engine.errors import InputError
from jobs import ingest, predict, train
from jobs.command import Context, JobError
from jobs.run import ActiveRun
from jobs.trainings import ensemble
from jobs.trainings.common import TrainingSet


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # computation only; other tests use the server
def test_an_ensemble_trains_its_parts_as_runs_of_their_own_and_says_the_mean_of_what_they_say(
    context: Context,
    job_options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(RECIPES, "ensemble", EnsembleRecipe(name="ensemble", parts=("lite0", "quick")))
    for name in ("lite0", "quick"):
        part = RECIPES[name]
        assert not isinstance(part, EnsembleRecipe)
        few = replace(part, views=2, folds=2, repeats=1)
        monkeypatch.setitem(RECIPES, name, replace(few, epochs=1) if isinstance(few, Recipe) else few)
    write_phantoms(tmp_path / "phantoms", seed=1, counts={"train": (20, 20), "val": (2, 2), "test": (6, 6)})
    assert ingest.main([str(tmp_path / "phantoms"), *job_options]) == 0
    assert train.main(["--recipe", "ensemble", *job_options]) == 0
    with session.transaction(context.engine) as db:
        trained = {run.config["recipe"]["name"]: run for run in db.query(Run).filter_by(kind="train")}
        said = {name: runs.predictions(db, run.id) for name, run in trained.items()}
    assert {run.status for run in trained.values()} == {"finished"} and len(trained) == 3
    whole = trained["ensemble"]
    assert whole.config["parts"] == {name: trained[name].id for name in ("lite0", "quick")}
    assert whole.summary is not None and whole.summary["threshold"] == 0.5
    for image, prediction in said["ensemble"].items():
        assert prediction.logit == pytest.approx(np.mean([said[name][image].logit for name in ("lite0", "quick")]))
        assert prediction.fold == said["lite0"][image].fold

    scored = {}
    for name, run in trained.items():
        assert predict.main(["--train-run", str(run.id), *job_options]) == 0
        with session.transaction(context.engine) as db:
            predicted = runs.current(db, "predict")
            assert predicted is not None
            scored[name] = runs.predictions(db, predicted.id)
            heatmaps = runs.artifact(db, predicted.id, "heatmaps")
    assert heatmaps is not None
    for image, prediction in scored["ensemble"].items():
        parts = [scored[name][image].logit for name in ("lite0", "quick")]
        assert prediction.logit == pytest.approx(np.mean(parts), abs=1e-5)

    capsys.readouterr()
    assert train.main(["--recipe", "ensemble", *job_options]) == 0
    done = [f"train: already done as run {trained[name].id}" for name in ("lite0", "quick", "ensemble")]
    assert capsys.readouterr().out.splitlines() == done
    folder = context.artifacts / "runs" / f"{whole.id:04d}-train" / "checkpoint"
    shutil.copy(folder / "lite0" / "model.json", folder / "quick" / "model.json")
    with pytest.raises(InputError, match="torn or of another format; train again"):
        load_classifier(folder)
    shutil.copytree(folder / "lite0", folder / "quick", dirs_exist_ok=True)
    with pytest.raises(InputError, match="holds other parts than its own; train again"):
        load_classifier(folder)
    (context.artifacts / "runs" / f"{trained['quick'].id:04d}-train" / "checkpoint" / "model.json").write_text("{}")
    with pytest.raises(JobError, match=r"is missing or damaged; .* --recipe quick --seed 0$"):
        ensemble.train(
            ActiveRun.helping(context, whole.id),
            TrainingSet.of(context, context.dataset(None)),
            EnsembleRecipe(name="ensemble", parts=("lite0", "quick")),
            whole.config["parts"],
            seed=0,
        )
    assert train.main(["--recipe", "ensemble", "--epochs", "3", *job_options]) == 2
    assert "recipe 'ensemble' has no --epochs; leave it out" in capsys.readouterr().err
