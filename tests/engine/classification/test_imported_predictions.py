"""Imported predictions: rows are matched to their images, and invalid probabilities are rejected."""

from pathlib import Path

import numpy as np
import pytest

from engine.classification.imported_predictions import heatmap, heatmaps, logit, read
from engine.datasets.path_sheets import astray
from engine.errors import InputError


def sheet(folder: Path, *lines: str) -> Path:
    file = folder / "predictions.csv"
    file.write_text("\n".join(["path,probability", *lines]), encoding="utf-8-sig")
    return file


def probabilities(file: Path, paths: list[str], copies: dict[str, str]) -> dict[str, float]:
    return {path: one.probability for path, one in read(file, paths, copies).by_path.items()}


def test_rows_reach_images_copies_and_other_spellings(tmp_path: Path) -> None:
    file = sheet(tmp_path, "test\\a.png,0.25", "./b.png, 1 ", "copy.png,1e-3", "c.png,", "gone.png,0")
    found = read(file, ["test/a.png", "b.png", "c.png", "d.png"], {"copy.png": "d.png"})
    assert {path: one.probability for path, one in found.by_path.items()} == {
        "test/a.png": 0.25,
        "b.png": 1.0,
        "d.png": 0.001,
    }
    assert found.strays == ("gone.png",)


@pytest.mark.parametrize(
    "head", ["Path;Probability;note", "filename\tprob\tnote", " File ; score ;note", "image,prob,note"]
)
def test_heads_and_delimiters_as_other_programs_write_them_are_read(tmp_path: Path, head: str) -> None:
    mark = next(sign for sign in (";", "\t", ",") if sign in head)
    file = tmp_path / "said.csv"
    file.write_text(f"{head}\r\na.png{mark}0.25{mark}x\r\n\r\nb.png{mark}1\r\n")
    assert probabilities(file, ["a.png", "b.png"], {}) == {"a.png": 0.25, "b.png": 1.0}
    file.write_text("path;probability\na.png;0,25\n")
    assert probabilities(file, ["a.png"], {}) == {"a.png": 0.25}


def test_a_path_with_more_folders_or_fewer_names_the_one_image_that_it_fits(tmp_path: Path) -> None:
    held = ["test/NORMAL/a.png", "train/NORMAL/b.png", "test/NORMAL/b.png", "test/PNEUMONIA/c.png"]
    file = sheet(tmp_path, "/home/me/xray/test/NORMAL/a.png,0.1", "test/NORMAL/b.png,0.2", "PNEUMONIA/c.png,0.3")
    assert probabilities(file, held, {}) == {held[0]: 0.1, held[2]: 0.2, held[3]: 0.3}
    assert probabilities(sheet(tmp_path, "xray/train/NORMAL/b.png,0.9"), held, {}) == {held[1]: 0.9}
    file = sheet(tmp_path, "NORMAL/b.png,0.4", "c.png,0.5", "elsewhere/a.png,0.6", "x/c.png,0.7")
    found = read(file, held, {})
    assert {path: one.probability for path, one in found.by_path.items()} == {held[3]: 0.5}
    assert found.strays == ("NORMAL/b.png", "elsewhere/a.png", "x/c.png"), "several fit, or none does"
    assert list(astray(found.strays, held, what="rows")) == [
        "2 rows match no image: elsewhere/a.png, x/c.png",
        "1 rows match several files; include more of their folders: NORMAL/b.png",
    ]


def test_a_row_on_the_image_itself_goes_before_those_on_its_copies(tmp_path: Path) -> None:
    copies = {"copy.png": "a.png", "other.png": "a.png", "twin.png": "b.png"}
    file = sheet(tmp_path, "copy.png,0.1", "a.png,0.1000001", "other.png,0.2", "twin.png,0.3")
    assert probabilities(file, ["a.png", "b.png"], copies) == {"a.png": 0.1000001, "b.png": 0.3}


@pytest.mark.parametrize(
    ("value", "hint"),
    [("97.3", "log odds or percent"), ("-2.1", "log odds or percent"), ("97 %", "percent"), ("9,3", "percent")],
)
def test_what_a_number_looks_like_is_told(tmp_path: Path, value: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        read(sheet(tmp_path, f'a.png,"{value}"'), ["a.png"], {})


@pytest.mark.parametrize("value", ["1.01", "-0.1", "nan", "inf", "97 %", "1,5", "yes"])
def test_what_is_no_probability_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    file = sheet(tmp_path, "a.png,0.5", f'b.png,"{value}"')
    with pytest.raises(InputError, match=r"predictions\.csv, line 3: probability '.*' is not a number from 0 to 1"):
        read(file, ["a.png", "b.png"], {})


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv is not there; give a CSV file with columns path and probability"):
        read(tmp_path / "none.csv", [], {})
    with pytest.raises(InputError, match=r"line 3: a second probability for a\.png; keep one"):
        read(sheet(tmp_path, "a.png,0.5", "a.png,0.6"), ["a.png"], {})
    file = tmp_path / "other.csv"
    file.write_text("study,odds\na.png,1\n")
    with pytest.raises(InputError, match="line 1: no column 'path'; expected path and probability, found: study, odds"):
        read(file, ["a.png"], {})
    file.write_text("image,file,file,probability\n7,a.png,a.png,1\n")
    with pytest.raises(InputError, match="line 1: column 'file' appears twice; keep one"):
        read(file, ["a.png"], {})
    file.write_text("image,score,file,probability\n7,0.9,a.png,1\n")  # as the Cases page's CSV begins
    assert read(file, ["a.png"], {}).by_path["a.png"].probability == 1.0
    file.write_text("path,probability,probability\na.png,1,0\n")
    with pytest.raises(InputError, match="line 1: column 'probability' appears twice; keep one"):
        read(file, ["a.png"], {})
    file.write_text("")
    with pytest.raises(InputError, match="line 1: no column names; expected columns path and probability"):
        read(file, ["a.png"], {})
    file.write_text('path,probability\na.png,"0.2\n' + "b.png,0.1\n" * 20_000)
    with pytest.raises(InputError, match="is a quotation mark left open") as raised:
        read(file, ["a.png"], {})
    assert len(str(raised.value)) < 300
    file.write_bytes(b"path,probability\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read(file, ["a.png"], {})
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, ["a.png"], {})


@pytest.mark.parametrize("row", ["b.png,0,85", "b.png,0.85,0.1", "b, c.png,0.85"])
def test_a_row_with_more_cells_than_heads_is_refused_and_not_cut(tmp_path: Path, row: str) -> None:
    file = sheet(tmp_path, "a.png,0.5,, ", row)
    with pytest.raises(InputError, match="line 3: 3 cells for 2 columns; put a cell that contains a comma in quot"):
        read(file, ["a.png", "b.png"], {})


def test_an_open_quotation_mark_swallows_no_rows(tmp_path: Path) -> None:
    file = sheet(tmp_path, "a.png,0.5", '"b.png,0.6', "c.png,0.7")
    with pytest.raises(InputError, match=r"line 3: cannot be read .*; is a quotation mark left open"):
        read(file, ["a.png", "b.png", "c.png"], {})


def test_log_odds_are_finite_also_of_certainties() -> None:
    assert logit(0.5) == 0
    assert 10 < logit(1.0) < 20 and logit(0.0) == pytest.approx(-logit(1.0))


def test_a_heatmap_is_its_rows_scaled_to_its_peak_and_no_larger_than_needed(tmp_path: Path) -> None:
    made = np.zeros((3, 224, 112), dtype=np.float64)
    made[1, :112] = 4.0
    np.save(tmp_path / "heat.npy", made)
    found = heatmaps(tmp_path / "heat.npy", 3)
    one = heatmap(found, 1)
    assert one.shape == (56, 56) and one.dtype == np.float32
    assert (one[:28] == 1).all() and (one[28:] == 0).all()
    assert not heatmap(found, 0).any()
    np.save(tmp_path / "small.npy", np.arange(14, dtype=np.uint8).reshape(1, 7, 2))
    assert heatmap(heatmaps(tmp_path / "small.npy", 1), 0).shape == (7, 2)


def test_what_is_no_heatmap_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "heat.npy"
    with pytest.raises(InputError, match="is not there; leave --heatmaps out"):
        heatmaps(file, 1)
    for made, said in (
        (np.zeros((2, 7, 7)), r"shape \(2, 7, 7\); expected a heatmap for each of the 3 rows: \(3, height, width\)"),
        (np.zeros((3, 7)), r"has shape \(3, 7\)"),
        (np.full((3, 2, 2), "hot"), "heatmaps must be numbers"),
    ):
        np.save(file, made)
        with pytest.raises(InputError, match=said):
            heatmaps(file, 3)
    file.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"is not a readable NumPy array \(.npy\) of numbers; see numpy.save"):
        heatmaps(file, 3)
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is not a readable NumPy array"):
        heatmaps(file, 1)
    np.save(file, np.array([[[0.0, -1.0]], [[np.nan, 1.0]]]))
    for row in (0, 1):
        with pytest.raises(InputError, match=f"the heatmap of row {row + 1} contains negative or non-finite values"):
            heatmap(heatmaps(file, 2), row)
