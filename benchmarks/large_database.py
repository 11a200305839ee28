"""python benchmarks/large_database.py FOLDER [--images N]: an artifact folder with a database of N synthetic images.

Everything in it is random: hashes, labels, predictions, reports, map coordinates. There are no image files.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, Table
from sqlalchemy.orm import Session

from db import schema, session, tallies, writes
from db.models import (
    Artifact,
    Base,
    Dataset,
    Image,
    ImageAttribute,
    Metric,
    NearDuplicate,
    Prediction,
    Prompt,
    Report,
    ReportScore,
    Run,
    SkippedFile,
    now,
)
from engine.reporting.scores import OF_TEXT

VERSION = 2
"""Increased when different rows are written, so that older folders are replaced."""
THRESHOLD = 0.35
CHUNK = 50_000
MODELS = ("template", "nearest")
STRATEGIES = ("basic", "clinical_structured", "differential", "clinical_brief")
TEXTS = {
    1: "FINDINGS: Opacity in the right {zone} zone with air bronchograms. Film {number}. IMPRESSION: Pneumonia likely.",
    0: "FINDINGS: The lungs are clear, the {zone} zones as well. Film {number}. IMPRESSION: No acute disease.",
}
ZONES = ("upper", "middle", "lower")


def made(folder: Path, images: int) -> Path:
    """The folder with such a database of the newest schema; an existing one is kept."""
    mark = folder / "made.json"
    wanted = {"version": VERSION, "images": images}
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        engine = connected(folder)
        schema.upgrade(engine)
        engine.dispose()
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder, images)
    mark.write_text(json.dumps(wanted))
    return folder


def connected(folder: Path, *, read_only: bool = False) -> Engine:
    """The folder's database."""
    return session.connect(f"sqlite:///{folder / 'pneumoscope.db'}", read_only=read_only)


def write(folder: Path, images: int) -> None:
    """Write all rows and files, in one transaction; prints how long each part takes."""
    engine = connected(folder)
    schema.upgrade(engine)
    draw = np.random.default_rng(0)
    began = time.perf_counter()

    def log(what: str) -> None:
        print(f"large database: {what} ({time.perf_counter() - began:.0f} s)", flush=True)

    with session.transaction(engine) as db:
        db.connection().exec_driver_sql("PRAGMA cache_size = -400000")
        dataset = Dataset(name="million", root=str(folder / "films"), synthetic=True)
        db.add(dataset)
        db.flush()
        labels, shas = write_images(db, draw, dataset.id, images)
        write_attributes(db, draw, images)
        log(f"{images:,} images and their attributes")
        ingest, train, predict = write_runs(db, dataset.id, images)
        write_skipped(db, ingest, images // 200)
        held_out = np.flatnonzero(np.arange(images) % 10 < 2)
        write_predictions(db, draw, train, held_out, labels, folds=5)
        writes.trained_on(db, train)
        called = write_predictions(db, draw, predict, np.arange(images), labels, folds=None)
        log(f"{images + len(held_out):,} predictions")
        described = np.sort(draw.choice(images, images // 20, replace=False))
        count = write_reports(db, draw, dataset.id, described, labels, called, shas)
        log(f"{count:,} reports with their scores")
        write_evaluation(db, dataset.id)
        write_twins(db, draw, dataset.id, images)
        write_map(db, draw, folder, dataset.id, labels)
        log("map, duplicates, evaluation")
        db.flush()
        tallies.dataset(db, dataset.id)
        log("tallies")
    engine.dispose()


def fill(db: Session, model: type[Base], columns: dict[str, Any], *, count: int) -> None:
    """Insert `count` rows; a column is a sequence of their values, or one value for all."""
    table = model.__table__
    assert isinstance(table, Table)
    names = ", ".join(columns)
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    values = [value if listed(value) else [value] * count for value in columns.values()]
    for start in range(0, count, CHUNK):
        rows = list(zip(*(plain(column[start : start + CHUNK]) for column in values), strict=True))
        db.connection().exec_driver_sql(statement, rows)


def listed(value: Any) -> bool:
    """Whether a column has one value per row."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def plain(column: Any) -> Iterable[Any]:
    """The values as the driver takes them."""
    values: Iterable[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    return values


def write_images(db: Session, draw: np.random.Generator, dataset_id: int, images: int) -> tuple[np.ndarray, list[str]]:
    """Images with ids from 1: 70 % pneumonia, 2 % without a label; returns the labels (-1 unknown) and the hashes."""
    labels = draw.choice(np.array([1, 0, -1], dtype=np.int8), images, p=[0.68, 0.30, 0.02])
    splits = draw.choice(np.array(["train", "val", "test"]), images, p=[0.80, 0.05, 0.15])
    bacterial = draw.random(images) < 0.6
    shas = [hashlib.sha256(f"image {number}".encode()).hexdigest() for number in range(images)]
    columns = {
        "id": np.arange(1, images + 1),
        "dataset_id": dataset_id,
        "sha256": shas,
        "path": [f"{split}/film_{number:07d}.jpeg" for number, split in enumerate(splits)],
        "split": splits,
        "label": [None if label < 0 else label for label in labels.tolist()],
        "cause": [
            None if label != 1 else ("bacterial" if one else "viral")
            for label, one in zip(labels.tolist(), bacterial, strict=True)
        ],
        "patient_key": [f"patient {number:07d}" for number in draw.integers(0, max(1, images // 3), images).tolist()],
        "width": 1024,
        "height": 1024,
        "file_count": 1 + (draw.random(images) < 0.01),
    }
    fill(db, Image, columns, count=images)
    return labels, shas


def write_attributes(db: Session, draw: np.random.Generator, images: int) -> None:
    """The sex and view of most images, and the site of all; one site has one image in 2,000."""
    known: dict[str, tuple[tuple[str | None, ...], tuple[float, ...]]] = {
        "sex": (("female", "male", None), (0.47, 0.51, 0.02)),
        "view": (("AP", "PA", "lateral", None), (0.55, 0.35, 0.05, 0.05)),
        "site": (("north", "south", "rare"), (0.6, 0.3995, 0.0005)),
    }
    for name, (values, shares) in known.items():
        drawn = draw.choice(len(values), images, p=shares)
        for number, value in enumerate(values):
            if value is not None:
                ids = np.flatnonzero(drawn == number) + 1
                fill(db, ImageAttribute, {"image_id": ids, "name": name, "value": value}, count=len(ids))


def write_runs(db: Session, dataset_id: int, images: int) -> tuple[int, int, int]:
    """The runs behind the rows: ingest, train and predict, after some failed ones and many older ones."""
    operating = {"threshold": THRESHOLD, "temperature": 1.1}
    for number in range(200):
        run(db, "search", dataset_id, config={"number": number})
    for number in range(5):
        run(db, "report", dataset_id, config={"number": number}, status="failed")
    return (
        run(db, "ingest", dataset_id, summary={"images": images}),
        run(db, "train", dataset_id, summary=operating),
        run(db, "predict", dataset_id, summary=operating),
    )


def run(
    db: Session,
    kind: str,
    dataset_id: int,
    *,
    config: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
    status: str = "finished",
) -> int:
    """Store one ended run; returns its id."""
    mark = hashlib.sha256(f"{kind} {json.dumps(config)}".encode()).hexdigest()
    row = Run(kind=kind, dataset_id=dataset_id, fingerprint=mark, config=config or {}, code_version="bench", seed=0)
    row.status, row.host, row.pid, row.finished, row.seconds = status, "elsewhere", 1, now(), 60.0
    row.summary = summary or {}
    row.error = "made to fail" if status == "failed" else None
    db.add(row)
    db.flush()
    return row.id


def write_skipped(db: Session, run_id: int, count: int) -> None:
    """Files that ingest skipped."""
    reasons = ("duplicate", "unreadable", "not-an-image")
    columns = {
        "run_id": run_id,
        "path": [f"skipped/{number:07d}.jpeg" for number in range(count)],
        "reason": [reasons[number % 3] for number in range(count)],
        "detail": "left out",
    }
    fill(db, SkippedFile, columns, count=count)


def write_predictions(
    db: Session, draw: np.random.Generator, run_id: int, rows: np.ndarray, labels: np.ndarray, *, folds: int | None
) -> np.ndarray:
    """The run's predictions for these rows of the images, about one in thirteen wrong; returns whether each is
    positive."""
    truth = np.where(labels[rows] == 1, 2.4, -2.6)
    logits = truth + draw.normal(0.0, 1.7, len(rows))
    probabilities = 1 / (1 + np.exp(-logits))
    zones = [json.dumps({f"{side}_{zone}": 1 / 6 for side in ("right", "left") for zone in ZONES})]
    columns = {
        "run_id": run_id,
        "image_id": rows + 1,
        "fold": None if folds is None else rows % folds,
        "logit": logits,
        "probability": probabilities,
        "zones": zones[0],
    }
    fill(db, Prediction, columns, count=len(rows))
    return np.asarray(probabilities >= THRESHOLD)


def write_reports(
    db: Session,
    draw: np.random.Generator,
    dataset_id: int,
    rows: np.ndarray,
    labels: np.ndarray,
    called: np.ndarray,
    shas: list[str],
) -> int:
    """A report on each of these images by each model and strategy, with its scores; returns their number."""
    count, first = len(rows), 1
    for model in MODELS:
        made_by = run(db, "report", dataset_id, config={"model": model})
        for strategy in STRATEGIES:
            prompt = hashlib.sha256(f"{model} {strategy}".encode()).hexdigest()
            db.add(Prompt(sha256=prompt, strategy=strategy, text=f"Describe the radiograph ({strategy})."))
            db.flush()
            says = np.where(draw.random(count) < 0.9, called[rows], ~called[rows]).astype(np.int8)
            ids = np.arange(first, first + count)
            columns = {
                "id": ids,
                "run_id": made_by,
                "image_id": rows + 1,
                "image_sha256": [shas[row] for row in rows],
                "model": model,
                "revision": "1",
                "strategy": strategy,
                "prompt_sha256": prompt,
                "settings": "{}",
                "settings_sha256": "0" * 64,
                "text": [
                    TEXTS[said].format(zone=ZONES[number % 3], number=number)
                    for number, said in zip(ids.tolist(), says.tolist(), strict=True)
                ],
                "seconds": 0.5,
                "tokens": 60,
                "created": now().strftime("%Y-%m-%d %H:%M:%S.%f"),
            }
            fill(db, Report, columns, count=count)
            write_scores(db, draw, dataset_id, ids, says, labels[rows], called[rows])
            first += count
    return first - 1


def write_scores(
    db: Session,
    draw: np.random.Generator,
    dataset_id: int,
    ids: np.ndarray,
    says: np.ndarray,
    labels: np.ndarray,
    called: np.ndarray,
) -> None:
    """Twelve scores per report, each with as many distinct values as real ones have."""
    count = len(ids)
    stance = np.where(draw.random(count) < 0.05, 0.5, says.astype(float))
    stance[draw.random(count) < 0.002] = np.nan
    known = np.where(labels < 0, np.nan, 1.0)
    scores = {
        "stance": stance,
        "stance_agreement": (stance == labels) * known,
        "classifier_agreement": (stance == called).astype(float),
        "classifier_opposition": np.abs(stance - called),
        "keyword_alignment": draw.integers(0, 6, count) / 5 * known,
        "unsupported": draw.poisson(0.2, count).astype(float),
        "contradictions": (draw.random(count) < 0.0005).astype(float),
        "laterality": np.where(says == 1, draw.integers(0, 3, count) / 2, np.nan),
        "format": np.where(draw.random(count) < 0.03, 0.75, 1.0),
        "words": draw.integers(20, 90, count).astype(float),
        "repetition": draw.integers(0, 30, count) / draw.integers(40, 90, count),
        "truncated": (draw.random(count) < 0.01).astype(float),
    }
    for metric, values in scores.items():
        columns = {
            "report_id": ids,
            "dataset_id": None if metric in OF_TEXT else dataset_id,
            "metric": metric,
            "value": [None if value != value else value for value in values.tolist()],  # NaN
            "detail": "{}",
        }
        fill(db, ReportScore, columns, count=count)


def write_evaluation(db: Session, dataset_id: int) -> None:
    """Metrics of each task."""
    run_id = run(db, "evaluate", dataset_id)
    values = {"auc": 0.97, "accuracy": 0.92, "recall": 0.93, "specificity": 0.9, "precision": 0.95, "f1": 0.94}
    rows = [(name, split, "all", value) for name, value in values.items() for split in ("test", "oof")]
    for model in MODELS:
        for strategy in STRATEGIES:
            where = f"{model} / {strategy}"
            rows += [(name, "reports", where, 0.8) for name in ("keyword_alignment", "stance_agreement", "format")]
    for name, split, where, value in rows:
        db.add(Metric(run_id=run_id, name=name, split=split, slice=where, value=value, low=value, high=value, n=100))


def write_twins(db: Session, draw: np.random.Generator, dataset_id: int, images: int) -> None:
    """Pairs of near-duplicate images."""
    count = images // 500
    run_id = run(db, "duplicates", dataset_id, summary={"images": images})
    first = np.sort(draw.choice(images - 1, count, replace=False)) + 1
    columns = {"run_id": run_id, "image_id": first, "other_id": first + 1, "hash_distance": 3, "verdict": "possible"}
    fill(db, NearDuplicate, columns, count=count)


def write_map(db: Session, draw: np.random.Generator, folder: Path, dataset_id: int, labels: np.ndarray) -> None:
    """Coordinates of all images by two methods, and ten clusters: one lumpy cloud per label."""
    summary = {"images": len(labels), "embedder": "classifier", "clusters": 10}
    summary |= {"trustworthiness": {"umap": 0.95, "tsne": 0.97}}
    run_id = run(db, "map", dataset_id, summary=summary)
    target = folder / "runs" / f"{run_id:04d}-map"
    target.mkdir(parents=True)
    lumps = draw.integers(0, 10, len(labels))
    centres = draw.normal(0.0, 5.0, (10, 2))
    places = centres[lumps] + draw.normal(0.0, 1.0, (len(labels), 2)) + np.where(labels[:, None] == 1, [8.0, 0.0], 0.0)
    arrays: dict[str, np.ndarray] = {
        "ids": np.arange(1, len(labels) + 1),
        "umap": places.astype(np.float32),
        "tsne": (places * 8).astype(np.float32),
        "clusters": (lumps + 1).astype(np.int16),
    }
    for name, array in arrays.items():
        path = target / f"{name}.npy"
        np.save(path, array, allow_pickle=False)
        data = path.read_bytes()
        row = Artifact(run_id=run_id, name=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        row.path = path.relative_to(folder).as_posix()
        row.shape = "x".join(map(str, array.shape))
        db.add(row)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--images", type=int, default=1_000_000)
    args = options.parse_args()
    print(made(args.folder, args.images))
