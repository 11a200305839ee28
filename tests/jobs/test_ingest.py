"""The ingest job, on both databases: what it stores and skips, and that it can be interrupted and repeated."""

import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom.data import get_testdata_file
from sqlalchemy import func, select

from db import session, tallies
from db.models import Dataset, Image, Prediction, Run, SkippedFile
from db.queries import attributes, cases, datasets, leakage
from db.queries.cases import Question
from engine.datasets import curation
from engine.datasets.phantoms import write_phantoms
from engine.imaging.images import read_bytes
from jobs import ingest
from jobs.command import Context
from jobs.reporting.references import references_of
from jobs.run import ActiveRun, Work

REPOSITORY = Path(__file__).parents[2]


def draw(path: Path, seed: int, *, format: str | None = None) -> Path:
    """A small noise image; the seed determines its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)).save(path, format)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images in the Kaggle layout, two of one patient."""
    root = tmp_path / "data"
    names = ["train/NORMAL/IM-0001-0001.png", "train/NORMAL/IM-0002-0001.png", "test/NORMAL/IM-0003-0001.png",
             "train/PNEUMONIA/person1_bacteria_1.png", "train/PNEUMONIA/person1_bacteria_2.png",
             "train/PNEUMONIA/person1_virus_3.png", "test/PNEUMONIA/person2_virus_4.png",
             "val/PNEUMONIA/person3_virus_5.png"]  # fmt: skip
    for seed, name in enumerate(names):
        draw(root / name, seed)
    return root


@pytest.fixture
def run(context: Context, job_options: list[str]) -> Callable[..., int]:
    """The job on this test's database."""
    return lambda *argv: ingest.main([*map(str, argv), *job_options])


def images(context: Context) -> dict[str, Image]:
    with session.transaction(context.engine) as db:
        return {image.path: image for image in db.scalars(select(Image))}


def skipped(context: Context, run_id: int) -> dict[str, SkippedFile]:
    with session.transaction(context.engine) as db:
        return {row.path: row for row in db.scalars(select(SkippedFile).where(SkippedFile.run_id == run_id))}


def stored_runs(context: Context) -> list[Run]:
    with session.transaction(context.engine) as db:
        return list(db.scalars(select(Run).order_by(Run.id)))


def test_a_kaggle_folder_becomes_images_patients_and_thumbnails(
    folder: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder) == 0
    rows = images(context)
    assert len(rows) == 8
    bacterial = rows["train/PNEUMONIA/person1_bacteria_1.png"]
    assert (bacterial.split, bacterial.label, bacterial.cause) == ("train", 1, "bacterial")
    assert (bacterial.patient_key, bacterial.width, bacterial.height) == ("bacterial-1", 40, 40)
    assert rows["train/PNEUMONIA/person1_bacteria_2.png"].patient_key == "bacterial-1"
    assert rows["train/PNEUMONIA/person1_virus_3.png"].patient_key == "viral-1"
    for row in rows.values():
        thumbnail = context.artifacts / "thumbnails" / row.sha256[:2] / f"{row.sha256}.webp"
        with Picture.open(thumbnail) as picture:
            assert (picture.format, picture.size) == ("WEBP", (40, 40))
    with session.transaction(context.engine) as db:
        dataset = datasets.find(db, "data")
        assert dataset is not None and (dataset.root, dataset.synthetic) == (str(folder), False)
    (done,) = stored_runs(context)
    assert (done.status, done.done, done.total, done.dataset_id) == ("finished", 8, 8, dataset.id)
    assert "added 8 images to dataset 'data'" in capsys.readouterr().out


def test_every_file_that_cannot_be_used_is_listed_with_its_reason_and_the_rest_goes_on(
    folder: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    good = (folder / "train/NORMAL/IM-0001-0001.png").read_bytes()
    lung = folder / "train/PNEUMONIA"
    (lung / "empty.png").write_bytes(b"")
    (lung / "words.png").write_bytes(b"not a picture at all")
    (lung / "cut.png").write_bytes(good[:900])
    (lung / "broken.png").write_bytes(good.replace(b"IHDR", b"IHDX"))
    Picture.new("1", (9000, 9000)).save(lung / "huge.png")
    draw(folder / "train/NORMAL/person9_virus_1.png", 90)
    draw(folder / "train/NORMAL/twice.png", 91)
    draw(lung / "twice.png", 91)
    draw(folder / "val/PNEUMONIA/leak.png", 6)  # the bytes of test/PNEUMONIA/person2_virus_4.png
    draw(lung / "same.png", 3)
    draw(lung / "jpeg.png", 92, format="JPEG")  # a wrong extension is no reason to skip it
    (folder / "notes.txt").write_text("notes")
    (folder / "train/NORMAL/.DS_Store").write_bytes(b"x")
    assert run(folder) == 0
    rows = skipped(context, 1)
    assert {path.rpartition("/")[2]: row.reason for path, row in rows.items() if "twice" not in path} == {
        "empty.png": "empty", "words.png": "not-an-image", "cut.png": "truncated", "broken.png": "broken",
        "huge.png": "too-large", "person9_virus_1.png": "mislabelled", "leak.png": "duplicate",
        "same.png": "duplicate", "notes.txt": "not-an-image",
    }  # fmt: skip
    assert Counter(row.reason for path, row in rows.items() if "twice" in path) == {"mislabelled": 2}
    stored = images(context)
    assert len(stored) == 9 and "train/PNEUMONIA/jpeg.png" in stored
    leak, same = rows["val/PNEUMONIA/leak.png"], rows["train/PNEUMONIA/same.png"]
    kept = stored["test/PNEUMONIA/person2_virus_4.png"]
    assert leak.image_id == kept.id and "leak between test and val" in leak.detail and kept.file_count == 1
    counted = stored["train/PNEUMONIA/person1_bacteria_1.png"]
    assert same.image_id == counted.id and counted.file_count == 2
    printed = capsys.readouterr().out
    assert "skipped, mislabelled: 3" in printed and "under run 1" in printed
    assert (stored_runs(context)[0].summary or {})["skipped"]["duplicate"] == 2


def test_a_second_run_is_quick_and_adds_nothing_and_a_changed_folder_adds_only_what_is_new(
    folder: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder) == 0
    before = {path: (row.id, row.sha256) for path, row in images(context).items()}
    capsys.readouterr()
    assert run(folder) == 0
    assert capsys.readouterr().out == "ingest: already done as run 1\n"
    draw(folder / "train/NORMAL/new.png", 50)
    assert run(folder) == 0
    assert "added 1 images" in capsys.readouterr().out
    after = {path: (row.id, row.sha256) for path, row in images(context).items()}
    assert before.items() <= after.items() and len(after) == 9
    os.utime(folder / "train/NORMAL/new.png", ns=(1, 1))
    assert run(folder) == 0
    assert {path: (row.id, row.sha256) for path, row in images(context).items()} == after
    assert [row.status for row in stored_runs(context)] == ["finished"] * 3


def test_the_dataset_that_was_ingested_last_is_the_default_and_is_named_where_there_are_several(
    folder: Path, tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "other" / "a.png", 70)
    assert run(folder) == 0
    assert context.dataset(None).name == "data" and "note: " not in capsys.readouterr().err
    assert run(tmp_path / "other") == 0
    with session.transaction(context.engine) as db:
        db.add(Dataset(name="never ingested", root="/", synthetic=False))
    for latest, others in ((tmp_path / "other", ["data"]), (folder, ["other"])):
        assert run(latest) == 0
        assert context.dataset(None).name == latest.name
        assert f"note: using dataset '{latest.name}', the latest" in capsys.readouterr().err
        with session.reading(context.engine) as db:
            assert [one.name for one in datasets.every(db)] == [latest.name, *others, "never ingested"]


def test_reports_of_copies_reach_their_image_and_the_sheet_of_reports_is_no_skipped_file(
    folder: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(folder / "val/PNEUMONIA/copy.png", 6)  # the bytes of test/PNEUMONIA/person2_virus_4.png
    (folder / "reports.csv").write_text("path,report\nval/PNEUMONIA/copy.png,Opacity.\ngone.png,Clear.\n")
    assert run(folder) == 0
    assert set(skipped(context, 1)) == {"val/PNEUMONIA/copy.png"}
    found = references_of(context, context.dataset("data"))
    assert found == {"test/PNEUMONIA/person2_virus_4.png": "Opacity."}
    assert "1 of the reports in reports.csv match no image of dataset 'data': gone.png" in capsys.readouterr().out


def test_a_file_that_could_not_be_read_is_tried_again(
    folder: Path, context: Context, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = folder / "train/NORMAL/IM-0001-0001.png"

    def refused(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read_bytes(path)

    monkeypatch.setattr("engine.imaging.images.read_bytes", refused)
    assert run(folder) == run(folder) == 0
    assert len(images(context)) == 7
    monkeypatch.undo()
    assert run(folder) == run(folder) == 0
    assert len(images(context)) == 8
    assert ["unreadable" in (row.summary or {})["skipped"] for row in stored_runs(context)] == [True, True, False]


def test_a_file_that_moves_to_another_class_and_back_is_followed_both_times(
    folder: Path, context: Context, run: Callable[..., int]
) -> None:
    draw(folder / "train/NORMAL/x.png", 60)
    for label, source, target in ((0, None, None), (1, "NORMAL", "PNEUMONIA"), (0, "PNEUMONIA", "NORMAL")):
        if source:
            (folder / f"train/{source}/x.png").rename(folder / f"train/{target}/x.png")  # keeps its time
        assert run(folder) == 0
        (row,) = [row for path, row in images(context).items() if path.endswith("/x.png")]
        assert row.label == label
    assert len(images(context)) == 9


def test_images_that_left_the_folder_stay_until_they_are_pruned(
    folder: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder) == 0
    gone = images(context)["train/NORMAL/IM-0001-0001.png"]
    with session.transaction(context.engine) as db:
        db.add(Prediction(run_id=1, image_id=gone.id, logit=0.0, probability=0.5))
    (folder / gone.path).unlink()
    assert run(folder) == 0
    assert "warning: 1 images of earlier ingests" in capsys.readouterr().out
    assert len(images(context)) == 8
    assert run(folder, "--prune") == 0
    assert "1 that left the folder were forgotten, with all that belonged to them" in capsys.readouterr().out
    assert len(images(context)) == 7
    with session.transaction(context.engine) as db:
        assert db.scalar(select(func.count()).select_from(Prediction)) == 0
    capsys.readouterr()
    assert run(folder) == 0
    assert "already done as run 3" in capsys.readouterr().out


def test_of_two_folders_that_are_ingested_under_one_name_at_once_one_is_refused(
    folder: Path, context: Context, run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = tmp_path / "other"
    for seed in range(3):
        draw(other / f"train/NORMAL/{seed}.png", 100 + seed)
    slow = curation.curate

    def curate(*args: object, **options: object) -> object:
        monkeypatch.setattr(ingest, "curate", slow)
        assert run(other, "--name", "X") == 0  # it ends while the first one still works
        return slow(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest, "curate", curate)
    assert run(folder, "--name", "X") == 2
    assert f"dataset 'X' is already folder {other}; give {folder} another name with --name" in capsys.readouterr().err
    assert len(images(context)) == 3


def test_thumbnails_that_were_deleted_are_made_again(folder: Path, context: Context, run: Callable[..., int]) -> None:
    assert run(folder) == 0
    shutil.rmtree(context.artifacts / "thumbnails")
    assert run(folder) == 0
    assert len(list(context.artifacts.rglob("*.webp"))) == 8
    assert len(images(context)) == 8


def test_dicom_is_stored_without_a_trace_of_the_patient(
    tmp_path: Path, context: Context, run: Callable[..., int], job_options: list[str]
) -> None:
    from pydicom import dcmread

    root = tmp_path / "films"
    root.mkdir()
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PatientName, dataset.PatientBirthDate = "Quimby^Zelda", "19991231"
    for number, patient in enumerate(["MRN-77123", "MRN-77123", "MRN-88456"]):
        dataset.PatientID = patient
        dataset.InstanceNumber = number
        dataset.save_as(root / f"{number}.dcm")
    shutil.copy(str(get_testdata_file("JPEG-LL.dcm")), root / "lossless.dcm")
    assert run(root) == 0
    rows = images(context)
    keys = [rows[f"{number}.dcm"].patient_key for number in range(3)]
    assert keys[0] == keys[1] != keys[2]
    assert "JPEG Lossless" in skipped(context, 1)["lossless.dcm"].detail
    everything = "".join(str(vars(row)) for row in [*rows.values(), *stored_runs(context)])
    for path in context.artifacts.rglob("*"):
        everything += str(path) + (path.read_bytes().decode("latin-1") if path.is_file() else "")
    for secret in ("Quimby", "Zelda", "MRN-77123", "77123", "19991231"):
        assert secret not in everything
    dataset.PatientID, dataset.InstanceNumber = "MRN-88456", 9
    dataset.save_as(root / "later.dcm")
    assert run(root) == 0
    assert images(context)["later.dcm"].patient_key == keys[2]


def test_a_label_sheet_is_stored_and_its_absent_files_are_listed(
    tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "flat"
    for number in range(4):
        draw(root / f"{number}.png", number)
    (root / "labels.csv").write_text(
        "file,label,split,patient,cause\n0.png,NORMAL,train,Ann,\n1.png,1,test,Bob,viral\n2.png,,,Bob,\ngone.png,1,,,\n"
    )
    assert run(root, "--name", "mine") == 0
    rows = images(context)
    assert {path: (row.split, row.label, row.cause) for path, row in rows.items()} == {
        "0.png": ("train", 0, None), "1.png": ("test", 1, "viral"), "2.png": (None, None, None),
    }  # fmt: skip
    assert rows["1.png"].patient_key == rows["2.png"].patient_key != rows["0.png"].patient_key
    assert not any(name in row.patient_key for row in rows.values() for name in ("Ann", "Bob"))
    assert {path: row.reason for path, row in skipped(context, 1).items()} == {
        "3.png": "not-listed", "gone.png": "absent",
    }  # fmt: skip


def test_patients_whose_films_stand_in_test_and_elsewhere_are_counted_and_warned_of(
    tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mine"
    for number in range(6):
        draw(root / f"{number}.png", number)
    rows = ("0.png,0,train,Ann", "1.png,1,test,Ann", "2.png,0,test,Bob", "3.png,1,train,Cem", "4.png,1,val,Cem")
    for patient, told in (("Dee", "1 patient has"), ("Bob", "2 patients have")):
        (root / "labels.csv").write_text("\n".join(("file,label,split,patient", *rows, f"5.png,0,,{patient}\n")))
        assert run(root) == 0
        printed = capsys.readouterr().out
        assert printed.count(f"warning: {told} images both in and outside the test split; a classifier ") == 1
    assert context.dataset("mine").patients_across == 2
    assert (stored_runs(context)[-1].summary or {})["patients_across"] == 2


def test_an_ingest_tells_how_many_labels_changed(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "mine"
    for number in range(3):
        draw(root / f"{number}.png", number)
    for labels, told in (("0.png,0\n1.png,\n", False), ("0.png,1\n1.png,1\n2.png,\n", True)):
        (root / "labels.csv").write_text(f"file,label\n{labels}")
        assert run(root) == 0
        assert ("labels that changed since the last ingest: 2\n" in capsys.readouterr().out) is told


def test_a_corrected_patient_is_known_to_what_was_trained_before(
    tmp_path: Path, context: Context, run: Callable[..., int]
) -> None:
    root = tmp_path / "mine"
    for number in range(2):
        draw(root / f"{number}.png", number)
    (root / "labels.csv").write_text("file,label,split\n0.png,0,train\n1.png,0,test\n")
    assert run(root) == 0
    film, judged = (images(context)[name].id for name in ("0.png", "1.png"))
    training = ActiveRun.claim(context, Work(kind="train", config={}, dataset_id=1))
    with training:
        training.predictions([{"run_id": training.id, "image_id": film, "logit": 0.0, "probability": 0.5}], {})
    with session.reading(context.engine) as db:
        assert leakage.unseen_of(db, 1, training.id) == {judged}
    (root / "labels.csv").write_text("file,label,split,patient\n0.png,0,train,Ann\n1.png,0,test,Ann\n")
    assert run(root) == 0
    with session.reading(context.engine) as db:
        assert leakage.unseen_of(db, 1, training.id) == set()


@pytest.mark.parametrize("first", ["ingest", "predict"])
def test_labels_corrected_while_predictions_are_stored_are_what_those_are_judged_by(
    tmp_path: Path, context: Context, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    root = tmp_path / "mine"
    files = [draw(root / f"{number}.png", number).name for number in range(4)]
    (root / "labels.csv").write_text("file,label\n" + "".join(f"{name},0\n" for name in files))
    assert run(root) == 0
    (root / "labels.csv").write_text("file,label\n" + "".join(f"{name},1\n" for name in files))
    ids = [image.id for image in images(context).values()]
    predicting = ActiveRun.claim(context, Work(kind="predict", config={}, dataset_id=1))
    rows = [{"run_id": predicting.id, "image_id": number, "logit": 0.0, "probability": 0.9} for number in ids]

    def predict() -> None:
        with predicting:
            predicting.predictions(rows, {"threshold": 0.5})

    jobs = {"ingest": lambda: run(root), "predict": predict}
    counts = {"ingest": "dataset", "predict": "predictions"}
    then = threading.Thread(target=jobs[({"ingest", "predict"} - {first}).pop()])
    counted = getattr(tallies, counts[first])

    def count(*args: object) -> None:
        """Let the other job run between the writes and the commit; it waits, or finishes within this time."""
        counted(*args)
        if threading.current_thread() is not then and not then.ident:
            then.start()
            then.join(timeout=3)

    monkeypatch.setattr(tallies, counts[first], count)
    jobs[first]()
    then.join()
    question = Question(1, run_id=predicting.id, threshold=0.5, own_threshold=0.5)
    with session.transaction(context.engine) as db:
        assert cases.confusion(db, question) == {"TP": 4, "FP": 0, "TN": 0, "FN": 0}
        assert db.scalars(select(Prediction.error)).all() == pytest.approx([0.1] * 4)


def test_phantoms_are_synthetic_even_when_nobody_says_so(
    tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantoms(tmp_path / "p", seed=1, counts={"train": (2, 2)})
    assert run(tmp_path / "p") == 0
    with session.transaction(context.engine) as db:
        assert db.scalars(select(Dataset)).one().synthetic
    printed = capsys.readouterr().out
    assert "SYNTHETIC dataset 'p'" in printed
    assert "warning: there is no test split" in printed


@pytest.mark.parametrize(("others", "warned"), [(17, True), (16, False), (27, False)])
def test_a_patient_of_both_labels_with_a_large_share_of_the_images_is_warned_of(
    tmp_path: Path, run: Callable[..., int], others: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{draw(tmp_path / 'mine' / f'{number}.png', number).name},{number % 2},"
            f"{'ANN' if number < 3 else number}" for number in range(3 + others)]  # fmt: skip
    (tmp_path / "mine" / "labels.csv").write_text("\n".join(["file,label,patient", *rows]))
    assert run(tmp_path / "mine") == 0
    warning = (
        f"warning: 3 of the {3 + others} images belong to one patient and have both labels; if they are of several "
        "people"
    )
    assert (warning in (printed := capsys.readouterr().out), "column 'patient' of labels.csv" in printed) == (
        warned,
    ) * 2


@pytest.mark.parametrize("labels", [["NORMAL"], []])
def test_one_class_or_no_label_is_taken_with_a_warning(
    tmp_path: Path, run: Callable[..., int], labels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path.joinpath("data", *labels, "a.png"), 1)
    assert run(tmp_path / "data") == 0
    expected = (
        "every label is normal: training needs" if labels else "no image has a label: .*; labels come from labels"
    )
    assert re.search(f"warning: {expected}", capsys.readouterr().out)


def one_line_of(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_folders_without_a_usable_image_are_one_clear_line_and_leave_no_dataset(
    tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "gone") == 1
    assert "there is nothing; check the path" in one_line_of(capsys)
    (tmp_path / "bad").mkdir()
    assert run(tmp_path / "bad") == 1
    assert "is empty" in one_line_of(capsys)
    assert stored_runs(context) == []
    (tmp_path / "bad" / "a.png").write_text("words")
    (tmp_path / "bad" / "b.png").write_text("")
    for _ in range(2):
        assert run(tmp_path / "bad") == 1
        why = (
            "for example a.png: neither an image nor DICOM by its content; b.png: the file has no bytes; the Runs page"
        )
        assert f"holds no usable image (1 not-an-image, 1 empty), {why}" in one_line_of(capsys)
    (failed,) = stored_runs(context)
    assert failed.status == "failed" and set(skipped(context, failed.id)) == {"a.png", "b.png"}
    assert images(context) == {}
    with session.transaction(context.engine) as db:
        assert db.scalars(select(Dataset)).all() == []


def test_a_name_that_is_taken_is_wrong_use_unless_its_folder_was_moved(
    folder: Path, tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--name", "set") == 0
    draw(tmp_path / "other" / "a.png", 70)
    assert run(tmp_path / "other", "--name", "set") == 2
    assert "give" in (line := one_line_of(capsys)) and "another name with --name" in line
    assert run(folder, "--name", "set", "--synthetic") == 2
    assert "dataset 'set' was first ingested as real" in one_line_of(capsys)
    for unusable in ("x" * 201, "  "):
        assert run(folder, "--name", unusable) == 2
        assert "must have 1 to 200 printable characters" in one_line_of(capsys)
    assert run(folder, "--workers", "0") == 2
    before = {path: row.id for path, row in images(context).items()}
    folder.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", "--name", "set") == 0
    assert {path: row.id for path, row in images(context).items()} == before
    assert context.dataset("set").root == str(tmp_path / "moved")


def test_a_moved_folder_is_told_of_with_the_command_that_keeps_its_dataset(
    folder: Path, tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--name", "my set") == 0
    context.dataset("my set")
    way_out = f"folder {folder} of dataset 'my set' is missing; if it was moved, run: python -m jobs ingest NEWFOLDER"
    assert way_out not in capsys.readouterr().err
    moved = folder.rename(tmp_path / "moved")
    context.dataset("my set")
    assert f"warning: {way_out} --name 'my set'" in capsys.readouterr().err
    assert run(moved) == 0
    assert f"note: another dataset has these images: {way_out}" in capsys.readouterr().err
    draw(tmp_path / "third" / "a.png", 70)
    assert run(tmp_path / "third") == 0
    assert way_out not in capsys.readouterr().err
    assert run(moved, "--name", "my set") == 0
    context.dataset("my set")
    assert way_out not in capsys.readouterr().err


def test_artifacts_inside_the_images_folder_are_refused(
    folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest.main([str(folder), "--database", database_url, "--artifacts", str(folder / "artifacts")]) == 2
    assert "contains the artifact folder" in one_line_of(capsys)


def test_a_full_disk_is_one_line_and_the_next_try_goes_on(
    folder: Path,
    context: Context,
    run: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = Path.write_bytes
    written: list[Path] = []

    def fill_up(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert run(folder, "--workers", "1") == 1
    assert "no space left on the disk" in one_line_of(capsys)
    assert images(context) == {}
    assert not [
        path for path in (context.artifacts / "thumbnails").rglob("*") if path.is_file() and path.suffix != ".webp"
    ]
    monkeypatch.undo()
    assert run(folder) == 0
    assert len(images(context)) == 8
    (row,) = stored_runs(context)
    assert (row.status, row.error) == ("finished", None)


def start(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "jobs", "ingest", str(folder), *options]
    return subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("killer", [signal.SIGKILL, signal.SIGTERM])
def test_killed_midway_and_run_again_it_ends_right(
    tmp_path: Path, context: Context, run: Callable[..., int], job_options: list[str], killer: signal.Signals
) -> None:
    folder = tmp_path / "many"
    stream = io.BytesIO()
    Picture.fromarray(np.random.default_rng(0).integers(0, 256, (500, 500), dtype=np.uint8)).save(stream, "PNG")
    (folder / "NORMAL").mkdir(parents=True)
    for number in range(150):
        (folder / "NORMAL" / f"{number:03d}.png").write_bytes(stream.getvalue() + number.to_bytes(2, "big"))
    with start(folder, job_options) as process:
        deadline = time.monotonic() + 60
        while len(list(context.artifacts.rglob("*.webp"))) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(killer)
        _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if killer == signal.SIGTERM else -9), said.decode()
    assert images(context) == {}
    made = {path: path.stat().st_mtime_ns for path in context.artifacts.rglob("[!.]*.webp")}
    assert 10 <= len(made) < 150
    assert run(folder) == 0
    assert len(images(context)) == 150
    (row,) = stored_runs(context)
    assert (row.status, row.done) == ("finished", 150)
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in made.items())
    assert len(list((context.artifacts / "thumbnails").rglob("[!.]*.webp"))) == 150


def test_the_real_set_gives_the_official_counts(
    real_data: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert run(real_data) == 0
    seconds = time.monotonic() - began
    with session.transaction(context.engine) as db:
        dataset = datasets.find(db, "chest_xray")
        assert dataset is not None
        counts = {(row.split, row.label): (row.images, row.files) for row in datasets.counts(db, dataset.id)}
        across = db.execute(
            select(Image.patient_key).group_by(Image.patient_key).having(func.count(Image.split.distinct()) > 1)
        )
        assert across.all() == []
    assert counts == {
        ("train", 0): (1340, 1341), ("train", 1): (3850, 3875), ("val", 0): (8, 8), ("val", 1): (8, 8),
        ("test", 0): (231, 234), ("test", 1): (387, 390),
    }  # fmt: skip
    reasons = Counter(row.reason for row in skipped(context, 1).values())
    assert reasons == {"duplicate": 32, "not-an-image": 1}  # 30 groups, two of them of three files; PROVENANCE.md
    assert seconds < 60
    capsys.readouterr()
    assert run(real_data) == 0
    assert capsys.readouterr().out == "ingest: already done as run 1\n"


def attributes_by_path(context: Context) -> dict[str, dict[str, str]]:
    with session.transaction(context.engine) as db:
        (dataset,) = datasets.every(db)
        known = attributes.of_dataset(db, dataset.id)
        assert dataset.attributes == attributes.counts(db, dataset.id)
        return {path: known.get(number, {}) for path, number in db.execute(select(Image.path, Image.id)).all()}


def test_attributes_come_from_the_sheet_and_the_header_and_follow_what_is_corrected(
    tmp_path: Path, context: Context, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "sheet"
    draw(root / "a.png", 1)
    draw(root / "b.png", 2)
    shutil.copy(str(get_testdata_file("CT_small.dcm")), root / "c.dcm")  # sex O, age 000Y
    sheet = root / "labels.csv"
    sheet.write_text("file,label,Sex,ward\na.png,1,f,north\nb.png,0,,south\nc.dcm,,male,\n")
    assert run(root) == 0
    told = attributes_by_path(context)
    assert (told["a.png"], told["b.png"]) == ({"sex": "female"}, {})
    assert told["c.dcm"]["sex"] == "male" and told["c.dcm"]["age"] == "under 2" and "device" in told["c.dcm"]
    assert "sex: female 1, male 1" in capsys.readouterr().out
    assert run(root) == 0
    assert "already done" in capsys.readouterr().out
    assert run(root, "--attributes", "Ward") == 0
    assert attributes_by_path(context)["b.png"] == {"ward": "south"}
    sheet.write_text("file,label,sex\na.png,1,male\nb.png,0,\nc.dcm,,\n")
    assert run(root) == 0
    assert attributes_by_path(context)["a.png"] == {"sex": "male"}
    assert attributes_by_path(context)["b.png"] == {}


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["--attributes", "ward"], "labels.csv lacks column ward; found: file, label"),
        (["--attributes", "label"], "'label' cannot be an attribute"),
        (["--attributes", "a,,b"], "'' cannot be an attribute"),
    ],
)
def test_an_attribute_that_cannot_be_is_named(
    asked: list[str], line: str, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "sheet" / "a.png", 1)
    (tmp_path / "sheet" / "labels.csv").write_text("file,label\na.png,1\n")
    assert run(tmp_path / "sheet", *asked) in (1, 2)
    assert line in capsys.readouterr().err


def test_attributes_without_a_sheet_and_columns_that_name_patients_are_refused(
    folder: Path, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "--attributes", "ward") == 1
    assert "attributes are columns of labels.csv, which folder" in capsys.readouterr().err
    rows = [f"{number}.png,1,person {number}" for number in range(51)]
    for number in range(51):
        draw(tmp_path / "many" / f"{number}.png", number)
    (tmp_path / "many" / "labels.csv").write_text("\n".join(["file,label,site", *rows]))
    assert run(tmp_path / "many") == 1
    assert "column 'site' has 51 different values, an attribute at most 50" in capsys.readouterr().err


def test_a_folder_that_is_reached_by_another_name_is_the_same(
    folder: Path, tmp_path: Path, context: Context, run: Callable[..., int]
) -> None:
    assert run(folder, "--name", "set") == 0
    with session.transaction(context.engine) as db:
        (tmp_path / "link").symlink_to(folder)
        datasets.every(db)[0].root = str(tmp_path / "link")  # as stored before links were followed
    assert run(folder, "--name", "set") == 0
