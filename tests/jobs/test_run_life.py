import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import session, tallies
from db.models import Dataset, Run, now
from db.queries import runs
from engine.datasets.phantoms import write_phantoms
from engine.digests import is_whole
from jobs import demo, evaluate, report
from jobs import map as jobs_map
from jobs.command import Context, JobError, open_context, parser
from jobs.redaction import redact
from jobs.run import ActiveRun, Interrupted, Work
from jobs.run_folders import OWNER
from tests.finished_runs import make_world


def claim(context: Context, *, again: bool = False, **config: object) -> ActiveRun:
    return ActiveRun.claim(context, Work(kind="train", config=dict(config), inputs="same"), again=again)


def row(context: Context, run_id: int) -> Run:
    with session.transaction(context.engine) as db:
        return db.get_one(Run, run_id)


def given(words: list[str], job_options: list[str]) -> Run:
    """The row of a job that claims a run with these words and stops before it works."""
    options = parser("A job.", "train")
    options.add_argument("--dataset")
    options.add_argument("--recipe")
    options.add_argument("--strategies-file", type=Path)
    options.add_argument("folder", nargs="?")
    args = options.parse_args([*words, *job_options])
    context = open_context(args)
    named = context.dataset(args.dataset) if args.dataset or "dataset" in context.left_open else None
    config = {"recipe": args.recipe, "dataset": named.name if named else None}
    run = ActiveRun.claim(context, Work(kind="train", config=config, dataset_id=named.id if named else None))
    return row(context, run.id)


@pytest.fixture
def two_datasets(context: Context) -> None:
    with session.transaction(context.engine) as db:
        db.add_all(Dataset(name=name, root="/", synthetic=False) for name in ("first", "latest one"))


@pytest.mark.usefixtures("two_datasets")
def test_a_run_keeps_the_command_that_repeats_it_as_a_shell_takes_it(job_options: list[str]) -> None:
    words = ["it's here", "--strategies-file=my own.toml", "--recipe", "lite0", "--dataset", "first"]
    stored = given([*words, "--debug"], job_options).command
    assert stored is not None
    assert shlex.split(stored) == ["python", "-m", "jobs", "train", *words]


@pytest.mark.usefixtures("two_datasets")
def test_the_latest_dataset_is_named_in_the_command_so_that_a_later_one_does_not_take_its_place(
    job_options: list[str],
) -> None:
    assert given(["--recipe", "lite0"], job_options).command == (
        "python -m jobs train --recipe lite0 --dataset 'latest one'"
    )


def test_a_command_names_the_runs_and_the_index_that_were_the_latest(
    context: Context, tmp_path: Path, job_options: list[str]
) -> None:
    world = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    predict = world.add_predict(world.add_train())
    world.add_index()
    for words in ([], ["--model", "nearest"]):
        assert report.main([*world.options, "--images", "1", *words]) == 0
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert jobs_map.main([*world.options, "--methods", "tsne"]) == 0
    on, named = "python -m jobs {} --dataset drawn", f"--predict-run {predict.id}"
    with session.transaction(context.engine) as db:
        stored = {run.command for run in runs.page(db) if run.command}
    assert stored == {
        f"{on.format('evaluate')} --replicates 100 {named} --train-run 1",
        f"{on.format('map')} --methods tsne --embedder classifier",
        f"{on.format('report')} --images 1 {named}",
        f"{on.format('report')} --images 1 --model nearest {named} --embedder classifier",
    }
    world.add_predict(world.add_train())
    again = next(command for command in stored if " evaluate " in command)
    with session.transaction(context.engine) as db:
        before = len(runs.page(db))
    assert evaluate.main([*shlex.split(again)[4:], *job_options]) == 0
    with session.transaction(context.engine) as db:
        assert len(runs.page(db)) == before, "another evaluation, not that of the command"


def test_only_what_has_work_to_do_needs_a_folder_that_can_be_written(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(context) as done:
        pass

    def refused(_folder: Path) -> None:
        raise JobError("not writable")

    monkeypatch.setattr("jobs.run.make_artifacts_writable", refused)
    assert claim(context).id == done.id
    with pytest.raises(JobError, match="not writable"):
        claim(context, again=True)
    with session.transaction(context.engine) as db:
        assert [run.id for run in runs.page(db)] == [done.id]


@pytest.mark.usefixtures("two_datasets")
@pytest.mark.parametrize("spelt", [["--database", "{}"], ["--database={}"]])
def test_the_command_names_no_database_and_no_artifact_folder(
    spelt: list[str], database_url: str, job_options: list[str]
) -> None:
    words = [word.format(database_url) for word in spelt]
    stored = given(["--dataset", "first", *words], job_options[2:]).command
    assert stored == "python -m jobs train --dataset first"


@pytest.mark.usefixtures("two_datasets")
@pytest.mark.parametrize(
    "word",
    [
        "openai:m@http://me:hunter22@host/v1",
        "openai:m@http://host/v1?api_key=hunter22",
        "http://host/v1?token=hunter22&x=1",
        "sk-hunter22hunter22hunter22",
        "hf_hunter22hunter22hunter22",
        "from the environment: hunter22",
    ],
)
def test_the_command_keeps_no_secret(word: str, job_options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if word.startswith("from"):
        monkeypatch.setenv("OPENAI_API_KEY", "hunter22")
    stored = given(["--dataset", "first", "--recipe", word], job_options).command
    assert stored is not None
    assert "hunter22" not in stored
    assert "[secret]" in stored


@pytest.mark.usefixtures("two_datasets")
def test_a_run_that_is_taken_up_keeps_its_command_and_an_older_one_gets_it(
    context: Context, job_options: list[str]
) -> None:
    first = given(["--dataset", "first", "--recipe", "lite0"], job_options)
    again = given(["--dataset=first", "--recipe=lite0"], job_options)
    assert (again.id, again.command) == (first.id, first.command)
    with session.transaction(context.engine) as db:
        db.get_one(Run, first.id).command = None
    assert given(["--dataset=first", "--recipe=lite0"], job_options).command == (
        "python -m jobs train --dataset=first --recipe=lite0"
    )


def test_a_job_that_the_demo_starts_keeps_its_own_command(
    context: Context, tmp_path: Path, job_options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["jobs", "demo", "--no-serve"])
    folder = tmp_path / "my films"
    write_phantoms(folder, seed=0, counts={"train": (2, 2)})
    name, words = next(demo.steps(folder, None, None, context.artifacts))
    assert import_module(f"jobs.{name}").main([*words, *job_options]) == 0
    assert row(context, 1).command == f"python -m jobs ingest '{folder}' --name 'my films'"


def test_a_run_that_no_command_line_started_has_no_command(context: Context) -> None:
    assert row(context, claim(context).id).command is None


def test_a_finished_run_is_not_done_again(context: Context) -> None:
    with claim(context, a=1) as run:
        list(run.track(range(3), stage="counting"))
    stored = row(context, run.id)
    assert (stored.status, stored.done, stored.total, stored.eta_seconds) == ("finished", 3, 3, 0.0)
    assert claim(context, a=1).already_finished
    assert not claim(context, a=2).already_finished


def test_what_is_found_done_is_current_from_then_on(context: Context) -> None:
    def current() -> int:
        with session.transaction(context.engine) as db:
            run = runs.current(db, "train")
            assert run is not None
            return run.id

    with claim(context, a=1) as first, claim(context, a=2) as second:
        pass
    with claim(context, a=2, again=True) as third:
        pass
    assert current() == third.id
    for a, run in ((1, first), (2, third), (1, first)):
        assert claim(context, a=a).already_finished
        assert current() == run.id
    with pytest.raises(KeyboardInterrupt), claim(context, a=3):
        raise KeyboardInterrupt
    assert current() == first.id != second.id


def test_what_is_asked_for_again_is_a_new_run_that_is_taken_up_where_it_stopped(context: Context) -> None:
    with claim(context) as first:
        pass
    with pytest.raises(KeyboardInterrupt), claim(context, again=True) as second:
        raise KeyboardInterrupt
    with claim(context, again=True) as taken_up:
        pass
    assert first.id < second.id == taken_up.id and taken_up.resumed
    assert claim(context, again=True).id > second.id


def test_a_finished_run_whose_files_are_gone_is_done_again(context: Context) -> None:
    with claim(context) as run:
        made = run.folder / "file.txt"
        made.write_text("content")
        run.artifact("file", made)
    assert claim(context).already_finished
    made.unlink()
    again = claim(context)
    assert not again.already_finished and again.id == run.id


def test_files_are_read_while_others_can_write(
    context: Context, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(context) as run:
        (run.folder / "made.txt").write_text("made")
        run.artifact("made", run.folder / "made.txt")
    writer = session.connect(database_url, patience=0.1)

    def read(path: Path, sha256: str) -> bool:
        with session.transaction(writer) as db:
            db.add(Dataset(name="meanwhile", root="/", synthetic=False))
        return is_whole(path, sha256)

    monkeypatch.setattr("jobs.run.is_whole", read)
    assert claim(context).already_finished
    writer.dispose()


def test_a_finished_run_whose_file_is_damaged_is_done_again(context: Context) -> None:
    with claim(context) as run:
        made = run.folder / "checkpoint" / "weights"
        made.parent.mkdir()
        made.write_bytes(b"whole")
        run.artifact("checkpoint", made.parent)
    assert claim(context).already_finished
    made.write_bytes(b"torn")
    assert not claim(context).already_finished


@pytest.fixture
def second(context: Context, template: Path, tmp_path: Path) -> Iterator[Context]:
    """A second database that uses the artifact folder of `context`."""
    engine = session.connect(f"sqlite:///{shutil.copy(template, tmp_path / 'second.db')}")
    yield replace(context, engine=engine)
    engine.dispose()


def interrupted(run: ActiveRun) -> ActiveRun:
    """The run, which left a file and was stopped."""
    with pytest.raises(Interrupted), run:
        (run.folder / "kept").write_text("work")
        raise Interrupted
    return run


@pytest.mark.parametrize("a", [1, 2])
def test_a_run_finds_nothing_in_its_folder_that_another_databases_run_of_that_number_left(
    context: Context, second: Context, a: int
) -> None:
    first, other = interrupted(claim(context, a=1)), claim(second, a=a)
    assert (first.id, first.folder.name) == (other.id, "0001-train")
    assert other.folder.name.startswith("0001-train-") and not (other.folder / "kept").exists()
    for where, run in ((context, first), (second, other)):
        assert ActiveRun.helping(where, run.id).folder == run.folder
    shutil.rmtree(first.folder)
    assert claim(second, a=a).folder == other.folder
    assert claim(context, a=1).folder == first.folder


def test_a_folder_that_names_no_owner_stays_with_the_run_that_was_there_before(
    context: Context, second: Context
) -> None:
    first = interrupted(claim(context))
    (first.folder / OWNER).unlink()
    assert claim(second).folder != first.folder
    assert (claim(context).folder / "kept").read_text() == "work"
    assert (first.folder / OWNER).exists()


def test_a_run_that_another_process_took_over_stops_writing(context: Context) -> None:
    with pytest.raises(JobError, match="took it over"), claim(context) as run:
        with session.transaction(context.engine) as db:
            db.get_one(Run, run.id).pid = os.getppid()
        list(run.track(range(3), stage="counting"))
    stored = row(context, run.id)
    assert (stored.pid, stored.status, stored.done) == (os.getppid(), "running", 0)


def test_a_stage_within_another_counts_for_itself_and_the_outer_one_continues(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run.PROGRESS_SECONDS", 0.0)
    seen: list[tuple[str | None, int, int | None]] = []

    def look() -> None:
        stored = row(context, run.id)
        assert stored.total is not None and stored.done <= stored.total
        assert stored.eta_seconds is None or stored.eta_seconds >= 0
        seen.append((stored.stage, stored.done, stored.total))

    with claim(context) as run:
        with run.progress("training", 2) as advance:
            for _ in range(2):
                advance()
                look()
                for _ in run.track(range(4), stage="scoring"):
                    look()
                look()
        list(run.track(range(3), stage="measuring"))
        look()
    inner = [("scoring", done, 4) for done in range(4)]
    first, second = ("training", 1, 2), ("training", 2, 2)
    assert seen == [first, *inner, first, second, *inner, second, ("measuring", 3, 3)]
    stored = row(context, run.id)
    assert (stored.stage, stored.done, stored.total) == ("measuring", 3, 3)


def test_a_stage_that_an_error_or_a_break_ends_gives_way_to_the_outer_one(context: Context) -> None:
    with pytest.raises(RuntimeError), claim(context) as run, run.progress("training", 3) as advance:
        advance()
        for _ in run.track(range(4), stage="scoring"):
            break
        advance()
        for _ in run.track(range(4), stage="scoring"):
            raise RuntimeError("stopped")
    stored = row(context, run.id)
    assert (stored.stage, stored.done, stored.total) == ("training", 2, 3)


def test_the_time_left_is_never_below_zero(context: Context) -> None:
    with pytest.raises(KeyboardInterrupt), claim(context) as run, run.progress("counting", 2) as advance:
        advance(3)
        raise KeyboardInterrupt
    assert row(context, run.id).eta_seconds == 0


def test_an_error_is_stored_in_one_line_with_its_traceback_and_without_secrets(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "plainvalue123")
    with pytest.raises(RuntimeError), claim(context) as run:
        raise RuntimeError("refused\nplainvalue123 and hf_abcdefghijklmnopqrst at postgresql://me:hunter22@host/db")
    stored = row(context, run.id)
    assert stored.status == "failed"
    assert stored.error is not None and "\n" not in stored.error
    assert stored.traceback is not None and "Traceback" in stored.traceback
    for secret in ("plainvalue123", "hf_abcdefghijklmnopqrst", "hunter22"):
        assert secret not in stored.error + stored.traceback


def test_an_interrupted_run_is_taken_up_in_the_same_row(context: Context) -> None:
    with pytest.raises(Interrupted), claim(context) as run:
        raise Interrupted
    assert row(context, run.id).status == "interrupted"
    resumed = claim(context)
    assert resumed.resumed and resumed.id == run.id
    with resumed:
        pass
    assert row(context, run.id).status == "finished"


def test_what_a_run_is_resumed_from_stays_until_it_has_finished(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = claim(context)
    run.folder.mkdir(parents=True, exist_ok=True)
    shards, member = run.folder / "shards", run.folder / "member.safetensors"
    shards.mkdir()
    member.write_bytes(b"weights")
    with pytest.raises(Interrupted), run:
        run.discard(shards, member)
        raise Interrupted
    assert shards.is_dir() and member.is_file()
    resumed = claim(context)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):  # the end cannot be stored

        def full(_changes: object) -> None:
            raise OSError("full")

        with resumed:
            resumed.discard(shards, member)
            patched.setattr(resumed, "_write", full)
    assert shards.is_dir() and member.is_file()
    last = claim(context)
    with last:
        last.discard(shards, member, run.folder / "absent")
    assert not shards.exists() and not member.exists()


def test_what_cannot_be_removed_does_not_fail_a_run_whose_results_are_stored(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(path: Path) -> None:
        raise OSError(f"{path} is busy")

    monkeypatch.setattr(shutil, "rmtree", busy)
    run = claim(context)
    run.folder.mkdir(parents=True, exist_ok=True)
    with run:
        run.discard(run.folder)
    assert row(context, run.id).status == "finished"


def test_a_silent_run_of_another_host_reads_as_lost_and_a_beating_one_as_running(context: Context) -> None:
    run = claim(context)
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).host = "elsewhere"
    assert runs.status(row(context, run.id)) == "running"
    assert runs.status(row(context, run.id), at=now() + timedelta(minutes=2)) == "lost"


def test_a_silent_run_whose_process_is_alive_reads_as_running_and_is_not_taken_over(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = claim(context)
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).pid = os.getppid()
    assert runs.status(row(context, run.id), at=now() + timedelta(days=2)) == "running"
    monkeypatch.setattr(runs, "LOST_AFTER", timedelta(seconds=-1))
    with pytest.raises(JobError, match=rf"already running as run {run.id}"):
        claim(context)
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).host = "elsewhere"
    assert claim(context).id == run.id


def test_a_run_whose_processs_number_went_to_a_later_process_is_lost(context: Context) -> None:
    run = claim(context)
    silent = datetime.fromtimestamp(psutil.Process().create_time(), UTC) - timedelta(minutes=1)
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).heartbeat = silent
    assert runs.status(row(context, run.id), at=silent) == "lost"


def test_a_run_whose_process_ended_and_is_not_yet_collected_is_lost(context: Context) -> None:
    run = claim(context)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        with session.transaction(context.engine) as db:
            stored = db.get_one(Run, run.id)
            stored.pid, stored.heartbeat = ended.pid, now()
        assert runs.status(row(context, run.id)) == "lost"


def test_the_heartbeat_decides_where_the_process_may_not_be_examined(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    run = claim(context)
    monkeypatch.setattr(psutil, "Process", refused)
    assert runs.status(row(context, run.id)) == "running"
    assert runs.status(row(context, run.id), at=now() + timedelta(minutes=2)) == "lost"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_storing_predictions_holds_up_no_heartbeat(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    run = claim(context)

    def beat(_db: Session, _row: Run) -> None:
        with session.transaction(context.engine) as other:
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            other.get_one(Run, run.id).heartbeat = now()

    monkeypatch.setattr(tallies, "predictions", beat)
    before = row(context, run.id).heartbeat
    run.predictions([], {"threshold": 0.5})
    stored = row(context, run.id)
    assert stored.heartbeat > before and stored.summary == {"threshold": 0.5}


def test_a_run_whose_processs_number_is_a_threads_by_now_is_lost(context: Context) -> None:
    run = claim(context)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).pid = thread.native_id or 0
    standing = runs.status(row(context, run.id))
    done.set()
    thread.join()
    assert standing == "lost"


def test_another_living_process_keeps_its_run(context: Context) -> None:
    run = claim(context)
    with session.transaction(context.engine) as db:
        db.get_one(Run, run.id).pid = os.getppid()
    with pytest.raises(JobError, match=rf"already running as run {run.id}"):
        claim(context)


def test_another_seed_is_another_run(context: Context) -> None:
    claimed = [ActiveRun.claim(context, Work(kind="train", config={}, inputs="same", seed=seed)) for seed in (0, 1, 0)]
    assert claimed[0].id == claimed[2].id != claimed[1].id


def test_fingerprints_follow_content_and_not_order() -> None:
    work = Work(kind="a", config={"x": 1, "y": 2}, inputs="i", seed=0)
    assert work.fingerprint == replace(work, config={"y": 2, "x": 1}).fingerprint
    assert len({one.fingerprint for one in (work, replace(work, kind="b"), replace(work, inputs="j"))}) == 3


def test_redaction_leaves_ordinary_text_alone() -> None:
    assert redact("fold 3 of postgresql://host/db at http://127.0.0.1:8501/x") == (
        "fold 3 of postgresql://host/db at http://127.0.0.1:8501/x"
    )


def test_redaction_hides_a_password_wherever_a_url_has_it() -> None:
    for url in ("postgresql://me:hunter22@host/db", "postgresql://host/db?user=me&password=hunter22&sslmode=require"):
        redacted = redact(f"cannot reach {url} now")
        assert "hunter22" not in redacted and "[secret]" in redacted and "host/db" in redacted


WORKER = """
    import sys, time
    from pathlib import Path
    from db import session
    from jobs.command import Context, command
    from jobs.run import ActiveRun, Work

    @command
    def main(argv=None):
        engine = session.connect(argv[0])
        context = Context(engine, Path(argv[1]), Path(argv[1]))
        run = ActiveRun.claim(context, Work(kind="train", config={}, inputs="worker"))
        with run:
            print(run.id, flush=True)
            for _ in run.track(range(1000), stage="working"):
                time.sleep(0.05)
        return 0

    sys.exit(main(sys.argv[1:]))
"""


def started(context: Context, database_url: str) -> tuple[subprocess.Popen[str], int]:
    """A process in the middle of a run, and the run's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), database_url, str(context.artifacts)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    run_id = int(process.stdout.readline())
    deadline = time.monotonic() + 30
    while row(context, run_id).done == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    return process, run_id


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_the_run_interrupted_with_its_progress(
    context: Context, database_url: str, sent: signal.Signals
) -> None:
    process, run_id = started(context, database_url)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=30)
    stored = row(context, run_id)
    assert (
        process.returncode == 130 and "run the same command again to continue" in stderr and "Traceback" not in stderr
    )
    assert stored.status == "interrupted" and 0 < stored.done < 1000 and stored.eta_seconds


def test_a_killed_run_shows_as_lost_and_can_be_taken_up(context: Context, database_url: str) -> None:
    process, run_id = started(context, database_url)
    process.kill()
    process.communicate(timeout=30)
    stored = row(context, run_id)
    assert stored.status == "running" and runs.status(stored) == "lost"
    resumed = ActiveRun.claim(context, Work(kind="train", config={}, inputs="worker"))
    assert resumed.resumed and resumed.id == run_id
