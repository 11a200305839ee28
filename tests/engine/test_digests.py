"""SHA-256 digests of files and folders."""

from pathlib import Path

import pytest

from engine.digests import file_sha256, is_whole


def test_what_is_not_there_has_no_hash_whereas_an_empty_folder_has_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = file_sha256(tmp_path / "empty")
    assert is_whole(tmp_path / "empty", empty) and not is_whole(tmp_path / "absent", empty)
    with pytest.raises(FileNotFoundError, match="absent"):
        file_sha256(tmp_path / "absent")


def test_a_folders_hash_follows_its_files_names_and_contents(tmp_path: Path) -> None:
    hashes: list[str] = []
    for name, contents in (("a", "one"), ("b", "one"), ("b", "two")):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        (folder / name).write_text(contents)
        hashes.append(file_sha256(folder))
    assert len(set(hashes)) == 3
