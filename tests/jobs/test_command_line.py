import errno
import importlib
import os
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.exc import DBAPIError

from db import session
from db.models import Run
from db.queries import datasets
from engine.datasets.phantoms import write_phantoms
from jobs import __main__ as dispatch
from jobs import command, ingest, migrate, train
from jobs.command import Context, JobError, one_line

ROOT = Path(__file__).parents[2]


def jobs(*argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs", *argv], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def test_without_a_name_every_job_is_listed_with_its_purpose() -> None:
    listed = jobs()
    assert listed.returncode == 0
    for name in dispatch.JOBS:
        assert f"  {name} " in listed.stdout
    assert all(dispatch.purpose(name) for name in dispatch.JOBS)


def test_every_job_module_is_in_the_list_and_every_listed_job_is_a_module() -> None:
    with_a_main = {
        path.stem for path in (ROOT / "jobs").glob("[a-z]*.py") if "def main(" in path.read_text(encoding="utf-8")
    }
    assert with_a_main == set(dispatch.JOBS)


def test_the_contract_that_keeps_jobs_from_importing_each_other_names_every_job() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (held,) = [one for one in linter["contracts"] if one["name"] == "job scripts never import each other"]
    assert held["type"] == "independence" and held["modules"] == [f"jobs.{name}" for name in dispatch.JOBS]


@pytest.mark.parametrize("name", dispatch.JOBS)
def test_help_is_quick_and_names_the_command_as_the_docstring_does(name: str) -> None:
    module = importlib.import_module(f"jobs.{name}")
    assert (module.__doc__ or "").startswith(f"python -m jobs {name}")
    told = jobs(name, "--help", timeout=30)
    assert told.returncode == 0 and f"usage: python -m jobs {name}" in told.stdout


@pytest.mark.parametrize("name", dispatch.JOBS)
def test_every_option_of_a_job_says_what_it_is_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unsaid: list[str] = []

    def look(parser: command.JobParser, *_: object) -> None:
        unsaid.extend(action.dest for action in parser._actions if not action.help)
        raise SystemExit(0)

    monkeypatch.setattr(command.JobParser, "parse_args", look)
    assert importlib.import_module(f"jobs.{name}").main([]) == 0 and unsaid == []


def test_a_list_that_nobody_reads_ends_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    told = subprocess.run([sys.executable, "-m", "jobs"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (told.returncode, told.stderr) == (141, "")


def test_ctrl_c_while_a_job_is_imported_is_one_line(tmp_path: Path) -> None:
    main = (ROOT / "jobs" / "__main__.py").read_text(encoding="utf-8")
    code = main.replace("importlib.import_module(", "(_ for _ in ()).throw(KeyboardInterrupt) or (")
    told = subprocess.run([sys.executable, "-c", code, "train"], cwd=ROOT, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (130, "interrupted; run the same command again to continue\n")


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    closed = f"exec {sys.executable} -m jobs migrate --artifacts {tmp_path} >&-"
    told = subprocess.run(["sh", "-c", closed], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("lines", [1, 5_000])
def test_output_that_nobody_reads_any_more_ends_a_job_without_a_word(lines: int) -> None:
    job = f"from jobs.command import command; raise SystemExit(command(lambda argv: print('x' * 80 * {lines}) or 0)())"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([sys.executable, "-c", job], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_an_unknown_job_is_wrong_use() -> None:
    told = jobs("trian")
    assert told.returncode == 2 and told.stderr.startswith("error: job 'trian' is unknown; known: demo, ingest")


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        (
            ["train", "--recipe", "vgg"],
            2,
            "recipe 'vgg' is unknown; known: lite0, best, restyled, seed, statistics, quick",
        ),
        (["train", "--epochs", "0"], 2, "0 is not between 1 and 2147483647"),
        (["evaluate", "--seed", "-1"], 2, "-1 is not between 0 and 2147483647"),
        (["train", "--folds", "1"], 2, "--folds 1 leaves nothing to hold out"),
        (["train"], 1, "the database holds no dataset; add one with: python -m jobs ingest FOLDER"),
        (["predict"], 1, "the database holds no dataset"),
        (["report"], 1, "the database holds no dataset"),
        (["embed"], 1, "the database holds no dataset"),
        (["evaluate"], 1, "the database holds no dataset"),
        (["export"], 1, "the database holds no dataset"),
        (["train", "--dataset", "none"], 2, "dataset 'none' is unknown; known: none"),
        (["ingest", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (["train", "--database", "postgresql://me:hunter22@127.0.0.1:1/x"], 1, "cannot be opened"),
        (["train", "--database", "postgresql://127.0.0.1:1/x?user=me&password=hunter22"], 1, "cannot be opened"),
        (["search", "--dataset", "\udcff", "--case", "1"], 2, "is unknown; known: none; add one with"),
        (["train", "--artifacts", ""], 2, "expected the name of a folder, got ''"),
        (["train", "--database", "oracle://x"], 1, "DATABASE_URL cannot be used"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(
    argv: list[str], code: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = jobs(*argv, "--artifacts", str(tmp_path / "artifacts"))
    lines = [line for line in told.stderr.splitlines() if "error:" in line]
    assert told.returncode == code and len(lines) == 1 and expected in lines[0]
    assert "Traceback" not in told.stderr and "hunter22" not in told.stderr


def test_a_database_without_a_dataset_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "reading", nullcontext)
    monkeypatch.setattr(datasets, "every", lambda _engine: [])
    engine = create_engine("postgresql+psycopg://me:hunter22@127.0.0.1/films?password=hunter22")
    with pytest.raises(JobError, match=r"holds no dataset; .*127\.0\.0\.1/films") as refused:
        Context(engine=engine, artifacts=Path(), models=Path()).dataset(None)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("asked", ["compare 1 b", "train --seed b", "demo --port b", "evaluate --replicates b"])
def test_an_option_that_is_not_a_number_is_refused(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = asked.split()
    assert importlib.import_module(f"jobs.{name}").main([*options, "--artifacts", str(tmp_path)]) == 2
    assert "'b' is not a whole number" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked",
    [
        "train --rec lite0",
        "train --datab=sqlite://x",
        "train --datab sqlite://x",
        "audit --predict 1",
        "embed --emb clip",
        "search --tex opacity",
        "demo --art x",
        "migrate --deb",
    ],
)
def test_options_must_be_written_out_in_full(asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, *options = asked.split()
    assert importlib.import_module(f"jobs.{name}").main([*options, "--artifacts", str(tmp_path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert "unrecognized arguments" in line or "is required" in line


def test_a_jobs_own_options_are_kept_though_a_common_option_begins_like_them() -> None:
    parsed = command.parser("", "demo")
    parsed.add_argument("--data")
    args = parsed.parse_args(["--data", "folder", "--database", "sqlite://"])
    assert args.command == ("python", "-m", "jobs", "demo", "--data", "folder")


@pytest.mark.parametrize("number", ["99999999999999999999", "2147483648", "0", "-1"])
@pytest.mark.parametrize(
    "asked",
    [
        *("predict --train-run", "embed --train-run", "evaluate --train-run", "evaluate --predict-run"),
        *(
            "report --predict-run",
            "score --predict-run",
            "audit --predict-run",
            "search --case",
            "compare",
            "compare 1",
        ),
    ],
)
def test_a_number_that_no_run_and_no_image_can_have_is_refused_in_one_line(
    asked: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = asked.split()
    assert importlib.import_module(f"jobs.{name}").main([*options, number, "--artifacts", str(tmp_path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert f"{number} is " in line


@pytest.mark.parametrize(
    "asked",
    [
        *("demo --port 99999999", "demo --port -1", "demo --port 0", "embed --batch-size 100000000000000000000"),
        *("evaluate --replicates 99999999999", "audit --replicates 99", "compare 1 2 --replicates 99999999999"),
        *(
            "search --text opacity --k 0",
            "search --text opacity --k 99999999999999999999",
            "train --epochs 99999999999",
        ),
    ],
)
def test_numbers_out_of_range_are_refused_in_one_line_with_the_range(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = asked.split()
    assert importlib.import_module(f"jobs.{name}").main([*options, "--artifacts", str(tmp_path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert any(way_out in line for way_out in ("is not between", "ask for at"))


@pytest.mark.parametrize(
    "asked",
    [
        *("ingest", "export --out", "demo --data", "fetch_models --models", "embed --weights"),
        *("search --case 1 --weights", "search --case 1 --grid", "search --image", "ingest jobs --name"),
    ],
)
def test_an_empty_path_or_name_is_refused_in_one_line(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = asked.split()
    assert importlib.import_module(f"jobs.{name}").main([*options, "", "--artifacts", str(tmp_path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    said = ("expected the name of a f", "the dataset's name must have 1 to 200 printable characters")
    assert any(way in line for way in said)


def test_an_artifact_folder_that_is_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert train.main(["--artifacts", str(tmp_path / "file")]) == 1
    assert f"artifact folder {tmp_path / 'file'} is not writable" in capsys.readouterr().err


def test_what_stores_nothing_leaves_a_folder_that_cannot_be_written_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--artifacts", str(tmp_path), "--database", f"sqlite:///{tmp_path / 'pneumoscope.db'}"]
    old = ["--artifacts", str(tmp_path), "--database", f"sqlite:///{tmp_path / 'old.db'}"]
    assert migrate.main(common) == 0
    (tmp_path / "old.db").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **how: path != tmp_path and real(path, mode, **how))
    monkeypatch.setattr(command, "make_writable", lambda *_, **__: pytest.fail("written"))
    for name, asked, way_out in (
        ("search", ["--case", "1", *common], "the database holds no dataset"),
        ("compare", ["1", "2", *common], "see the Runs page"),
        ("search", ["--case", "1", *old], "with write access, run: python -m jobs migrate"),
    ):
        assert importlib.import_module(f"jobs.{name}").main(asked) in (1, 2)
        assert way_out in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_full_disk_is_one_line_and_leaves_the_run_failed(
    context: Context,
    job_options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_phantoms(tmp_path / "films", seed=0, counts={"test": (1, 1)})
    thumbnails, real = context.artifacts / "thumbnails", Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.is_relative_to(thumbnails):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert ingest.main([str(tmp_path / "films"), "--workers", "1", *job_options]) == 1
    told = capsys.readouterr().err
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: no space left on the disk at {thumbnails}") and "Traceback" not in told
    assert line.endswith("; free some space, or choose another folder with --artifacts")
    with session.reading(context.engine) as db:
        run = db.scalars(select(Run)).one()
    assert (run.status, run.error) == ("failed", line.removeprefix("error: "))


def refused(said: str) -> DBAPIError:
    return DBAPIError("INSERT INTO run VALUES (?)", ("No space left on device",), Exception(said))


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (
            RuntimeError("Error: 'ret == size' failed: write error: No space left on device"),
            "free some space, or choose",
        ),
        (refused("database or disk is full"), "free some space, or choose another folder"),
        (refused("attempt to write a readonly database"), "allow writing, or choose another with --database"),
        (refused("cannot execute INSERT in a read-only transaction"), "allow writing, or choose"),
        (refused("server closed the connection"), "run the command again once the database is available"),
    ],
)
def test_what_a_full_disk_or_a_database_says_comes_with_what_to_do(error: Exception, way_out: str) -> None:
    assert way_out in one_line(error)


def test_memory_that_runs_out_comes_with_what_to_do_on_a_gpu_and_on_a_cpu() -> None:
    import torch

    assert "CUDA_VISIBLE_DEVICES= to use the CPU" in one_line(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeError) as refused_by_torch:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (refused_by_torch.value, MemoryError()):
        assert one_line(error).startswith("out of memory; close other programs")


def test_a_command_in_a_message_keeps_the_blanks_of_a_name() -> None:
    said = one_line(command.JobError("first\n  line; run: python -m jobs evaluate --dataset 'a  b'\n"))
    assert said == "first line; run: python -m jobs evaluate --dataset 'a  b'"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    told = jobs("train", "--debug", "--artifacts", str(tmp_path))
    assert told.returncode == 1 and "Traceback" in told.stderr and "error: the database holds no dataset" in told.stderr
