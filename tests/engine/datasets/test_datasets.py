"""Folders: layouts, label sheets and names become records; of identical files the right one is kept."""

import errno
import os
import unicodedata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.datasets.curation import Inspected, curate, inspect
from engine.datasets.folders import Record, Skipped, list_folder, patient_of
from engine.errors import InputError


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())


def found(root: Path) -> dict[str, tuple[str | None, int | None]]:
    return {record.path: (record.split, record.label) for record in list_folder(root).records}


def reasons(root: Path) -> dict[str, str]:
    return {file.path: file.reason for file in list_folder(root).skipped}


@pytest.mark.parametrize(
    ("name", "key", "cause"),
    [
        ("person100_bacteria_475.jpeg", "bacterial-100", "bacterial"),
        ("person100_virus_184.jpeg", "viral-100", "viral"),
        ("train/PNEUMONIA/person1_virus_6_2.png", "viral-1", "viral"),
        ("IM-0115-0001.jpeg", "IM-0115", None),
        ("NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", None),
        ("NORMAL2-IM-0173-0001-0002.jpeg", "NORMAL2-IM-0173", None),
        ("person100.jpeg", None, None),
        ("Smith_John.dcm", None, None),
    ],
)
def test_kaggle_names_give_patient_and_cause(name: str, key: str | None, cause: str | None) -> None:
    assert patient_of(name) == (key, cause)


@pytest.mark.parametrize("base", ["", "chest_xray/"])
def test_the_kaggle_layout_is_found_in_any_case_and_one_level_down(tmp_path: Path, base: str) -> None:
    touch(tmp_path, f"{base}train/NORMAL/a.jpeg", f"{base}TEST/Pneumonia/deeper/b.jpeg", f"{base}val/normal/c.txt")
    assert list_folder(tmp_path).layout == "kaggle"
    assert found(tmp_path) == {
        f"{base}train/NORMAL/a.jpeg": ("train", 0),
        f"{base}TEST/Pneumonia/deeper/b.jpeg": ("test", 1),
        f"{base}val/normal/c.txt": ("val", 0),
    }


def test_a_second_copy_of_the_set_inside_the_first_is_left_out_and_said(tmp_path: Path) -> None:
    touch(tmp_path, "train/NORMAL/a.jpeg", "chest_xray/train/NORMAL/a.jpeg", "notes.md")
    assert list(found(tmp_path)) == ["train/NORMAL/a.jpeg"]
    assert reasons(tmp_path) == {"chest_xray/train/NORMAL/a.jpeg": "not-listed", "notes.md": "not-an-image"}


def test_two_sets_side_by_side_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "first/train/NORMAL/a.jpeg", "second/train/NORMAL/b.jpeg")
    with pytest.raises(InputError, match=r"several datasets \(first, second\).* rename them train, val and test"):
        list_folder(tmp_path)


def test_class_folders_without_splits_have_labels_only(tmp_path: Path) -> None:
    touch(tmp_path, "NORMAL/a.png", "PNEUMONIA/b.png")
    assert found(tmp_path) == {"NORMAL/a.png": (None, 0), "PNEUMONIA/b.png": (None, 1)}


def test_any_other_folder_is_unlabelled_and_system_files_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.dcm", "b", ".DS_Store", "Thumbs.db", "__MACOSX/train/NORMAL/._a.jpeg", ".git/config")
    listing = list_folder(tmp_path)
    assert (listing.layout, listing.skipped) == ("unlabelled", ())
    assert found(tmp_path) == {"b": (None, None), "x/a.dcm": (None, None)}


def sheet(root: Path, text: str, encoding: str = "utf-8") -> None:
    (root / "labels.csv").write_text(text, encoding=encoding)


def test_a_label_sheet_gives_label_split_cause_and_patient(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "sub/b.png", "c.png", "extra.png", "readme.txt")
    sheet(
        tmp_path,
        "File, LABEL ,split,patient,cause,age\na.png,NORMAL,train,p1,,7\nsub\\b.png,1.0,test,p2,virus,8\n"
        "./c.png,,,,,9\ngone.png,0,,,,\n",
        encoding="utf-8-sig",
    )
    listing = list_folder(tmp_path)
    assert listing.layout == "sheet"
    assert listing.records == (
        Record("a.png", "train", 0, None, None, "p1", (("age", "2 to 11"),)),
        Record("sub/b.png", "test", 1, "viral", None, "p2", (("age", "2 to 11"),)),
        Record("c.png", attributes=(("age", "2 to 11"),)),
    )
    assert reasons(tmp_path) == {"extra.png": "not-listed", "gone.png": "absent", "readme.txt": "not-an-image"}


def test_a_label_sheet_may_be_called_in_capitals_and_hold_empty_rows(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "Labels.CSV").write_text("file,label\r\na.png,1\r\n,\r\n\r\n")
    assert list_folder(tmp_path).records == (Record("a.png", None, 1),)


Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_sheet_names_files_however_their_accents_are_encoded(tmp_path: Path, written: Form, stored: Form) -> None:
    name = unicodedata.normalize(stored, "Müller/Å.png")
    touch(tmp_path, name)
    (tmp_path / unicodedata.normalize(stored, "é.png")).symlink_to("/etc/hostname")
    text = "file,label\nMüller/Å.png,1\né.png,0\n"
    sheet(tmp_path, unicodedata.normalize(written, text))
    assert found(tmp_path) == {name: (None, 1)}
    assert [file.reason for file in list_folder(tmp_path).skipped] == ["link"]


def test_two_files_that_differ_in_the_encoding_of_an_accent_alone_are_told_apart(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "ä.png") for form in ("NFC", "NFD"))
    touch(tmp_path, one, two)
    sheet(tmp_path, f"file,label\n{two},1\n{one},0\n")
    assert found(tmp_path) == {one: (None, 0), two: (None, 1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks column file and label; .* found: nothing"),
        ("file|label\na.png|1\n", "lacks column file and label; .* found: file|label"),
        ("file,split\na.png,train\n", "lacks column label"),
        ("file,label\na.png,maybe\n", "line 2: label 'maybe' is unknown; expected 0, 1"),
        ("file,label,split\na.png,1,dev\n", "line 2: split 'dev' is unknown; expected train, val, test or nothing"),
        ("file,label,cause\na.png,1,fungal\n", "line 2: cause 'fungal' is unknown"),
        ("file,label\na.png,1\na.png,0\n", "line 3: 'a.png' is listed twice with different values"),
        (
            "file,label\n../a.png,1\n",
            "line 2: file '../a.png' is not a path relative to the folder, such as sub/film.png",
        ),
        ("file,label\n/etc/passwd,1\n", "line 2: file '/etc/passwd' is not a path relative to the folder"),
        ("file,label\n,1\n", "line 2: file '' is not a path"),
        ("file,label,sex\na.png,1,x\n", "line 2: sex 'x' is unknown; expected female, male, other or nothing"),
        ("file,label,age\na.png,1,40-59\n", "line 2: age '40-59' is not an age such as 45 or 045Y"),
        ("file,label,site\na.png,1," + 61 * "x" + "\n", "line 2: site 'x+' is not a value of at most 60 printable"),
        ("file,label,label\na.png,1,0\n", "column 'label' appears twice; keep one"),
        ("file,label\nb.png,0\na, c.png,1\n", "line 3: 3 cells for 2 columns; put a cell that contains a comma in"),
        ('file,label\nb.png,0\n"a.png,1\nc.png,1\n', "line 3: cannot be read .*; is a quotation mark left open"),
        ("f\0i\0l\0e\0,\0", "line 1: contains NUL characters, so it is not UTF-8 text; save it as CSV UTF-8"),
    ],
)
def test_a_label_sheet_that_is_not_usable_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.png")
    sheet(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        list_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_label_sheet_in_another_encoding_is_one_clear_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    sheet(tmp_path, "file,label\nä.png,1\n", encoding="latin-1")
    with pytest.raises(InputError, match=r"cannot be read .*; save it as CSV UTF-8"):
        list_folder(tmp_path)


def test_a_label_sheet_that_cannot_be_opened_is_no_matter_of_the_artifact_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.png")
    sheet(tmp_path, "file,label\na.png,1\n")

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # the tests may run as root, who may read all

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(InputError, match=r"labels\.csv cannot be read: Permission denied; check the file and its"):
        list_folder(tmp_path)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_label_sheet_may_stand_between_commas_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    touch(tmp_path, "a.png", "b, c.png")
    rows = [["file", "label", "split"], ["a.png", "1", "test"], ['"b, c.png"', "0"], ["gone.png", "1", "test", ""]]
    sheet(tmp_path, "\r\n".join(mark.join(row) for row in rows))
    assert found(tmp_path) == {"a.png": ("test", 1), "b, c.png": (None, 0)}


def test_missing_and_empty_folders_and_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is nothing"):
        list_folder(tmp_path / "gone")
    with pytest.raises(InputError, match="is empty"):
        list_folder(tmp_path)
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match="there is a file"):
        list_folder(tmp_path / "a.png")


def test_links_out_of_the_folder_and_special_files_are_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root, "real.png")
    touch(outside, "secret.png")
    (root / "inside.png").symlink_to(root / "real.png")
    (root / "out.png").symlink_to(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "dead.png").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.png")
    assert list(found(root)) == ["inside.png", "real.png"]
    assert reasons(root) == {
        "out.png": "link", "folder": "link", "loop": "link", "dead.png": "unreadable", "pipe.png": "not-an-image",
    }  # fmt: skip


def test_a_name_that_is_not_utf8_is_skipped_under_a_printable_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png")).write_bytes(b"x")
    assert list(found(tmp_path)) == ["a.png"]
    assert list(reasons(tmp_path).items()) == [("b\\udcff.png", "unreadable")]


def test_the_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    marks = [list_folder(tmp_path).fingerprint]
    assert list_folder(tmp_path).fingerprint == marks[0]
    (tmp_path / "a.png").write_bytes(b"longer than before")
    marks.append(list_folder(tmp_path).fingerprint)
    os.utime(tmp_path / "b.png", ns=(1, 1))
    marks.append(list_folder(tmp_path).fingerprint)
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    marks.append(list_folder(tmp_path).fingerprint)
    assert len(set(marks)) == 4


def file(
    path: str,
    content: str,
    split: str | None = "train",
    label: int | None = 1,
    *,
    cause: str | None = None,
    patient_key: str | None = None,
    group: str | None = None,
) -> Inspected:
    return Inspected(Record(path, split, label, cause, patient_key), content, 8, 8, group)


def test_copies_of_one_split_and_label_are_counted_and_listed() -> None:
    got = curate([file("b", "x"), file("a", "x"), file("c", "y")], known_keys={})
    assert [(image.path, image.file_count) for image in got.images] == [("a", 2), ("c", 1)]
    assert got.skipped == (Skipped("b", "duplicate", "same bytes as a", duplicate_of="x"),)


def test_of_copies_across_splits_the_test_one_is_kept_and_the_leak_is_said() -> None:
    got = curate([file("a", "x", "train"), file("b", "x", "val"), file("z", "x", "test")], known_keys={})
    assert [(image.path, image.split, image.file_count) for image in got.images] == [("z", "test", 1)]
    assert "leak between test and train: the test copy is kept" in got.skipped[0].detail


def test_equal_bytes_under_both_labels_are_all_skipped() -> None:
    got = curate([file("n", "x", label=0), file("p", "x"), file("q", "x", "test"), file("ok", "y")], known_keys={})
    assert [image.path for image in got.images] == ["ok"]
    assert {(skip.path, skip.reason) for skip in got.skipped} == {(path, "mislabelled") for path in "npq"}


def test_a_normal_label_on_a_file_with_a_cause_is_mislabelled() -> None:
    got = curate([file("person1_virus_2.png", "x", label=0, cause="viral")], known_keys={})
    assert got.images == ()
    assert "NORMAL, but its name or sheet says viral pneumonia" in got.skipped[0].detail


def test_an_unlabelled_copy_takes_the_known_label_and_unknown_labels_have_no_cause() -> None:
    got = curate([file("a", "x", "test", None), file("b", "x", "train", 1), file("c", "y", None, None, cause="viral")],
                 known_keys={})  # fmt: skip
    assert [(image.path, image.label, image.cause) for image in got.images] == [("a", 1, None), ("c", None, None)]


def test_patients_of_a_group_share_a_key_that_says_nothing_and_others_are_alone() -> None:
    files = [file("a", "f" * 64, group="Jane Doe"), file("b", "e" * 64, group="Jane Doe"), file("c", "d" * 64),
             file("d", "c" * 64, patient_key="viral-1")]  # fmt: skip
    keys = {image.path: image.patient_key for image in curate(files, known_keys={}).images}
    assert keys == {
        "a": "patient-eeeeeeeeeeee",
        "b": "patient-eeeeeeeeeeee",
        "c": "patient-dddddddddddd",
        "d": "viral-1",
    }


def test_a_patients_key_stays_when_an_image_is_added_and_is_not_shared_when_the_group_splits() -> None:
    before = {"f" * 64: "patient-ffffffffffff", "e" * 64: "patient-ffffffffffff"}
    added = [file("a", "f" * 64, group="g"), file("b", "e" * 64, group="g"), file("c", "0" * 64, group="g")]
    assert {image.patient_key for image in curate(added, known_keys=before).images} == {"patient-ffffffffffff"}
    apart = [file("a", "f" * 64, group="g"), file("b", "e" * 64, group="h")]
    assert len({image.patient_key for image in curate(apart, known_keys=before).images}) == 2


def test_copies_of_a_film_join_all_whose_film_they_are_said_to_be() -> None:
    files = [
        *(file("ann", "a", group="Ann"), file("bob", "b", group="Bob"), file("cem", "c", group="Cem")),
        *(file("1", "x", group="Ann"), file("2", "x", group="Bob"), file("3", "x", "test")),
        *(file("4", "y"), file("5", "y", group="Cem")),
        *(file("dee", "d", group="Dee"), file("6", "z", label=0, group="Dee"), file("7", "z", group="Cem")),
        *(file("k1", "k", patient_key="viral-1"), file("k2", "l", patient_key="viral-2")),
        *(file("k3", "m", patient_key="viral-2"), file("k4", "m", patient_key="viral-1")),
    ]
    got = curate(files, known_keys={})
    patients: dict[str, set[str]] = {}
    for image in got.images:
        patients.setdefault(image.patient_key, set()).add(image.path)
    assert patients == {
        "patient-a": {"ann", "bob", "3"},
        "patient-c": {"cem", "dee", "4"},
        "viral-1": {"k1", "k2", "k3"},
    }
    assert got == curate(files[::-1], known_keys={})


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vwxyz"), st.sampled_from(["train", "val", "test", None]), st.sampled_from([0, 1, None])
        ),
        max_size=30,
    )
)
def test_every_file_ends_up_once_and_no_content_is_in_two_splits(
    rows: list[tuple[str, str | None, int | None]],
) -> None:
    files = [file(f"{number:02d}", content, split, label) for number, (content, split, label) in enumerate(rows)]
    got = curate(files, known_keys={})
    assert sorted([image.path for image in got.images] + [skip.path for skip in got.skipped]) == [
        f.record.path for f in files
    ]
    assert len({image.sha256 for image in got.images}) == len(got.images)
    assert got == curate(files[::-1], known_keys={})
    for image in got.images:
        same = [f.record for f in files if f.sha256 == image.sha256]
        order = ["test", "val", "train", None]
        assert order.index(image.split) == min(order.index(record.split) for record in same)
        assert {record.label for record in same} != {0, 1}


def test_a_file_is_decoded_once_and_its_thumbnail_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = inspect(tmp_path, Record("a.png"), artifacts=tmp_path / "art", key=b"k")
    assert isinstance(got, Inspected) and (got.width, got.height) == (400, 300)
    thumbnails = list((tmp_path / "art").rglob("*.*"))
    assert [path.name for path in thumbnails] == [f"{got.sha256}.webp"]
    with Image.open(thumbnails[0]) as picture:
        assert picture.size == (256, 192)
    monkeypatch.setattr("engine.imaging.images.decode", lambda *_: pytest.fail("decoded again"))
    assert inspect(tmp_path, Record("a.png"), artifacts=tmp_path / "art", key=b"k") == got


def test_an_empty_thumbnail_left_by_a_crash_is_made_again(tmp_path: Path) -> None:
    Image.new("L", (30, 30)).save(tmp_path / "a.png")
    got = inspect(tmp_path, Record("a.png"), artifacts=tmp_path, key=b"k")
    assert isinstance(got, Inspected)
    thumbnail = tmp_path / "thumbnails" / got.sha256[:2] / f"{got.sha256}.webp"
    thumbnail.write_bytes(b"")
    inspect(tmp_path, Record("a.png"), artifacts=tmp_path, key=b"k")
    assert thumbnail.stat().st_size > 0


def test_a_file_that_vanishes_is_unreadable_but_a_thumbnail_that_cannot_be_written_ends_the_job(tmp_path: Path) -> None:
    got = inspect(tmp_path, Record("gone.png"), artifacts=tmp_path, key=b"k")
    assert got == Skipped("gone.png", "unreadable", "No such file or directory")
    Image.new("L", (30, 30)).save(tmp_path / "a.png")
    (tmp_path / "thumbnails").write_bytes(b"a file where a folder must be")
    with pytest.raises(OSError):
        inspect(tmp_path, Record("a.png"), artifacts=tmp_path, key=b"k")
    assert not list(tmp_path.rglob("*.webp"))
