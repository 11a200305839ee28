"""Twelve small images, an embedder that loads nothing, and helpers for the tests of embed and search."""

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import func, select

from db import session
from db.models import Dataset, Image, Prompt, Report, Run, VectorIndex
from engine.imaging.images import resize
from engine.retrieval.embedders import EmbedderSpec
from engine.retrieval.embedders.features import FeatureEmbedder
from engine.retrieval.embedders.protocol import Sources
from engine.retrieval.index.vector_index import VectorIndex as OpenIndex
from jobs import embed, search
from jobs.command import Context

COUNT = 12
"""The number of images: half of them pneumonia, every third in the test split."""


def pixels(number: int) -> NDArray[np.uint8]:
    """Pneumonia (odd numbers) is bright at the bottom; no two images are the same."""
    grey = np.random.default_rng(number).integers(40, 90, (48, 48))
    grey[24:] += 100 * (number % 2)
    return grey.astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    made = io.BytesIO()
    Picture.fromarray(picture).save(made, "PNG")
    return made.getvalue()


def small_pixels(wanted: EmbedderSpec, _sources: Sources) -> FeatureEmbedder:
    """An embedder that loads nothing: the image itself, downsized."""

    def features(given: NDArray[np.uint8]) -> NDArray[Any]:
        return np.stack([resize(picture, 8).ravel() - 127.5 for picture in given])

    return FeatureEmbedder(wanted.name, "1" * 64, 64, 32, features)


def rows(context: Context, model: type) -> int:
    with session.transaction(context.engine) as db:
        return db.scalar(select(func.count()).select_from(model)) or 0


def newest_index(context: Context) -> VectorIndex:
    with session.transaction(context.engine) as db:
        return db.scalars(select(VectorIndex).order_by(VectorIndex.id.desc()).limit(1)).one()


def opened(context: Context) -> OpenIndex:
    """The vectors of the newest index."""
    return OpenIndex.open(context.artifacts / newest_index(context).path)


def built(context: Context, options: list[str], *more: str) -> OpenIndex:
    """The index that `embed` builds with the small embedder."""
    assert embed.main(["--embedder", "small", *more, *options]) == 0
    return opened(context)


def assert_alike(one: OpenIndex, other: OpenIndex) -> None:
    """Assert that both hold the same vectors with the same centre."""
    np.testing.assert_allclose(one.centre, other.centre, atol=1e-6)
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def answer(options: list[str], capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
    capsys.readouterr()
    assert search.main([*asked, "--json", *options]) == 0
    answered: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answered


def write_reports(context: Context) -> None:
    """Store two reports per image; those on pneumonia mention an opacity."""
    with session.transaction(context.engine) as db:
        dataset = db.scalars(select(Dataset)).one()
        run = Run(kind="report", fingerprint="r", config={}, code_version="", status="finished", host="h", pid=1)
        run.dataset_id, run.seconds = dataset.id, 0.0
        db.add_all([run, Prompt(sha256="p", strategy="basic", text="Describe.")])
        db.flush()
        for image in db.scalars(select(Image)).all():
            for revision, more in (("1", "."), ("2", ", with air bronchograms.")):
                found = f"Opacities in the right lower zone{more}" if image.label else "The lungs are clear."
                db.add(
                    Report(
                        run_id=run.id,
                        image_id=image.id,
                        image_sha256=image.sha256,
                        model="template",
                        revision=revision,
                        strategy="basic",
                        prompt_sha256="p",
                        settings={},
                        settings_sha256="s",
                        text=f"FINDINGS: {found}\nIMPRESSION: case.",
                        seconds=0.0,
                        tokens=1,
                    )
                )
