from dataclasses import replace
from pathlib import Path

import pytest

from db import session
from db.models import Metric
from db.queries import runs
from engine.classification.recipes import RECIPES, Recipe
from engine.datasets.phantoms import write_phantoms
from jobs import ingest, validate
from jobs.command import Context
from jobs.processes import Processes
from jobs.run import ActiveRun, Work
from jobs.trainings.common import TrainingSet, looks_of
from tests.finished_runs import make_world


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, seed=1, counts={"train": (40, 40), "test": (4, 4)})
    return folder


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # computation only; other tests use the server
def test_a_recipe_is_judged_on_films_unlike_those_it_learned_from(
    context: Context,
    job_options: list[str],
    phantoms: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lite0 = RECIPES["lite0"]
    assert isinstance(lite0, Recipe)
    small = replace(lite0, name="small", epochs=2, views=2, size=64, batch_size=16)
    monkeypatch.setitem(RECIPES, "small", small)
    monkeypatch.setattr(validate, "FEWEST", 3)
    assert ingest.main([str(phantoms), *job_options]) == 0
    capsys.readouterr()
    assert validate.main(["--recipe", "small", *job_options]) == 0
    said = capsys.readouterr().out
    with session.transaction(context.engine) as db:
        run = runs.current(db, "validate")
        assert run is not None and run.summary is not None
        stored = {m.slice: m for m in db.query(Metric).filter_by(run_id=run.id, name="auc", step=-1)}
        opened = runs.test_openings(db, 1)
    assert opened == 0
    assert {"conflict", "stress: blurred", "stress: turned"} <= stored.keys()
    assert any(name.startswith("cluster") for name in stored)
    assert stored["conflict"].n == stored["stress: noisy"].n == 16 and stored["conflict"].low is not None
    assert len({stored[name].value for name in stored if name.startswith("stress")} | {stored["conflict"].value}) > 1
    assert run.summary["auc"]["mean of stresses"] == pytest.approx(
        sum(m.value or 0 for name, m in stored.items() if name.startswith("stress")) / 14
    )
    absent = 6 - sum(name.startswith("cluster") for name in stored)
    assert (f"skipped {absent} of 6 clusters, which have fewer than 3 images" in said) == (absent > 0)
    assert "conflict" in said and "the test split was not read" in said
    assert not list((context.artifacts / "runs" / f"{run.id:04d}-validate").glob("*.safetensors"))
    assert validate.main(["--recipe", "small", *job_options]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_clusters_of_a_set_that_is_too_small_for_them_are_no_success(
    context: Context, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    assert validate.main(["--checks", "clusters", *job_options]) == 1
    said = "no check is possible: 6 of 6 clusters, which have fewer than 10 images of a class; add images, or run"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_batch_size_is_another_run(
    context: Context, job_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored(run: ActiveRun, _training_set: TrainingSet, recipe: Recipe, *_: object, **__: object) -> None:
        run.summary = {"auc": {}}
        tried.append((run.id, recipe.batch_size, run.config["recipe"]["batch_size"]))

    tried: list[tuple[int, int, int]] = []
    make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    monkeypatch.setattr(validate, "validate", stored)
    assert validate.main(job_options) == validate.main(["--batch-size", "32", *job_options]) == 0
    (first, *default), (second, *smaller) = tried
    assert first != second and (default, smaller) == ([64, 64], [32, 32])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_looks_that_were_torn_are_described_again(context: Context, job_options: list[str], tmp_path: Path) -> None:
    world = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    training_set = TrainingSet.of(context, world.dataset)
    run = ActiveRun.claim(context, Work(kind="validate", config={}))
    described = looks_of(run, training_set, Processes())
    path = run.folder / "looks.npy"
    path.write_bytes(path.read_bytes()[:100])
    assert (looks_of(run, training_set, Processes()) == described).all()


def test_a_recipe_without_members_is_refused_by_name(
    job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("quick", "none"):
        assert validate.main(["--recipe", name, *job_options]) == 2
        assert (
            f"recipe '{name}' is unknown or has no members to train; choose one of: lite0, " in capsys.readouterr().err
        )


def test_a_launcher_s_processes_are_refused(
    job_options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "launched", lambda: Processes(1, 2))
    assert validate.main(job_options) == 2
    assert "start it without a launcher" in capsys.readouterr().err
