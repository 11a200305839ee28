"""duplicates: every pair once with its verdict, within and across splits, resumable, and shown on the pages."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select, update

from db import session
from db.models import Image, NearDuplicate
from db.queries import cases, runs
from db.queries import duplicates as queries
from db.queries.cases import Question
from jobs import duplicates, ingest
from jobs.command import Context


@pytest.fixture
def options(context: Context, tmp_path: Path, job_options: list[str]) -> list[str]:
    """Eight images of train and test; image 0 of train is also in test as a JPEG, and again in train, darker."""
    root = tmp_path / "films"
    rng = np.random.default_rng(1)
    for number in range(8):
        kind, name = (("NORMAL", f"IM-{number:04d}-0001"), ("PNEUMONIA", f"person{number}_virus_{number}"))[number % 2]
        path = root / ("test" if number > 5 else "train") / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Picture.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
        film = coarse.resize((96, 96), Picture.Resampling.BICUBIC)
        film.save(path)
        if number == 0:
            film.save(root / "copy.jpeg", quality=80)
            film.point(lambda grey: int(grey * 0.8)).save(path.with_name("IM-0000-0002.png"))
    (root / "test" / "NORMAL").mkdir(parents=True, exist_ok=True)
    shutil.move(root / "copy.jpeg", root / "test" / "NORMAL" / "IM-0900-0001.jpeg")
    assert ingest.main([str(root), "--name", "films", *job_options]) == 0
    return job_options


def test_pairs_are_stored_once_with_verdict_and_counted_across_splits(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert duplicates.main(options) == 0
    out = capsys.readouterr().out
    assert "3 near-duplicate and 0 possible pairs among 10 images" in out
    assert "near-duplicates across splits: 2, of different patients: 2" in out
    assert "already done as run" in out
    with session.transaction(context.engine) as db:
        pairs = list(db.scalars(select(NearDuplicate)))
        by_id = {image.id: image for image in db.scalars(select(Image))}
        run = runs.current(db, "duplicates", by_id[1].dataset_id)
        assert run is not None
        assert run.summary is not None and run.summary["latest_image"] == max(by_id)
        copy = next(image for image in by_id.values() if image.path.endswith("IM-0900-0001.jpeg"))
        twins = queries.of_image(db, run.id, copy.id)
        assert queries.across(db, run.id) == 2
        found = {
            apart: {
                by_id[number].path.rpartition("/")[2]
                for number in cases.ids(db, Question(copy.dataset_id, near_duplicate=(run.id, apart)))
            }
            for apart in (False, True)
        }
    assert {pair.verdict for pair in pairs} == {"near-duplicate"}
    assert all(pair.similarity is not None and pair.similarity > 0.8 for pair in pairs)
    assert all(pair.image_id < pair.other_id and pair.hash_distance <= 32 for pair in pairs)
    assert {twin.image.path.rpartition("/")[2] for twin in twins} == {"IM-0000-0001.png", "IM-0000-0002.png"}
    assert found[True] == found[False] == {"IM-0000-0001.png", "IM-0000-0002.png", "IM-0900-0001.jpeg"}


def test_a_copy_that_moved_to_the_split_of_its_twins_crosses_no_split_any_more(
    options: list[str], context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    assert duplicates.main(options) == 0
    with session.transaction(context.engine) as db:
        db.execute(update(Image).values(split="train"))
    capsys.readouterr()
    assert duplicates.main(options) == 0
    out = capsys.readouterr().out
    assert "across splits: 0, of different patients: 2" in out and "already done" in out


def test_hashes_that_are_there_are_not_made_again_and_torn_ones_are(
    options: list[str], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.retrieval.duplicates as engine

    monkeypatch.setattr(duplicates, "SHARD", 4)
    made: list[int] = []
    hashing, comparing = engine.perceptual_hash, engine.near_pairs

    def counted(pixels: np.ndarray) -> np.ndarray:
        made.append(len(pixels))
        return hashing(pixels)

    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(engine, "perceptual_hash", counted)
    monkeypatch.setattr(engine, "near_pairs", broken)
    assert duplicates.main(options) == 1
    assert made == [4, 4, 2]
    (last,) = context.artifacts.glob("runs/*-duplicates/hashes-00000008.npy")
    last.write_bytes(last.read_bytes()[:-1])
    monkeypatch.setattr(engine, "near_pairs", comparing)
    assert duplicates.main(options) == 0
    assert made == [4, 4, 2, 2]


def test_an_empty_dataset_says_what_to_run(
    context: Context, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert duplicates.main(job_options) == 1
    assert "python -m jobs ingest" in capsys.readouterr().err
