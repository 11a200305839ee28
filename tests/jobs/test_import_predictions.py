"""import_predictions: imported predictions become a run like any other."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sqlalchemy import select, update

from db import session, tallies
from db.models import Image, Prediction, Report, Run
from db.queries import predictions, runs
from jobs import compare, evaluate, export, import_predictions, report, score
from jobs.command import Context
from tests.finished_runs import World, make_world

FEW = ["--replicates", "100"]


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


def file_of(world: World, images: list[Image], *, seed: int = 0, more: str = "") -> Path:
    """A file with a better-than-chance probability for each of these images."""
    draw = np.random.default_rng(seed)
    said = [0.3 * (image.label or 0) + 0.7 * draw.random() for image in images]
    lines = [f"{image.path},{value}" for image, value in zip(images, said, strict=True)]
    file = world.context.artifacts / f"said-{seed}.csv"
    file.write_text("\n".join(["path,probability", *lines, more]))
    return file


def imported(world: World, file: Path, *options: str, classifier: str = "DenseNet-121") -> Run:
    assert import_predictions.main([str(file), "--classifier", classifier, *options, *world.options]) == 0
    with session.transaction(world.context.engine) as db:
        found = runs.current(db, "predict", world.dataset.id)
    assert found is not None and found.imported
    return found


def test_foreign_predictions_are_evaluated_as_our_own_and_no_others_stand_beside_them(world: World) -> None:
    train = world.add_train()
    world.add_predict(train)
    run = imported(world, file_of(world, world.of("test")), "--threshold", "0.4")
    assert (run.recipe, run.threshold, run.train_run_id) == ("DenseNet-121", 0.4, None)
    assert evaluate.main([*world.options, *FEW]) == 0
    stored = world.evaluated()
    with session.transaction(world.context.engine) as db:
        rows = predictions.of_run(db, run.id)
    files = np.array([row.file_count for row in rows])
    labels, scores = (np.repeat([getattr(row, name) for row in rows], files) for name in ("label", "probability"))
    assert stored["test", "all", "auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert stored["test", "all", "threshold"].value == 0.4
    assert not {split for split, _, _ in stored} & {"oof"}
    assert not {where for _, where, _ in stored} & {"before_scaling"}
    with session.transaction(world.context.engine) as db:
        evaluated = runs.current(db, "evaluate", world.dataset.id)
    assert evaluated is not None and evaluated.summary is not None
    assert not [line for line in evaluated.summary["skipped"] if "out-of-fold" in line]


def test_the_same_file_is_done_once_and_another_is_another_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(world, world.of("test"))
    first = imported(world, file)
    assert imported(world, file).id == first.id
    assert f"already done as run {first.id}" in capsys.readouterr().out
    assert imported(world, file_of(world, world.of("test"), seed=1)).id != first.id
    assert imported(world, file, classifier="ResNet").id != first.id
    assert imported(world, file, "--threshold", "0.3").id != first.id


def test_other_values_are_another_run_wherever_they_are_read_from(world: World) -> None:
    numbers = []
    for seed in (0, 1):
        pipe = world.context.artifacts / f"pipe-{seed}"
        os.mkfifo(pipe)
        text = file_of(world, world.of("test"), seed=seed).read_text()
        writer = threading.Thread(target=pipe.write_text, args=(text,))
        writer.start()
        numbers.append(imported(world, pipe).id)
        writer.join()
    assert numbers[0] != numbers[1]
    assert imported(world, file_of(world, world.of("test"))).id == numbers[0]


def test_rows_without_an_image_of_other_splits_and_images_without_a_row_are_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = world.of("test")
    images = [*tested[2:], *world.of("train")[:3]]
    file = file_of(world, images, more="gone.png,0.5")
    run = imported(world, file)
    said = capsys.readouterr().out
    assert "warning: 1 rows of" in said and "match no image: gone.png" in said
    assert "skipped 3 rows on images of other splits; see --split" in said
    assert f"warning: 2 images of split 'test' have no row in {file}: {tested[0].path}, {tested[1].path}\n" in said
    with session.transaction(world.context.engine) as db:
        assert {row.image_id for row in predictions.of_run(db, run.id)} == {image.id for image in tested[2:]}
    everywhere = imported(world, file_of(world, images, seed=2), "--split", "all")
    with session.transaction(world.context.engine) as db:
        assert len(predictions.of_run(db, everywhere.id)) == len(images)


def test_an_evaluation_doubts_predictions_that_are_worse_than_chance_or_not_whole(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    images = world.of("test")[:30]
    file = world.context.artifacts / "inverted.csv"
    lines = [f"{image.path},{0.9 - 0.8 * (image.label or 0)}" for image in images]
    file.write_text("\n".join(["path,probability", *lines]))
    run = imported(world, file)
    assert evaluate.main([*world.options, *FEW]) == 0
    said = capsys.readouterr().out
    assert (
        "warning: AUC 0.000 on split test is below chance; check that the probabilities are of pneumonia, not normal"
        in said
    )
    assert f"warning: only 30 of 50 labelled images of split test have a prediction of run {run.id}" in said


def test_agreement_with_the_classifier_is_that_with_the_run_that_is_evaluated(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(world, file_of(world, world.of("test")))
    asked = ["--strategies", "basic", "--images", "all", *world.options]
    assert report.main(asked) == evaluate.main([*world.options, *FEW]) == 0
    assert "warning" not in capsys.readouterr().out
    first = world.evaluated()["reports", "template / basic", "classifier_agreement"].value
    assert first is not None and first > 0.9
    other = imported(world, file_of(world, world.of("test"), seed=1))
    capsys.readouterr()
    assert evaluate.main([*world.options, *FEW]) == 0
    said = capsys.readouterr().out
    assert f"reports were scored against predictions other than those of run {other.id}" in said
    live = world.evaluated()["reports", "template / basic", "classifier_agreement"].value
    assert score.main(world.options) == evaluate.main([*world.options, *FEW]) == 0
    assert "were scored against other" not in capsys.readouterr().out
    assert live is not None and live < 0.9
    assert world.evaluated()["reports", "template / basic", "classifier_agreement"].value == live


def test_heatmaps_come_with_their_rows_and_say_where_the_evidence_lies(world: World) -> None:
    images = world.of("test")[::-1]
    heat = np.zeros((len(images) + 1, 14, 14))
    heat[::2, :4, :7], heat[1::2, 10:, 7:] = 3.0, 5.0  # the patient's right upper zone, and the left lower
    file = file_of(world, images, more="gone.png,0.5")
    np.save(world.context.artifacts / "heat.npy", heat)
    run = imported(world, file, "--heatmaps", str(world.context.artifacts / "heat.npy"))
    with session.transaction(world.context.engine) as db:
        rows = {row.path: row for row in predictions.of_run(db, run.id)}
        stored = runs.artifact(db, run.id, "heatmaps")
    assert stored is not None
    kept = np.load(world.context.artifacts / stored.path)
    for place, image in enumerate(images):
        zones = rows[image.path].zones
        assert zones and zones["left_lower" if place % 2 else "right_upper"] == pytest.approx(1.0)
        assert (kept[rows[image.path].heatmap_row] == heat[place] / heat[place].max()).all()
    np.save(world.context.artifacts / "heat.npy", heat / 2 + 1)
    assert imported(world, file, "--heatmaps", str(world.context.artifacts / "heat.npy")).id != run.id


def test_two_classifiers_reports_are_told_apart(world: World) -> None:
    asked = ["--strategies", "basic", "--images", "4", *world.options]
    texts = []
    for seed in (0, 1):
        imported(world, file_of(world, world.of("test"), seed=seed))
        assert report.main(asked) == 0
        with session.transaction(world.context.engine) as db:
            texts.append({row.image_id: row.text for row in db.query(Report).order_by(Report.id.desc()).limit(4)})
    assert set(texts[0]) == set(texts[1]) and texts[0] != texts[1]
    assert all("No heatmap tells where its evidence lies" in text for text in texts[0].values())


def test_it_is_compared_with_a_classifier_of_ours(
    world: World, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = world.add_predict(world.add_train())
    theirs = imported(world, file_of(world, world.of("test")))
    capsys.readouterr()
    assert compare.main([str(ours.id), str(theirs.id), "--json", *FEW, *job_options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 50 and told["auc"]["second"] is not None


def test_what_asks_the_classifier_itself_says_that_it_is_not_here(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_train()
    run = imported(world, file_of(world, world.of("test")))
    assert evaluate.main([*world.options, *FEW]) == 0
    assert export.main(world.options) == 0
    said = capsys.readouterr().out
    assert f"skipped model card: the predictions of DenseNet-121 (predict run {run.id}) were imported" in said
    assert (world.exports / "roc_curve.png").exists()


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--threshold", "2"], 2, "--threshold: '2' is not a number from 0 to 1"),
        (["--classifier", " "], 2, "--classifier: a name must have 1 to 60 printable characters"),
        (["--classifier", "x" * 61], 2, "a name must have 1 to 60 printable characters"),
        (["--classifier", "Ensemble"], 2, "'Ensemble' is the name of a recipe; choose another name with --classifier"),
        (["--split", "val"], 1, "has no images in split 'val'; choose another with --split"),
        (
            ["--split", "train"],
            2,
            "has no row for an image of split 'train' of dataset 'drawn', whose paths look like ",
        ),
    ],
)
def test_bad_input_is_one_line(
    world: World, capsys: pytest.CaptureFixture[str], options: list[str], code: int, expected: str
) -> None:
    file = file_of(world, world.of("test"))
    asked = [str(file), *(["--classifier", "x"] if "--classifier" not in options else []), *options, *world.options]
    try:
        assert import_predictions.main(asked) == code
    except SystemExit as ended:
        assert ended.code == code
    assert expected in capsys.readouterr().err


def test_an_evaluation_doubts_predictions_of_a_part_of_images_without_a_split(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(world.context.engine) as db:
        db.execute(update(Image).values(split=None))
        tallies.dataset(db, world.dataset.id)
        images = list(db.scalars(select(Image).order_by(Image.id)))
    run = imported(world, file_of(world, images[::2]))
    assert evaluate.main([*world.options, *FEW]) == 0
    said = f"only {len(images[::2])} of {len(images)} labelled images without a split have a prediction of run {run.id}"
    assert said in capsys.readouterr().out


def test_a_path_that_was_marked_as_no_formula_is_found_again(world: World) -> None:
    images = world.of("test")
    with session.transaction(world.context.engine) as db:
        db.get_one(Image, images[0].id).path = "-scan/=1.png"
    file = file_of(world, images)
    file.write_text(file.read_text().replace(images[0].path, "'-scan/=1.png"))
    run = imported(world, file)
    with session.transaction(world.context.engine) as db:
        assert images[0].id in {
            row.image_id for row in db.scalars(select(Prediction).where(Prediction.run_id == run.id))
        }
