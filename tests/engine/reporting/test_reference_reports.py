"""Reference reports: rows of reports.csv are matched to their images, and unmatched rows are listed."""

import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from engine.datasets import path_sheets
from engine.datasets.path_sheets import Sheet
from engine.errors import InputError
from engine.reporting.reference_reports import read


def sheet(root: Path, text: str) -> None:
    (root / "reports.csv").write_text(text, encoding="utf-8")


Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_row_names_its_image_as_a_label_sheet_may(tmp_path: Path, written: Form, stored: Form) -> None:
    paths = [unicodedata.normalize(stored, path) for path in ("test/Röntgen.png", "test/b.png", "c.png")]
    text = "path,report\ntest/Röntgen.png,Clear.\ntest\\b.png,Opacity.\n./c.png,Normal.\n,\n"
    sheet(tmp_path, unicodedata.normalize(written, text))
    assert read(tmp_path, paths) == Sheet(dict(zip(paths, ("Clear.", "Opacity.", "Normal."), strict=True)))


def test_files_that_differ_in_the_encoding_of_an_accent_alone_keep_their_own_reports(tmp_path: Path) -> None:
    one, two = (unicodedata.normalize(form, "ä.png") for form in ("NFC", "NFD"))
    sheet(tmp_path, f"path,report\n{two},Clear.\n{one},Opacity.\n")
    assert read(tmp_path, [one, two]).values == {one: "Opacity.", two: "Clear."}


def test_reports_on_no_image_are_told_and_empty_ones_are_none(tmp_path: Path) -> None:
    sheet(tmp_path, "path,report\nb.png,Clear.\na.png,\ngone.png,Opacity.\nlost.png,\n")
    assert read(tmp_path, ["a.png", "b.png"]) == Sheet({"b.png": "Clear."}, ("gone.png",))
    (tmp_path / "reports.csv").unlink()
    assert read(tmp_path, ["a.png"]) == Sheet()


def test_a_report_on_a_copy_is_its_images(tmp_path: Path) -> None:
    sheet(tmp_path, "path,report\nval\\copy.png,Clear.\nb.png,\n")
    assert read(tmp_path, ["a.png", "b.png"], {"val/copy.png": "a.png"}) == Sheet({"a.png": "Clear."})
    sheet(tmp_path, "path,report\nval/copy.png,Clear.\na.png,Opacity.\n")
    assert read(tmp_path, ["a.png"], {"val/copy.png": "a.png"}) == Sheet({"a.png": "Opacity."})


def test_two_spellings_of_one_image_with_two_reports_are_refused(tmp_path: Path) -> None:
    sheet(tmp_path, "path,report\ntest/b.png,Clear.\ntest\\b.png,Opacity.\n")
    with pytest.raises(InputError, match=r"line 3: a second report for test/b\.png; keep one"):
        read(tmp_path, ["test/b.png"])


def test_a_path_that_fits_two_images_fits_none() -> None:
    named = path_sheets.naming({"b/c.png", "x/a/b/c.png"})
    assert named("a/b/c.png") == "a/b/c.png"
    assert named("x/a/b/c.png") == "x/a/b/c.png"
    assert named("elsewhere/b/c.png") == "b/c.png"
