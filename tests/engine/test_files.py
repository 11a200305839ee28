"""Files appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from engine.files import whole_file, whole_folder, write_whole


def test_text_and_bytes_arrive_in_a_folder_that_is_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "text.md", "größer")
    write_whole(tmp_path / "a" / "raw.bin", b"\0\1")
    assert (tmp_path / "a" / "text.md").read_text(encoding="utf-8") == "größer"
    assert (tmp_path / "a" / "raw.bin").read_bytes() == b"\0\1"
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_an_error_while_writing_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("older")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half of the ne")
        raise RuntimeError
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_see_the_older_file_until_the_newer_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("older")
    with whole_file(path) as temporary:
        temporary.write_text("newer")
        assert path.read_text() == "older"
        assert temporary.suffix == ".txt"
    assert path.read_text() == "newer"


def test_files_get_the_permissions_that_ordinary_files_get(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_folder_takes_the_place_of_the_older_one_without_what_a_killed_try_left(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for content in ("older", "newer"):
        with pytest.raises(KeyboardInterrupt), whole_folder(folder) as temporary:
            write_whole(temporary / "half", "a killed try's")
            raise KeyboardInterrupt
        (tmp_path / ".checkpoint.tmp").mkdir()  # as a kill leaves it, which runs no clean-up
        (tmp_path / ".checkpoint.tmp" / "half").touch()
        with whole_folder(folder) as temporary:
            (temporary / "file").write_text(content)
            assert not folder.exists() or (folder / "file").read_text() == "older"
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("file", content)]
        assert list(tmp_path.iterdir()) == [folder]
