"""embed: which images it finds unlike most others, and where it looks for none."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from db import session
from db.models import Dataset, Image
from db.queries import outliers, runs
from jobs import embed, ingest
from jobs.command import Context
from tests.jobs.retrieval.small_films import built, pixels, png


def test_images_unlike_most_others_are_told_and_kept_and_go_with_those_that_ingest_forgets(
    options: list[str], context: Context, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(60):
        (folder / "train" / "NORMAL" / f"IM-{number + 200:04d}-0001.png").write_bytes(png(pixels(2 * number + 200)))
    strange = folder / "train" / "NORMAL" / "holiday.png"
    strange.write_bytes(png(np.tile(np.array([0, 255], np.uint8).repeat(24), (48, 1))))
    assert ingest.main([str(folder), "--name", "films", *options]) == 0
    built(context, options)
    assert "unlike most others, first train/NORMAL/holiday.png; " in capsys.readouterr().out
    with session.reading(context.engine) as db:
        names = {image.path: image.id for image in db.scalars(select(Image))}
        (dataset,) = db.scalars(select(Dataset)).all()
        assert outliers.count(db, dataset.id) >= 1
        assert (outliers.similarity(db, dataset.id, names["train/NORMAL/holiday.png"]) or 1.0) < 0.5
    strange.unlink()
    assert ingest.main([str(folder), "--name", "films", "--prune", *options]) == 0
    built(context, options)
    with session.reading(context.engine) as db:
        assert outliers.similarity(db, dataset.id, names["train/NORMAL/holiday.png"]) is None


def test_where_training_images_lie_apart_no_image_is_an_outlier(
    options: list[str], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(context, options)
    monkeypatch.setattr(embed, "lies_apart", lambda _name: True)
    built(context, options, "--again")
    with session.reading(context.engine) as db:
        summaries = [run.summary or {} for run in runs.every(db, kind="embed")]
        (dataset,) = db.scalars(select(Dataset)).all()
        assert [found["outliers"] for found in summaries] == [0, None]
        assert outliers.run_of(db, dataset.id) is None
