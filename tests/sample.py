"""A small workbench written row by row: what the pages' tests look at, without training anything."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import session as database
from db import tallies, writes
from db.models import (
    Artifact,
    Dataset,
    Image,
    Metric,
    Prediction,
    Prompt,
    Report,
    ReportScore,
    Run,
    SkippedFile,
    VectorIndex,
    now,
)
from engine.imaging.images import decode, resize, thumbnail_path, thumbnail_webp
from engine.retrieval.embedders import Embedder
from engine.retrieval.index.folder import write_index

THRESHOLD = 0.6
STRATEGIES = ("basic", "clinical_structured", "differential", "clinical_brief")
HEAT = 7


@dataclass(frozen=True)
class Film:
    """One file to put into the dataset."""

    data: bytes
    path: str
    split: str | None
    label: int | None
    cause: str | None


def films(count: int, *, seed: int = 0) -> list[Film]:
    """Tiny grey pictures, a third of them test, half of them pneumonia: bright below where they are."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        label = number % 2
        split = "test" if number % 3 == 0 else "train"
        pixels = draw.integers(40, 90, (64, 64))
        pixels[32:] += 90 * label
        encoded = io.BytesIO()
        Picture.fromarray(pixels.astype(np.uint8)).save(encoded, "PNG")
        cause = (None, "bacterial" if number % 4 == 1 else "viral")[label]
        name = f"{split}/{('NORMAL', 'PNEUMONIA')[label]}/film_{number:04d}.png"
        made.append(Film(encoded.getvalue(), name, split, label, cause))
    return made


def build(
    engine: Engine,
    artifacts: Path,
    folder: Path,
    *,
    pictures: list[Film],
    name: str = "sample",
    synthetic: bool = True,
    reported: int = 6,
    seed: int = 0,
    embedder: Embedder | None = None,
) -> int:
    """Write the dataset and one finished run of every kind over it; returns the dataset's id.

    embedder: None means that the pictures themselves, made small, are the vectors.
    """
    draw = np.random.default_rng(seed)
    with database.transaction(engine) as db:
        dataset = Dataset(name=name, root=str(folder.resolve()), synthetic=synthetic)
        db.add(dataset)
        db.flush()
        images = [_image(db, artifacts, folder, dataset, film) for film in pictures]
        db.flush()
        ingest = _run(db, "ingest", dataset, {"folder": str(folder)}, {"images": len(images)})
        db.add(SkippedFile(run_id=ingest.id, path="notes.txt", reason="not-an-image", detail="neither image nor DICOM"))
        train = _run(db, "train", dataset, {"recipe": "probe"}, {"threshold": THRESHOLD, "temperature": 1.1})
        _curves(db, train)
        _predict(db, train, [image for image in images if image.split == "train"], draw, folds=5)
        db.flush()
        writes.trained_on(db, train.id)
        predict = _run(db, "predict", dataset, {"train_run": train.id}, {"threshold": THRESHOLD})
        tested = [image for image in images if image.split == "test"]
        _predict(db, predict, tested, draw, heat=artifacts)
        _reports(db, _run(db, "report", dataset, {"model": "template"}, {}), tested[:reported])
        embed = _run(db, "embed", dataset, {"embedder": "imagenet-lite0"}, {})
        _index(db, artifacts, embed, images, folder, embedder)
        _metrics(db, _run(db, "evaluate", dataset, {}, {}), n=len(tested))
        failed = _run(db, "report", dataset, {"model": "blip2-opt-2.7b"}, None, status="failed")
        failed.error = "model 'blip2-opt-2.7b' needs 7.5 GB of weights that are not on this machine"
        failed.traceback = "Traceback (most recent call last):\n  InputError: weights absent"
        db.flush()
        writes.attributes(db, {image.id: attributes(place) for place, image in enumerate(images)})
        tallies.dataset(db, dataset.id)
        return dataset.id


def attributes(place: int) -> dict[str, str]:
    """What is known of the film at this place, from 0: the view of all, the sex of three in four."""
    known = {"view": "AP" if place % 3 else "PA"}
    return known | ({"sex": ("female", "male")[place // 2 % 2]} if place % 4 != 3 else {})


def _image(db: Session, artifacts: Path, folder: Path, dataset: Dataset, film: Film) -> Image:
    path = folder / film.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(film.data)
    sha256 = hashlib.sha256(film.data).hexdigest()
    pixels = decode(film.data).pixels
    small = thumbnail_path(artifacts, sha256)
    small.parent.mkdir(parents=True, exist_ok=True)
    small.write_bytes(thumbnail_webp(pixels))
    image = Image(
        dataset_id=dataset.id,
        sha256=sha256,
        path=film.path,
        split=film.split,
        label=film.label,
        cause=film.cause,
        patient_key=Path(film.path).stem,
        width=pixels.shape[1],
        height=pixels.shape[0],
    )
    db.add(image)
    return image


def _run(
    db: Session,
    kind: str,
    dataset: Dataset,
    config: dict[str, object],
    summary: dict[str, object] | None,
    *,
    status: str = "finished",
) -> Run:
    row = Run(
        kind=kind,
        dataset_id=dataset.id,
        fingerprint=hashlib.sha256(f"{kind}{dataset.name}{json.dumps(config)}{status}".encode()).hexdigest(),
        config={"dataset": dataset.name, **config},
        code_version="0123456789ab",
        seed=0,
        status=status,
        host="elsewhere",
        pid=1,
        finished=now(),
        seconds=12.5,
        summary=summary,
    )
    db.add(row)
    db.flush()
    return row


def _curves(db: Session, run: Run) -> None:
    for fold in range(2):
        for step in range(4):
            for name, value in (("train_loss", 0.6), ("valid_loss", 0.7), ("valid_auc", 0.9)):
                moved = value - 0.05 * step if "loss" in name else value + 0.01 * step
                db.add(Metric(run_id=run.id, name=name, split=f"fold{fold}", step=step, value=moved))


def _predict(
    db: Session,
    run: Run,
    images: list[Image],
    draw: np.random.Generator,
    *,
    folds: int | None = None,
    heat: Path | None = None,
) -> None:
    """Probabilities that are mostly right, and a heatmap of each image where a folder is given."""
    for row, image in enumerate(images):
        logit = float(draw.normal(1.5 if image.label else -1.5, 2.0))
        db.add(
            Prediction(
                run_id=run.id,
                image_id=image.id,
                fold=row % folds if folds else None,
                logit=logit,
                probability=float(1 / (1 + np.exp(-logit))),
                heatmap_row=row if heat else None,
                zones={"right_lower": 0.5, "left_lower": 0.3, "right_middle": 0.2} if heat else None,
            )
        )
    if heat is None:
        return
    path = heat / "runs" / f"{run.id:04d}-predict" / "heatmaps.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    centre = draw.uniform(1, HEAT - 2, (len(images), 2, 1, 1))
    grid = np.mgrid[:HEAT, :HEAT][None]
    np.save(path, np.exp(-((grid - centre) ** 2).sum(axis=1) / 3).astype(np.float16), allow_pickle=False)
    db.add(
        Artifact(
            run_id=run.id,
            name="heatmaps",
            path=path.relative_to(heat).as_posix(),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            bytes=path.stat().st_size,
            shape=f"{len(images)}x{HEAT}x{HEAT}",
        )
    )


def _reports(db: Session, run: Run, images: list[Image]) -> None:
    for strategy in STRATEGIES:
        prompt = hashlib.sha256(strategy.encode()).hexdigest()
        if db.get(Prompt, prompt) is None:
            db.add(Prompt(sha256=prompt, strategy=strategy, text=f"Describe the radiograph ({strategy})."))
            db.flush()
        for image in images:
            finding = "Opacity in the right lower zone." if image.label else "The lungs are clear."
            report = Report(
                run_id=run.id,
                image_id=image.id,
                image_sha256=image.sha256,
                model="template",
                revision=str(run.id),
                strategy=strategy,
                prompt_sha256=prompt,
                settings={},
                settings_sha256="0" * 64,
                text=f"FINDINGS: {finding}\nIMPRESSION: {'Pneumonia' if image.label else 'No acute disease'}.",
                seconds=0.01,
                tokens=12,
            )
            db.add(report)
            db.flush()
            agreed = {
                "keyword_alignment": 0.8,
                "stance_agreement": 1.0,
                "format": 1.0,
                "stance": float(image.label or 0),
            }
            db.add_all(ReportScore(report_id=report.id, metric=name, value=value) for name, value in agreed.items())


def _index(
    db: Session, artifacts: Path, run: Run, images: list[Image], folder: Path, embedder: Embedder | None
) -> None:
    relative = f"indexes/imagenet-lite0/{run.id:04d}"
    pixels = [decode((folder / image.path).read_bytes()).pixels for image in images]
    vectors = embedder.embed_images(np.stack(pixels)) if embedder else np.stack([unit(one) for one in pixels])
    revision = embedder.revision if embedder else "0" * 16
    ids = np.array([image.id for image in images], dtype=np.int64)
    (artifacts / relative).parent.mkdir(parents=True, exist_ok=True)
    sha256 = write_index(artifacts / relative, vectors=vectors, ids=ids, embedder="imagenet-lite0", revision=revision)
    db.add(
        VectorIndex(
            run_id=run.id,
            dataset_id=run.dataset_id or 0,
            embedder="imagenet-lite0",
            revision=revision,
            dimension=vectors.shape[1],
            count=len(ids),
            kind="exact",
            path=relative,
            sha256=sha256,
        )
    )


def unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture as a vector of length 1 and 256 numbers."""
    flat = resize(pixels, 16).astype(np.float64).ravel() + 1.0
    flat -= flat.mean()
    return (flat / np.linalg.norm(flat)).astype(np.float32)


def _metrics(db: Session, run: Run, *, n: int) -> None:
    values = {"accuracy": 0.93, "recall": 0.95, "specificity": 0.89, "precision": 0.94, "f1": 0.945, "auc": 0.975}
    for split in ("test", "oof"):
        for name, value in values.items():
            db.add(Metric(run_id=run.id, name=name, split=split, value=value, low=value - 0.03, high=value + 0.02, n=n))
    for k, value in ((1, 0.9), (3, 0.88), (5, 0.87), (10, 0.85)):
        low, high = value - 0.02, value + 0.02
        row = {"name": f"p_at_{k}", "slice": "imagenet-lite0", "value": value, "low": low, "high": high}
        db.add(Metric(run_id=run.id, split="test", n=n, **row))
    for strategy in STRATEGIES:
        row = {"name": "keyword_alignment", "slice": f"template / {strategy}", "value": 0.8, "low": 0.7, "high": 0.9}
        db.add(Metric(run_id=run.id, split="reports", n=6, **row))
