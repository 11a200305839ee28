import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from db import session, tallies
from db.models import Dataset, Image, Metric, Prediction, Run
from db.queries import case_questions, cases, datasets, runs
from db.queries.cases import Question
from engine.classification.classifiers import checkpoints
from engine.classification.classifiers.convolutional import Classifier
from engine.classification.classifiers.inference import Inference
from engine.classification.recipes import RECIPES, Recipe
from engine.datasets.phantoms import write_phantoms
from engine.digests import file_sha256
from jobs import ingest, predict, train
from jobs.command import Context
from jobs.run import ActiveRun, Work
from jobs.trainings.common import TrainingSet, store_predictions
from jobs.trainings.members import Setup, stored_member, train_member
from tests.sample import build, films

REPOSITORY = Path(__file__).parents[2]
SMALL = ["--recipe", "lite0", "--epochs", "2", "--views", "2", "--folds", "2", "--batch-size", "16"]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few phantoms."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, seed=1, counts={"train": (20, 20), "val": (2, 2), "test": (6, 6)})
    return folder


def finished(context: Context, kind: str) -> Run:
    with session.transaction(context.engine) as db:
        run = runs.current(db, kind)
    assert run is not None
    return run


def test_training_and_predicting_on_phantoms_stores_everything_once(
    context: Context, job_options: list[str], phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest.main([str(phantoms), *job_options]) == 0
    assert train.main([*SMALL, *job_options]) == 0
    assert predict.main(job_options) == 0
    trained, predicted = finished(context, "train"), finished(context, "predict")
    with session.transaction(context.engine) as db:
        images = {image.id: image for image in datasets.images(db, 1)}
        out_of_fold = db.query(Prediction).filter_by(run_id=trained.id).all()
        scored = db.query(Prediction).filter_by(run_id=predicted.id).all()
        curve = db.query(Metric).filter_by(run_id=trained.id, name="valid_auc").all()
        heatmaps = runs.artifact(db, predicted.id, "heatmaps")
    assert {images[p.image_id].split for p in out_of_fold} == {"train", "val"}
    assert len(out_of_fold) == sum(image.split != "test" for image in images.values())
    assert {images[p.image_id].split for p in scored} == {"test"}
    fold_of: dict[str, int | None] = {}
    for p in out_of_fold:
        assert fold_of.setdefault(images[p.image_id].patient_key, p.fold) == p.fold
    assert {(m.split, m.step) for m in curve} == {("fold0", 0), ("fold0", 1), ("fold1", 0), ("fold1", 1)}
    assert trained.summary is not None and predicted.summary is not None
    assert predicted.summary["threshold"] == trained.summary["threshold"]
    assert heatmaps is not None and heatmaps.shape == f"{len(scored)}x7x7"
    stored = np.load(context.artifacts / heatmaps.path, allow_pickle=False)
    assert sorted(p.heatmap_row for p in scored if p.heatmap_row is not None) == list(range(len(stored)))
    assert all(p.zones == {} or sum(p.zones.values()) == pytest.approx(1) for p in scored if p.zones is not None)

    capsys.readouterr()
    assert train.main([*SMALL, *job_options]) == 0
    assert predict.main(job_options) == 0
    assert (
        f"train: already done as run {trained.id}\npredict: already done as run {predicted.id}"
        in capsys.readouterr().out
    )


def test_a_killed_prediction_goes_on_with_the_shards_it_has_unless_the_classifier_was_trained_again(
    context: Context, job_options: list[str], phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "BATCH", 5)
    scored: list[int] = []
    whole, load = Classifier.run, checkpoints.load_classifier

    def outcome() -> tuple[int, list[tuple[Any, ...]], str]:
        run = finished(context, "predict")
        with session.transaction(context.engine) as db:
            heatmaps = runs.artifact(db, run.id, "heatmaps")
            found = db.query(Prediction).filter_by(run_id=run.id).order_by(Prediction.image_id).all()
        assert heatmaps is not None and not (context.artifacts / heatmaps.path).with_name("shards").exists()
        rows: list[tuple[Any, ...]] = [
            (row.image_id, row.logit, row.probability, row.heatmap_row, row.zones) for row in found
        ]
        return run.id, rows, file_sha256(context.artifacts / heatmaps.path)

    def killed_in_the_third_shard() -> None:
        def killed(self: Classifier, pixels: np.ndarray, **options: Any) -> Inference:
            if sum(scored) == 10:
                signal.raise_signal(signal.SIGTERM)
            scored.append(len(pixels))
            return whole(self, pixels, **options)

        with session.transaction(context.engine) as db:
            db.query(Prediction).filter_by(run_id=finished(context, "predict").id).delete()  # a new run makes them
        scored.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Classifier, "run", killed)
            assert predict.main(job_options) == 130
        assert scored == [5, 5] and len(list(context.artifacts.glob("runs/*-predict/shards/*.npy"))) == 2
        scored.clear()

    def counted(self: Classifier, pixels: np.ndarray, **options: Any) -> Inference:
        scored.append(len(pixels))
        return whole(self, pixels, **options)

    def warmer(folder: Path, *, device: str) -> checkpoints.AnyClassifier:
        classifier = load(folder, device=device)
        classifier.temperature *= 2
        return classifier

    monkeypatch.setattr(Classifier, "run", counted)
    assert ingest.main([str(phantoms), *job_options]) == 0
    assert train.main([*SMALL, *job_options]) == 0
    scored.clear()
    assert predict.main(job_options) == 0
    assert scored == [5, 5, 2]
    first, *uninterrupted = outcome()

    killed_in_the_third_shard()
    assert predict.main(job_options) == 0
    second, *resumed = outcome()
    assert scored == [2] and second != first and resumed == uninterrupted

    killed_in_the_third_shard()
    monkeypatch.setattr(checkpoints, "load_classifier", warmer)
    assert predict.main(job_options) == 0
    _, rows, _ = outcome()
    assert scored == [5, 5, 2] and [row[1] for row in rows] == [row[1] for row in uninterrupted[0]]
    assert not any(one[2] == other[2] for one, other in zip(rows, uninterrupted[0], strict=True))


@pytest.mark.parametrize("kind", ["train", "predict"])
def test_images_counted_anew_before_a_run_ends_keep_its_predictions_counted_by_its_threshold(
    context: Context, tmp_path: Path, kind: str
) -> None:
    dataset = build(context.engine, tmp_path, tmp_path / "films", pictures=films(12))
    with session.transaction(context.engine) as db:
        images = datasets.images(db, dataset)
    logits = np.linspace(-1, 1, len(images))
    calibration = {"threshold": 0.4, "temperature": 1.0}
    with ActiveRun.claim(context, Work(kind=kind, config={"of": "this test"}, dataset_id=dataset)) as run:
        if kind == "train":
            learned = SimpleNamespace(images=images)
            store_predictions(run, learned, np.zeros(len(images)), logits, calibration)  # type: ignore[arg-type]
        else:
            rows = [
                {"run_id": run.id, "image_id": image.id, "logit": logit, "probability": 1 / (1 + math.exp(-logit))}
                for image, logit in zip(images, logits.tolist(), strict=True)
            ]
            classifier = SimpleNamespace(recipe=SimpleNamespace(name="drawn"), revision="c" * 64)
            predict.store(run, rows, np.zeros((12, 7, 7)), classifier, finished(context, "train"), calibration)  # type: ignore[arg-type]
        with session.transaction(context.engine) as db:
            tallies.dataset(db, dataset)  # as ingest does
    assert finished(context, kind).summary == run.summary
    question = Question(dataset, run_id=run.id, threshold=0.4, own_threshold=0.4)
    with session.transaction(context.engine) as db:
        called = [case.outcome for case in cases.page(db, question)]
        assert cases.confusion(db, question) == {name: called.count(name) for name in case_questions.OUTCOMES}
        assert called.count("FN") > 0


def test_a_statistics_recipe_scores_every_image_in_each_repeat_and_its_test_scores_are_its_own(
    context: Context, job_options: list[str], phantoms: Path
) -> None:
    assert ingest.main([str(phantoms), *job_options]) == 0
    small = ["--recipe", "quick", "--views", "3", "--folds", "2", "--repeats", "2"]
    assert train.main([*small, *job_options]) == 0
    assert predict.main(job_options) == 0
    trained, predicted = finished(context, "train"), finished(context, "predict")
    with session.transaction(context.engine) as db:
        images = {image.id: image for image in datasets.images(db, 1)}
        out_of_fold = db.query(Prediction).filter_by(run_id=trained.id).order_by(Prediction.image_id).all()
        scored = db.query(Prediction).filter_by(run_id=predicted.id).all()
        curve = db.query(Metric).filter_by(run_id=trained.id, name="valid_auc").all()
        kept = runs.artifact(db, trained.id, "out_of_fold_logits")
    assert {(m.split, m.step) for m in curve} == {("repeat0", 0), ("repeat0", 1), ("repeat1", 0), ("repeat1", 1)}
    assert kept is not None
    logits = np.load(context.artifacts / kept.path, allow_pickle=False)
    assert logits.shape == (2, 3, len(out_of_fold)) and np.isfinite(logits).all() and (logits != 0).all()
    assert [p.logit for p in out_of_fold] == pytest.approx(logits[:, :2].mean((0, 1)), abs=1e-4)
    assert {images[p.image_id].split for p in out_of_fold} == {"train", "val"}
    assert all(p.zones for p in scored) and {images[p.image_id].split for p in scored} == {"test"}
    assert trained.summary is not None and trained.summary["oof_auc"] > 0.8

    chosen = {"youden": trained.summary["threshold_youden"], "recall97": trained.summary["threshold_recall97"]}
    for name, threshold in {**chosen, "half": 0.5}.items():
        assert predict.main(["--operating-point", name, *job_options]) == 0
        again = finished(context, "predict")
        assert again.summary is not None
        assert (again.summary["threshold"], again.summary["operating_point"]) == (threshold, name)


def test_a_cause_of_few_patients_is_split_into_folds_with_the_rest(context: Context, tmp_path: Path) -> None:
    dataset = build(context.engine, context.artifacts, tmp_path / "films", pictures=films(48))
    with session.transaction(context.engine) as db:
        trained = datasets.images(db, dataset, splits=["train"], labelled=True)
        rare = [image for image in trained if image.cause == "viral"][2:]
        for image in rare:
            image.cause = "bacterial"
        found = db.get_one(Dataset, dataset)
    training_set = TrainingSet.of(context, found)
    fold_of = training_set.fold_of(5, seed=0)
    assert len(fold_of) == len(trained) and sum(training_set.causes == "viral") == 2
    for label in (0, 1):
        assert set(fold_of[training_set.labels == label]) == set(range(5))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # computation only; other tests use the server
def test_several_backbones_share_an_ensemble_and_both_last_and_best_epochs_can_be_predicted_with(
    context: Context, job_options: list[str], phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lite0 = RECIPES["lite0"]
    assert isinstance(lite0, Recipe)
    several = replace(
        lite0,
        name="several",
        backbones=("efficientnet_lite0", "efficientnet_lite1"),
        repeats=2,
        folds=2,
        epochs=2,
        views=2,
        batch_size=16,
        size=96,
        operating_point="recall97",
    )
    assert ingest.main([str(phantoms), *job_options]) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(RECIPES, "several", several)
        assert train.main(["--recipe", "several", *job_options]) == 0
    trained = finished(context, "train")
    with session.transaction(context.engine) as db:
        curve = {m.split for m in db.query(Metric).filter_by(run_id=trained.id, name="valid_auc")}
        kept = runs.artifact(db, trained.id, "out_of_fold_logits")
        out_of_fold = db.query(Prediction).filter_by(run_id=trained.id).order_by(Prediction.image_id).all()
    assert curve == {f"repeat{repeat}-fold{fold}" for repeat in (0, 1) for fold in (0, 1)}
    assert kept is not None and trained.summary is not None
    logits = np.load(context.artifacts / kept.path, allow_pickle=False)
    assert logits.shape == (2, len(out_of_fold))
    assert [p.logit for p in out_of_fold] == pytest.approx(logits.mean(0), abs=1e-4)
    assert trained.summary["threshold"] == trained.summary["threshold_recall97"]

    shas = []
    for which in ("last", "best"):
        assert predict.main(["--checkpoint", which, *job_options]) == 0
        predicted = finished(context, "predict")
        assert predicted.summary is not None
        shas.append(predicted.summary["checkpoint_sha256"])
    assert shas[0] == trained.summary["checkpoint_sha256"]
    with session.transaction(context.engine) as db:
        named = {found.name for found in runs.artifacts(db, trained.id)}
        heatmaps = runs.artifact(db, predicted.id, "heatmaps")
    assert named == {"checkpoint", "checkpoint_best", "out_of_fold_logits"}
    assert heatmaps is not None and heatmaps.shape is not None and heatmaps.shape.endswith("x3x3")


LAUNCHED = """
import sys

import torch
from torch import distributed

from jobs import train
from jobs.processes import Processes

processes = Processes.launched()
patience = distributed.group.WORLD._get_backend(torch.device("cpu")).options._timeout
print(f"process {processes.rank} of {processes.count} waits {patience.days} days", flush=True)
sys.exit(train.main(sys.argv[1:]))
"""


def test_two_processes_wait_for_days_and_train_the_same_weights_as_one(
    context: Context, job_options: list[str], phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ingest.main([str(phantoms), *job_options]) == 0
    assert train.main([*SMALL, "--seed", "1", *job_options]) == 0
    alone = finished(context, "train")
    (script := tmp_path / "launched.py").write_text(LAUNCHED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    ended = subprocess.run(
        [*launcher, *SMALL, "--seed", "2", *job_options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    lines = re.findall(r"process \d of 2 waits \d+ days", ended.stdout)  # concurrent output may share a line
    assert sorted(lines) == [f"process {rank} of 2 waits 7 days" for rank in (0, 1)]
    shared = finished(context, "train")
    assert shared.id != alone.id and shared.status == "finished" and ended.stdout.count("train: run") == 1
    with session.transaction(context.engine) as db:
        epochs = db.query(Metric).filter_by(run_id=shared.id, name="valid_auc").count()
    assert epochs == 4
    assert train.main([*SMALL, "--seed", "2", *job_options]) == 0
    assert finished(context, "train").id == shared.id
    assert shared.summary is not None
    again = Context(engine=context.engine, artifacts=context.artifacts, models=context.models)
    shutil.rmtree(context.artifacts / "runs" / f"{shared.id:04d}-train")
    assert train.main([*SMALL, "--seed", "2", *job_options]) == 0
    one = finished(again, "train")
    assert one.id == shared.id and one.summary is not None
    assert one.summary["checkpoint_sha256"] == shared.summary["checkpoint_sha256"]


def test_a_kept_member_counts_only_where_it_is_whole_and_of_this_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.classification.training import fold as training

    trained: list[int] = []

    def fold(*_args: object, seed: int, **_options: object) -> training.FoldResult:
        trained.append(seed)
        kept = training.Kept(1, {"weight": torch.full((9,), float(seed))}, np.zeros(2))
        return training.FoldResult((), kept, kept)

    monkeypatch.setattr(training, "train_fold", fold)
    path, images = tmp_path / "repeat0-fold0.safetensors", [Image(sha256=str(number)) for number in range(4)]

    def train_with(labels: list[int], seed: int) -> bool:
        unread = np.zeros(4)
        return train_member(
            path,
            Setup(
                TrainingSet(images, [], np.array(labels), unread, unread),
                RECIPES["lite0"],  # type: ignore[arg-type]
                SimpleNamespace(spec=SimpleNamespace(name="any")),  # type: ignore[arg-type]
                None,  # type: ignore[arg-type]
                device="cpu",
            ),
            np.array([False, False, True, True]),
            seed=seed,
            on_epoch=lambda _: None,
        )

    assert train_with([0, 1, 0, 1], seed=1) and not train_with([0, 1, 0, 1], seed=1)
    assert train_with([1, 1, 0, 1], seed=1) and train_with([1, 1, 0, 1], seed=2)
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:-9] + bytes(9), b"", whole.replace(b"seal", b"sea1")):
        path.write_bytes(damaged)
        assert train_with([1, 1, 0, 1], seed=2)
        assert stored_member(path, "last").state["weight"].tolist() == [2.0] * 9
    assert trained == [1, 1, 2, 2, 2, 2, 2]


def test_options_that_a_recipe_does_not_know_are_refused_by_name(
    context: Context, job_options: list[str], phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest.main([str(phantoms), *job_options]) == 0
    assert train.main(["--recipe", "quick", "--epochs", "3", *job_options]) == 2
    assert "recipe 'quick' has no --epochs; leave it out" in capsys.readouterr().err
    assert train.main(["--recipe", "quick", "--views", "1", *job_options]) == 2
    assert "--views 1 leaves no mirror image" in capsys.readouterr().err


def test_another_datasets_classifier_is_taken_only_by_name_and_a_phantoms_one_not_at_all(
    context: Context, job_options: list[str], phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest.main([str(phantoms), *job_options]) == 0
    assert train.main([*SMALL, *job_options]) == 0
    trained = finished(context, "train")
    for name in ("real", "other"):
        (tmp_path / name).mkdir()
    for file in sorted((phantoms / "test" / "NORMAL").iterdir())[:3]:
        (tmp_path / "real" / file.name).write_bytes(file.read_bytes())
        (tmp_path / "other" / file.name).write_bytes(file.read_bytes())
    assert ingest.main([str(tmp_path / "real"), *job_options]) == 0
    assert ingest.main([str(tmp_path / "other"), "--synthetic", *job_options]) == 0
    capsys.readouterr()
    assert predict.main(["--dataset", "real", *job_options]) == 1
    assert f"or use another dataset's with --train-run {trained.id}" in capsys.readouterr().err
    assert predict.main(["--dataset", "real", "--train-run", str(trained.id), *job_options]) == 2
    assert "trained on SYNTHETIC phantoms" in capsys.readouterr().err
    assert predict.main(["--dataset", "other", "--train-run", str(trained.id), *job_options]) == 0
    assert "has no test split; scoring all images" in capsys.readouterr().out


def test_one_class_only_and_no_classifier_are_one_line_each(
    context: Context, job_options: list[str], phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy" / "train" / "NORMAL"
    copy.mkdir(parents=True)
    for file in sorted((phantoms / "train" / "NORMAL").iterdir())[:4]:
        (copy / file.name).write_bytes(file.read_bytes())
    assert ingest.main([str(tmp_path / "copy"), *job_options]) == 0
    capsys.readouterr()
    assert train.main([*SMALL, *job_options]) == 1
    assert "has only normal images outside its test split" in capsys.readouterr().err
    assert predict.main(job_options) == 1
    assert "has no trained classifier; train one with: python -m jobs train --dataset copy" in capsys.readouterr().err
    assert predict.main(["--train-run", "99", *job_options]) == 2


@pytest.mark.parametrize("views", ["2", "0"])
def test_an_image_cut_short_before_training_is_named_and_nothing_is_half_written(
    context: Context,
    job_options: list[str],
    phantoms: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    views: str,
) -> None:
    lite0 = RECIPES["lite0"]
    assert isinstance(lite0, Recipe)
    monkeypatch.setitem(RECIPES, "plain", replace(lite0, name="plain", views=int(views), folds=2))
    folder = tmp_path / "films"
    shutil.copytree(phantoms, folder)
    assert ingest.main([str(folder), *job_options]) == 0
    victim = sorted((folder / "train" / "PNEUMONIA").iterdir())[3]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    small = ["--recipe", "plain", "--epochs", "1", "--batch-size", "16", *job_options]
    assert train.main(small) == 1
    assert f"image {victim} changed since it was ingested; ingest its folder again" in capsys.readouterr().err
    with session.transaction(context.engine) as db:
        run = db.query(Run).filter_by(kind="train").one()
    assert run.status == "failed" and str(victim) in (run.error or "")
    left = [path.name for path in context.artifacts.rglob("*") if path.suffix in (".npy", ".safetensors", ".tmp")]
    assert not left
    victim.write_bytes(whole)
    assert train.main(small) == 0
    assert finished(context, "train").id == run.id


def test_a_training_killed_between_folds_goes_on_with_the_next_fold(
    context: Context, job_options: list[str], phantoms: Path
) -> None:
    assert ingest.main([str(phantoms), *job_options]) == 0
    command = [sys.executable, "-m", "jobs", "train", *SMALL, *job_options]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)
    first_fold = context.artifacts / "runs" / "0002-train" / "repeat0-fold0.safetensors"
    deadline = time.monotonic() + 120
    while not first_fold.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the training ended before it could be killed"
    written = first_fold.stat().st_mtime_ns
    with session.transaction(context.engine) as db:
        assert runs.status(db.get_one(Run, 2)) == "lost"
    assert train.main([*SMALL, *job_options]) == 0
    with session.transaction(context.engine) as db:
        run = db.get_one(Run, 2)
        epochs = [m.step for m in db.query(Metric).filter_by(run_id=2, name="train_loss", split="fold0")]
    assert run.status == "finished" and epochs == [0, 1] and written > 0
    assert not list((context.artifacts / "runs" / "0002-train").glob("repeat*"))
