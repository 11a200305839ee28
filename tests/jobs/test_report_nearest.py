"""Does the report job give `nearest` the right cases: labelled, from training, other patients, by the chosen index?"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from db import session
from db.models import Image, Report
from jobs import report
from jobs.command import Context
from tests.finished_runs import World, make_world


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    world = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    world.add_predict(world.add_train())
    return world


def written(world: World) -> list[tuple[Report, Image]]:
    with session.transaction(world.context.engine) as db:
        query = db.query(Report, Image).join(Image, Image.id == Report.image_id).filter(Report.model == "nearest")
        return [(row[0], row[1]) for row in query.order_by(Report.id)]


def nearest_by_hand(world: World, image: Image) -> list[Image]:
    """The five most similar train images of other patients, by plain inner products."""
    folder = next((world.context.artifacts / "indexes" / "classifier").iterdir())
    vectors, ids = np.load(folder / "vectors.npy"), np.load(folder / "ids.npy").tolist()
    own = vectors[ids.index(image.id)].astype(np.float64)
    others = [one for one in world.of("train") if one.patient_key != image.patient_key]
    return sorted(others, key=lambda one: -float(vectors[ids.index(one.id)].astype(np.float64) @ own))[:5]


def test_labels_of_the_five_nearest_training_cases_of_other_patients_are_counted(world: World) -> None:
    world.add_index()
    assert report.main([*world.options, "--model", "nearest", "--images", "all", "--strategies", "basic"]) == 0
    rows = written(world)
    assert len(rows) == len(world.of("test"))
    for row, image in rows:
        expected = nearest_by_hand(world, image)
        assert f"{sum(one.label or 0 for one in expected)} of the 5" in row.text
        assert f"case {expected[0].id} " in row.text
        assert row.settings["embedder"] == "classifier"


def test_a_corrected_patient_is_another_report_because_other_cases_are_of_other_patients(world: World) -> None:
    world.add_index()
    options = [*world.options, "--model", "nearest", "--images", "all", "--strategies", "basic"]
    assert report.main(options) == 0
    image = world.of("test")[0]
    first = nearest_by_hand(world, image)[0]
    with session.transaction(world.context.engine) as db:
        db.get_one(Image, image.id).patient_key = first.patient_key
    assert report.main(options) == 0
    *_, last = [row for row, one in written(world) if one.id == image.id]
    assert f"case {first.id} " not in last.text


def test_a_report_that_a_person_wrote_is_quoted_and_a_changed_one_is_another_report(world: World) -> None:
    world.add_index()
    for text in ("Clear lungs.", "Opacity at the left base."):
        with (Path(world.dataset.root) / "reports.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("path", "report"), *((one.path, text) for one in world.of("train"))])
        assert report.main([*world.options, "--model", "nearest", "--images", "2", "--strategies", "basic"]) == 0
    texts = [row.text for row, _ in written(world)]
    assert [text.split("\n")[0] for text in texts] == ["Clear lungs."] * 2 + ["Opacity at the left base."] * 2
    assert all(re.search(r"Quoted word for word from case \d+", text) for text in texts)


@pytest.mark.parametrize(
    ("built", "options", "code", "line"),
    [
        (False, [], 1, "dataset 'drawn' has no vector index; build one with: python -m jobs embed --dataset drawn"),
        (True, ["--embedder", "clip"], 2, "dataset 'drawn' has no index of embedder 'clip'; it has: classifier"),
    ],
)
def test_without_the_index_asked_for_one_line_says_what_to_do(
    world: World, capsys: pytest.CaptureFixture[str], built: bool, options: list[str], code: int, line: str
) -> None:
    if built:
        world.add_index()
    assert report.main([*world.options, "--model", "nearest", *options]) == code
    assert line in capsys.readouterr().err
    assert not written(world)


def test_an_image_that_the_index_lacks_fails_alone_and_is_kept_with_its_reason(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = world.of("test")[3]
    world.images.remove(lacking)
    world.add_index()
    options = [*world.options, "--model", "nearest", "--images", "all", "--strategies", "basic"]
    assert report.main(options) == 1
    assert "1 failed: the index holds no labelled case of another patient" in capsys.readouterr().out
    assert lacking.id not in {image.id for _, image in written(world)}
    assert len(written(world)) == 49
