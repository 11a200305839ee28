"""A run's files as they leave: the bytes that it wrote, folders as zips, and nothing else of the disk."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard import downloads
from dashboard.pictures import PREFIX
from db import session as database
from db.models import Artifact, Run
from engine.digests import file_sha256
from tests.dashboard.opened import Workbench

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
COMMAND = "python -m jobs predict --dataset sample"


@pytest.fixture
def client(workbench: Workbench) -> TestClient:
    """The download routes alone."""
    return TestClient(Starlette(routes=downloads.ROUTES))


@pytest.fixture
def heatmaps(workbench: Workbench) -> Artifact:
    """The file that the predict run wrote; the run's command is known."""
    with database.transaction(workbench.engine) as db:
        found = db.scalars(select(Artifact).where(Artifact.name == "heatmaps")).one()
        db.execute(update(Run).where(Run.id == found.run_id).values(command=COMMAND))
    return found


@pytest.fixture
def checkpoint(workbench: Workbench) -> Artifact:
    """A folder that the train run wrote, two files deep."""
    folder = workbench.artifacts / "runs" / "0002-train" / "checkpoint last"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "deep" / "weights").write_bytes(bytes(range(256)) * 9000)  # more than one piece
    return record(workbench, folder)


def record(workbench: Workbench, path: Path) -> Artifact:
    """A row for the file or folder, as a run would have made it."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    with database.transaction(workbench.engine) as db:
        row = Artifact(
            run_id=2,
            name=path.name,
            path=path.relative_to(workbench.artifacts).as_posix(),
            sha256=file_sha256(path),
            bytes=sum(file.stat().st_size for file in files),
        )
        db.add(row)
    return row


def moved_to(workbench: Workbench, artifact: Artifact, path: str) -> None:
    """Let the row name another path."""
    with database.transaction(workbench.engine) as db:
        db.get_one(Artifact, artifact.id).path = path


def test_a_file_comes_as_the_run_wrote_it_under_a_name_that_says_whose_it_is(
    client: TestClient, workbench: Workbench, heatmaps: Artifact
) -> None:
    answer = client.get(downloads.url(heatmaps))
    assert answer.content == (workbench.artifacts / heatmaps.path).read_bytes()
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{heatmaps.run_id}-heatmaps.npy"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{heatmaps.sha256}"'


def test_a_part_of_a_file_can_be_asked_for_and_an_unchanged_one_is_not_sent_again(
    client: TestClient, workbench: Workbench, heatmaps: Artifact
) -> None:
    url, whole = downloads.url(heatmaps), (workbench.artifacts / heatmaps.path).read_bytes()
    part = client.get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, whole[100:])
    again = client.get(url, headers={"If-None-Match": f'"{heatmaps.sha256}"'})
    assert (again.status_code, again.content) == (304, b"")


def test_a_folder_comes_as_a_zip_of_all_its_files_and_twice_as_the_same_bytes(
    client: TestClient, workbench: Workbench, checkpoint: Artifact
) -> None:
    answer = client.get(downloads.url(checkpoint))
    assert answer.headers["content-disposition"] == 'attachment; filename="run-2-checkpoint_last.zip"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert client.head(downloads.url(checkpoint)).headers["content-length"] == answer.headers["content-length"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["run-2-checkpoint_last/deep/weights", "run-2-checkpoint_last/model.json"]
        folder = workbench.artifacts / checkpoint.path
        assert archive.read("run-2-checkpoint_last/deep/weights") == (folder / "deep" / "weights").read_bytes()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    os.utime(folder / "model.json", (0, 0))
    assert client.get(downloads.url(checkpoint)).content == answer.content


def test_a_folder_is_read_piece_by_piece(workbench: Workbench, checkpoint: Artifact) -> None:
    pieces = list(downloads.zipped(workbench.artifacts / checkpoint.path, "top"))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < downloads.CHUNK + 1000


@pytest.mark.parametrize(
    "number", ["0", "-1", "999", "99999999999999999999", "1" * 5000, "x", "1.0", "\u0661\u0662\u0663"]
)
def test_an_unknown_number_is_not_found(client: TestClient, number: str) -> None:
    assert client.get(f"{PREFIX}/artifact/{number}").status_code == 404


@pytest.mark.parametrize(
    "path", ["../../test.db", "%2e%2e%2f%2e%2e%2ftest.db", "1/../../../test.db", "/etc/passwd", "1%00", ""]
)
def test_a_path_in_the_address_leads_nowhere(client: TestClient, path: str) -> None:
    answer = client.get(f"{PREFIX}/artifact/{path}")
    assert answer.status_code == 404
    assert "SQLite" not in answer.text


@pytest.mark.parametrize("leaving", ["../outside.npy", "runs/../../outside.npy", ".", "runs/..", "absolute"])
def test_a_row_that_names_what_is_outside_the_artifact_folder_gives_nothing(
    client: TestClient, workbench: Workbench, heatmaps: Artifact, tmp_path: Path, leaving: str
) -> None:
    outside = tmp_path / "outside.npy"
    shutil.copy(workbench.artifacts / heatmaps.path, outside)  # the very bytes: only the place is wrong
    moved_to(workbench, heatmaps, str(outside) if leaving == "absolute" else leaving)
    answer = client.get(downloads.url(heatmaps))
    assert answer.status_code == 404
    assert "not inside the artifact folder" in answer.text


def test_a_link_is_not_followed_out_of_the_artifact_folder(
    client: TestClient, workbench: Workbench, heatmaps: Artifact, tmp_path: Path
) -> None:
    inside, outside = workbench.artifacts / heatmaps.path, tmp_path / "outside.npy"
    inside.rename(outside)
    inside.symlink_to(outside)
    assert client.get(downloads.url(heatmaps)).status_code == 404


@pytest.mark.parametrize("what", ["file", "folder", "a file beside it"])
def test_a_folder_with_a_link_that_leads_out_of_it_gives_nothing(
    client: TestClient, workbench: Workbench, tmp_path: Path, what: str
) -> None:
    folder = workbench.artifacts / "runs" / "0002-train" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    secret = (workbench.artifacts if what == "a file beside it" else tmp_path) / "secret" / "key"
    secret.parent.mkdir()
    secret.write_text("hunter2")
    (folder / "link").symlink_to(secret.parent if what == "folder" else secret)
    row = record(workbench, folder)
    answer = client.get(downloads.url(row))
    assert b"hunter2" not in answer.content
    if what != "folder":  # a linked folder is no file of the folder: it stays out of its hash and of its zip
        assert answer.status_code == 404
        assert "link that leads out" in answer.text


def vanished(path: Path) -> None:
    path.unlink()


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def altered(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize(("happened", "said"), [(vanished, "is missing"), (grown, "changed"), (altered, "changed")])
def test_a_file_that_is_gone_or_no_longer_what_the_run_wrote_says_so_and_how_it_comes_back(
    client: TestClient, workbench: Workbench, heatmaps: Artifact, happened: Callable[[Path], None], said: str
) -> None:
    assert client.get(downloads.url(heatmaps)).status_code == 200
    happened(workbench.artifacts / heatmaps.path)
    answer = client.get(downloads.url(heatmaps))
    assert answer.status_code == 404
    assert said in answer.text
    assert COMMAND in answer.text
    assert str(workbench.artifacts) not in answer.text


def test_an_unreachable_database_is_reported_in_one_line(
    client: TestClient, workbench: Workbench, heatmaps: Artifact
) -> None:
    with workbench.engine.begin() as connection:
        connection.execute(text("DROP TABLE artifact"))
    answer = client.get(downloads.url(heatmaps))
    assert answer.status_code == 503
    assert answer.text == "the database cannot be reached; try again later"
