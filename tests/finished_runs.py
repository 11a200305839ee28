"""A small data set with finished runs, stored row by row: what evaluate and export are tested on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from db import session, tallies, writes
from db.models import (
    Dataset,
    ErrorSlice,
    Image,
    Metric,
    Neighbour,
    Prediction,
    Prompt,
    Report,
    ReportScore,
    SliceMember,
    VectorIndex,
)
from db.queries import runs
from db.writes import MetricValue
from engine.digests import file_sha256
from engine.retrieval.index.folder import write_index
from engine.retrieval.text.written_queries import QUERIES_SHA256
from jobs import evaluate, export
from jobs.command import Context
from jobs.run import ActiveRun, Work

STRATEGIES = ("basic", "clinical_structured", "differential", "clinical_brief")


@dataclass
class World:
    """A data set with any of the four kinds of finished runs."""

    context: Context
    dataset: Dataset
    images: list[Image]
    options: list[str]

    @property
    def exports(self) -> Path:
        return self.context.artifacts / "exports" / self.dataset.name

    def of(self, split: str) -> list[Image]:
        return [image for image in self.images if image.split == split]

    def finish(self, kind: str, *, summary: dict[str, Any] | None = None, **config: Any) -> ActiveRun:
        run = ActiveRun.claim(self.context, Work(kind=kind, config=config, dataset_id=self.dataset.id), again=True)
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
            if run.kind == "train":
                writes.trained_on(db, run.id)
        if heatmaps:
            np.save(run.folder / "heatmaps.npy", rng.random((len(images), 7, 7)).astype(np.float16))
            run.artifact("heatmaps", run.folder / "heatmaps.npy", shape=(len(images), 7, 7))

    def add_train(self) -> ActiveRun:
        summary = {"threshold": 0.45, "threshold_recall97": 0.2, "temperature": 1.3, "backbone": "lite0"}
        recipe = {"name": "lite0", "backbone": "efficientnet_lite0", "folds": 5, "epochs": 9}
        run = self.finish("train", summary=summary, recipe=recipe)
        names = {"train_loss": 0.6, "valid_loss": 0.7, "valid_auc": 0.9}
        run.metrics(
            [
                MetricValue(name, f"fold{fold}", value / (step + 1) ** 0.1, step=step)
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

    def add_audit(self, predict: ActiveRun) -> ActiveRun:
        asked = {"predict_run": predict.id, "train_run": 1, "sample": 4, "folds": 5, "replicates": 100}
        said = {"verdicts": {"sanity": "passed: <b>it</b> changes"}, "skipped": [], "images": 50, "failures": 9}
        run = self.finish("audit", summary=said, **asked)
        values = [("probe_auc", "oof", "frame pixels", -1), ("probe_auc", "test", "frame pixels", -1)]
        values += [
            ("probe_correlation", "test", "frame pixels", -1),
            ("probe_correlation_hidden", "test", "frame pixels", -1),
            ("sanity_rank_correlation", "test", "network", -1),
        ]
        values += [
            (f"{mode}_{order}", "test", "called_pneumonia", step)
            for mode in ("deletion", "insertion")
            for order in ("heatmap", "random", "centre")
            for step in range(21)
        ]
        values += [
            (name, "test", where, -1) for name in ("stress_auc", "stress_recall") for where in ("unaltered", "noisy")
        ]
        run.metrics(
            MetricValue(name, split, 0.61, 0.5, 0.7, 4, slice=where, step=step) for name, split, where, step in values
        )
        tested, learned = self.of("test"), self.of("train")
        with session.transaction(self.context.engine) as db:
            for label, name in enumerate(("normal A", "pneumonia A")):
                members = [image for image in tested if image.label == label]
                counted = {"images": len(members), "patients": 5, "failures": 4 + label, "rate": 0.2}
                row = ErrorSlice(run_id=run.id, name=name, label=label, description="higher brightness", **counted)
                row.low, row.high, row.p_value = 0.1, 0.4, 0.03
                db.add(row)
                db.flush()
                db.add_all(SliceMember(slice_id=row.id, image_id=image.id) for image in members)
            near = {"rank": 1, "similarity": 0.9, "hash_distance": 3, "verdict": "near-duplicate"}
            db.add(Neighbour(run_id=run.id, image_id=tested[0].id, neighbour_id=learned[0].id, **near))
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

    def add_index(self, embedder: str = "classifier", **config: Any) -> ActiveRun:
        run = self.finish("embed", embedder=embedder, queries=QUERIES_SHA256, **config)
        rng = np.random.default_rng(5)
        ids = np.array([image.id for image in self.images])
        vectors = rng.normal(size=(len(ids), 16)) + 1.2 * np.array([[image.label or 0] for image in self.images])
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        folder = self.context.artifacts / "indexes" / embedder / f"{run.id:04d}"
        sha256 = write_index(folder, vectors=vectors, ids=ids, embedder=embedder, revision="r1")
        if embedder == "aligned":
            asked = rng.normal(size=(40, 16))
            asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
            np.save(run.folder / "query_vectors.npy", asked)
            run.artifact("query_vectors", run.folder / "query_vectors.npy", shape=asked.shape)
        with session.transaction(self.context.engine) as db:
            row = VectorIndex(run_id=run.id, dataset_id=self.dataset.id, embedder=embedder, revision="r1", kind="exact")
            row.dimension, row.count, row.sha256 = 16, len(ids), sha256
            row.path = folder.relative_to(self.context.artifacts).as_posix()
            db.add(row)
        return run

    def evaluated(self) -> dict[tuple[str, str, str], Metric]:
        with session.transaction(self.context.engine) as db:
            run = runs.current(db, "evaluate", self.dataset.id)
            assert run is not None
            return {(row.split, row.slice, row.name): row for row in runs.metrics(db, run.id)}


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
            pixels = rng.integers(40, 120, size=(64, 64), dtype=np.uint8) + np.uint8(80 * label)
            pixels[0, 0] = dataset.id  # no two datasets hold the same file
            root.mkdir(exist_ok=True)
            path = root / f"{number}.png"
            Picture.fromarray(pixels).save(path)
            image = Image(
                dataset_id=dataset.id,
                sha256=file_sha256(path),
                path=path.name,
                split="train" if number < 50 else "test",
                label=label,
                cause=cause,
                patient_key=f"{cause or 'normal'}{number // 10}",
                width=64,
                height=64,
                file_count=2 if number % 10 == 9 else 1,
            )
            images.append(image)
        db.add_all(images)
        db.flush()
        tallies.dataset(db, dataset.id)
    return World(context, dataset, images, [*options, "--dataset", dataset.name])


def filled(world: World) -> World:
    world.add_audit(world.add_predict(world.add_train()))
    world.add_reports()
    world.add_index()
    world.add_index("efficientnet_lite0")
    world.add_index("aligned")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    return world


def exported(world: World) -> Path:
    assert export.main(world.options) == 0
    return world.exports
