"""An ingested dataset of small images, with an embedder of its own."""

from pathlib import Path

import pytest

from engine.retrieval import embedders
from engine.retrieval.embedders import EmbedderSpec
from jobs import ingest
from jobs.command import Context
from tests.jobs.retrieval.small_films import COUNT, pixels, png, small_pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset in the Kaggle layout."""
    root = tmp_path / "films"
    for number in range(COUNT):
        split = "test" if number % 3 == 0 else "train"
        kind, name = (("NORMAL", f"IM-{number:04d}-0001"), ("PNEUMONIA", f"person{number}_virus_{number}"))[number % 2]
        path = root / split / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(number)))
    return root


@pytest.fixture
def options(context: Context, folder: Path, job_options: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The common options; the dataset is ingested, and an embedder 'small' is registered by one line."""
    monkeypatch.setitem(
        embedders.REGISTRY, "small", EmbedderSpec("small", small_pixels, False, 64, "none", "public domain")
    )
    monkeypatch.setenv("PNEUMOSCOPE_MODELS", str(folder.parent / "models"))
    assert ingest.main([str(folder), "--name", "films", *job_options]) == 0
    return job_options
