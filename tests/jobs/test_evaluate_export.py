"""evaluate and export, on rows that the tests store and pictures that they draw: values, files, and what is missing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from sklearn import metrics as sklearn

from db import session, writes
from db.models import Dataset, Image, Metric, Prediction, Prompt, Report, ReportScore, VectorIndex
from db.queries import evaluation, runs
from engine.retrieval.vector_index import write_index
from jobs import evaluate, results
from jobs.command import Context
from jobs.run import ActiveRun

STRATEGIES = ("basic", "clinical_structured", "differential", "clinical_brief")
Job = Callable[..., int]


@dataclass
class World:
    """A data set with any of the four kinds of finished runs."""

    context: Context
    dataset: Dataset
    images: list[Image]
    options: list[str]

    def of(self, split: str) -> list[Image]:
        return [image for image in self.images if image.split == split]

    def finish(self, kind: str, *, summary: dict[str, Any] | None = None, **config: Any) -> ActiveRun:
        run = ActiveRun.claim(self.context, kind=kind, config=config, dataset_id=self.dataset.id, again=True)
        with run:
            run.summary = summary or {}
        return run

    def add_predictions(self, run: ActiveRun, images: list[Image], *, heatmaps: bool) -> None:
        rng = np.random.default_rng(run.id)
        logits = [3.0 * ((image.label or 0) - 0.4) + rng.normal() * 1.5 for image in images]
        rows = [
            {
                **{"run_id": run.id, "image_id": image.id, "logit": logit, "probability": 1 / (1 + math.exp(-logit))},
                **{"heatmap_row": row if heatmaps else None, "fold": None if heatmaps else row % 5},
            }
            for row, (image, logit) in enumerate(zip(images, logits, strict=True))
        ]
        with session.transaction(self.context.engine) as db:
            writes.upsert(db, Prediction, rows, unique=("run_id", "image_id"))
        if heatmaps:
            np.save(run.folder / "heatmaps.npy", rng.random((len(images), 7, 7)).astype(np.float16))
            run.artifact("heatmaps", run.folder / "heatmaps.npy", shape=(len(images), 7, 7))

    def add_train(self) -> ActiveRun:
        summary = {"threshold": 0.45, "threshold_recall97": 0.2, "temperature": 1.3, "backbone": "lite0"}
        run = self.finish("train", summary=summary)
        names = {"train_loss": 0.6, "valid_loss": 0.7, "valid_auc": 0.9}
        run.metrics(
            [
                {"name": name, "split": f"fold{fold}", "step": step, "value": value / (step + 1) ** 0.1}
                for fold in range(5)
                for name, value in names.items()
                for step in range(4)
            ]
        )
        self.add_predictions(run, self.of("train"), heatmaps=False)
        return run

    def add_predict(self, train: ActiveRun | None = None) -> ActiveRun:
        summary = {"threshold": 0.45, "threshold_recall97": 0.2, "temperature": 1.3, "checkpoint_sha256": "c" * 64}
        run = self.finish("predict", summary=summary | ({"train_run": train.id} if train else {}))
        self.add_predictions(run, self.of("test"), heatmaps=True)
        return run

    def add_reports(self, *, model: str = "template", revision: str = "1", score: float = 0.5) -> ActiveRun:
        run = self.finish("report", model=model, revision=revision)
        with session.transaction(self.context.engine) as db:
            prompts = [{"sha256": f"{name:0>64}", "strategy": name, "text": f"Prompt {name}"} for name in STRATEGIES]
            writes.upsert(db, Prompt, prompts, unique=("sha256",))
            for image in self.of("test")[::4][:10]:
                for place, strategy in enumerate(STRATEGIES):
                    report = Report(
                        run_id=run.id,
                        image_id=image.id,
                        image_sha256=image.sha256,
                        model=model,
                        revision=revision,
                        strategy=strategy,
                        prompt_sha256=f"{strategy:0>64}",
                        settings={},
                        settings_sha256="0" * 64,
                        text=f"=1+1 is how {model} opens.\nOpacity in the right lower zone | <b>bold</b>",
                        seconds=0.01,
                        tokens=9,
                    )
                    db.add(report)
                    db.flush()
                    values = {"keyword_alignment": min(1.0, score + place / 10), "stance_agreement": 1.0, "stance": 1.0}
                    for metric, value in values.items():
                        db.add(ReportScore(report_id=report.id, metric=metric, value=value, detail=None))
        return run

    def add_index(self, embedder: str = "classifier") -> ActiveRun:
        run = self.finish("embed", embedder=embedder)
        rng = np.random.default_rng(5)
        ids = np.array([image.id for image in self.images])
        vectors = rng.normal(size=(len(ids), 16)) + 1.2 * np.array([[image.label or 0] for image in self.images])
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        folder = self.context.artifacts / "indexes" / embedder / f"{run.id:04d}"
        sha256 = write_index(folder, vectors=vectors, ids=ids, embedder=embedder, revision="r1")
        with session.transaction(self.context.engine) as db:
            row = VectorIndex(run_id=run.id, dataset_id=self.dataset.id, embedder=embedder, revision="r1", kind="flat")
            row.dimension, row.count, row.sha256 = 16, len(ids), sha256
            row.path = folder.relative_to(self.context.artifacts).as_posix()
            db.add(row)
        return run

    def evaluated(self) -> dict[tuple[str, str, str], Metric]:
        with session.transaction(self.context.engine) as db:
            run = runs.latest_finished(db, "evaluate", self.dataset.id)
            assert run is not None
            return {(row.split, row.slice, row.name): row for row in runs.metrics(db, run.id)}


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def make_world(context: Context, options: list[str], root: Path, *, synthetic: bool) -> World:
    rng = np.random.default_rng(1)
    with session.transaction(context.engine) as db:
        dataset = Dataset(name=f"drawn{'-synthetic' * synthetic}", root=str(root), synthetic=synthetic)
        db.add(dataset)
        db.flush()
        images = []
        for number in range(100):
            label = int(number % 5 > 1)
            cause = ("bacterial", "viral")[number % 2] if label else None
            image = Image(
                dataset_id=dataset.id,
                sha256=f"{dataset.id}{number:063d}",
                path=f"{number}.png",
                split="train" if number < 50 else "test",
                label=label,
                cause=cause,
                patient_key=f"{cause or 'normal'}{number // 10}",
                width=64,
                height=64,
                file_count=2 if number % 10 == 9 else 1,
            )
            pixels = rng.integers(40, 120, size=(64, 64), dtype=np.uint8) + np.uint8(80 * label)
            root.mkdir(exist_ok=True)
            Picture.fromarray(pixels).save(root / image.path)
            images.append(image)
        db.add_all(images)
    return World(context, dataset, images, [*options, "--dataset", dataset.name])


def test_classification_values_are_those_of_scikit_learn_on_every_file(world: World) -> None:
    predict = world.add_predict(world.add_train())
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.transaction(world.context.engine) as db:
        rows = evaluation.predictions(db, predict.id)
    files = np.array([row["file_count"] for row in rows])
    assert files.sum() == 55
    labels = np.repeat([row["label"] for row in rows], files)
    scores = np.repeat([row["probability"] for row in rows], files)
    stored = world.evaluated()
    assert stored["test", "all", "auc"].value == pytest.approx(sklearn.roc_auc_score(labels, scores))
    assert stored["test", "all", "f1"].value == pytest.approx(sklearn.f1_score(labels, scores >= 0.45))
    assert stored["test", "recall97", "recall"].value == pytest.approx(sklearn.recall_score(labels, scores >= 0.2))
    cells = [stored["test", "all", f"confusion_{cell}"].value for cell in ("tn", "fp", "fn", "tp")]
    assert cells == sklearn.confusion_matrix(labels, scores >= 0.45).ravel().tolist()
    auc = stored["test", "all", "auc"]
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < auc.value < auc.high
    assert auc.n == 55
    causes = np.repeat([row["cause"] or "" for row in rows], files)
    viral = (labels == 0) | (causes == "viral")
    assert stored["test", "viral", "auc"].value == pytest.approx(sklearn.roc_auc_score(labels[viral], scores[viral]))
    assert stored["test", "viral", "recall"].n == (causes == "viral").sum()
    assert stored["test", "all", "specificity"].n == (labels == 0).sum()
    assert stored["oof", "all", "auc"].n == 55
    assert stored["oof", "all", "threshold"].value == 0.45


def test_report_scores_are_means_of_the_reports_that_stand(world: World) -> None:
    world.add_reports(revision="old", score=0.0)
    world.add_reports(revision="new", score=0.5)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    stored = world.evaluated()
    assert stored["reports", "template / basic", "keyword_alignment"].value == pytest.approx(0.5)
    assert stored["reports", "template / clinical_brief", "keyword_alignment"].value == pytest.approx(0.8)
    assert stored["reports", "template / basic", "keyword_alignment"].n == 10
    assert not any(name == "stance" for _, _, name in stored), "a stance is a claim, not a quality"


def test_a_model_with_a_very_long_name_keeps_its_end(world: World) -> None:
    world.add_reports(model="/models/" + "x" * 150 + "/blip2")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    slices = {where for _, where, _ in world.evaluated()}
    assert len(slices) == 4
    assert all(len(where) <= 80 and "/blip2 / " in where for where in slices)


def test_what_is_missing_is_named_with_its_command_and_the_rest_is_measured(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_reports()
    assert evaluate.main(world.options) == 0
    said = capsys.readouterr().out
    for job in ("predict", "train", "embed"):
        assert f"python -m jobs {job} --dataset drawn" in said
    assert "python -m jobs report" not in said
    assert {split for split, _, _ in world.evaluated()} == {"reports"}


def test_nothing_to_evaluate_fails_in_one_line_and_leaves_no_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(world.options) == 1
    assert capsys.readouterr().err == (
        "error: dataset 'drawn' has nothing to evaluate yet; the lines above say what to run\n"
    )
    with session.transaction(world.context.engine) as db:
        assert runs.count(db, kind="evaluate") == 0


def test_evaluating_twice_is_done_once_until_something_new_is_there(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_predict()
    options = [*world.options, "--replicates", "100"]
    assert evaluate.main(options) == 0
    before = world.evaluated()
    assert evaluate.main(options) == 0
    assert "already done as run" in capsys.readouterr().out
    world.add_reports()
    assert evaluate.main(options) == 0
    after = world.evaluated()
    assert len(after) > len(before)
    for key, row in before.items():
        assert (row.value, row.low, row.high) == (after[key].value, after[key].low, after[key].high), key


def test_a_run_of_another_kind_or_data_set_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    train = world.add_train()
    assert evaluate.main([*world.options, "--predict-run", str(train.id)]) == 2
    assert f"run {train.id} is no finished predict run of dataset 'drawn'" in capsys.readouterr().err
    assert evaluate.main([*world.options, "--replicates", "5"]) == 2


def test_out_of_fold_values_come_from_the_classifier_that_predicted(world: World) -> None:
    behind = world.add_train()
    world.add_predict(behind)
    world.add_train()
    found = results.gather(world.context, world.dataset)
    assert found.train is not None
    assert found.train.id == behind.id


def test_unlabelled_predictions_alone_cannot_be_measured(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with session.transaction(world.context.engine) as db:
        for image in world.images:
            db.get_one(Image, image.id).label = None
    world.add_predict()
    assert evaluate.main(world.options) == 1
    assert "no image that it scored has a label" in capsys.readouterr().err
    with session.transaction(world.context.engine) as db:
        (run,) = runs.page(db, kind="evaluate")
        assert run.status == "failed"
