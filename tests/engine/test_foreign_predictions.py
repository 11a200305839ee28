"""Do the rows of a file of predictions reach their images, and is what cannot be a probability refused?"""

from pathlib import Path

import pytest

from engine.classification.foreign_predictions import logit, read
from engine.errors import InputError


def sheet(folder: Path, *lines: str) -> Path:
    file = folder / "predictions.csv"
    file.write_text("\n".join(["path,probability", *lines]), encoding="utf-8-sig")
    return file


def test_rows_reach_images_copies_and_other_spellings(tmp_path: Path) -> None:
    file = sheet(tmp_path, "test\\a.png,0.25", "./b.png, 1 ", "copy.png,1e-3", "c.png,", "gone.png,0")
    found = read(file, ["test/a.png", "b.png", "c.png", "d.png"], {"copy.png": "d.png"})
    assert found.values == {"test/a.png": 0.25, "b.png": 1.0, "d.png": 0.001}
    assert found.strays == ("gone.png",)


@pytest.mark.parametrize("value", ["1.01", "-0.1", "nan", "inf", "97 %", "0,5", "yes"])
def test_what_is_no_probability_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    file = sheet(tmp_path, "a.png,0.5", f'b.png,"{value}"')
    with pytest.raises(InputError, match=r"predictions\.csv, line 3: probability '.*' is no number from 0 to 1"):
        read(file, ["a.png", "b.png"], {})


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv is not there; give a CSV file with columns path and probability"):
        read(tmp_path / "none.csv", [], {})
    with pytest.raises(InputError, match=r"line 3: a second probability for a\.png; keep one"):
        read(sheet(tmp_path, "a.png,0.5", "a.png,0.6"), ["a.png"], {})
    file = tmp_path / "other.csv"
    file.write_text("file,score\na.png,1\n")
    with pytest.raises(InputError, match="line 1: no column 'path'; it needs path and probability"):
        read(file, ["a.png"], {})
    file.write_bytes(b"path,probability\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read(file, ["a.png"], {})
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, ["a.png"], {})


def test_log_odds_are_finite_also_of_certainties() -> None:
    assert logit(0.5) == 0
    assert 10 < logit(1.0) < 20 and logit(0.0) == pytest.approx(-logit(1.0))
