"""forget: what is deleted with a run, what is kept, what is refused, and what is left after an interruption."""

import re
import shutil
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from db import forgetting, session, tallies
from db.models import Artifact, Base, Image, Prediction, Prompt, Report, Run, TrainedOn, VectorIndex, now
from db.queries import indexes, runs
from jobs import evaluate, forget, import_predictions, import_reports, report, score
from jobs import map as jobs_map
from jobs.command import Context, JobError
from jobs.forgetting import leftovers
from jobs.run import ActiveRun, Work
from tests.finished_runs import World, make_world

TALLIES = ("image_tally", "prediction_tally", "report_tally")
TEMPLATE = ["--strategies", "basic"]


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    return make_world(context, job_options, tmp_path / "drawn", synthetic=False)


@pytest.fixture
def common(job_options: list[str]) -> list[str]:
    return job_options


def everything(context: Context) -> dict[str, list[str]]:
    """Every row of every table, and every file."""
    tables = [table for table in Base.metadata.sorted_tables if isinstance(table, Table)]
    with session.reading(context.engine) as db:
        found = {table.name: sorted(map(repr, db.execute(select(table)).all())) for table in tables}
    files = [path for path in context.artifacts.rglob("*") if path.is_file()]
    found["files"] = sorted(f"{path.relative_to(context.artifacts)} {path.stat().st_size}" for path in files)
    return found


def counts(context: Context) -> dict[str, int]:
    """The number of rows in each table."""
    return {name: len(rows) for name, rows in everything(context).items() if name != "files"}


def tallied(context: Context) -> dict[str, list[tuple[Any, ...]]]:
    """The tallies, without row ids."""
    found = {}
    with session.reading(context.engine) as db:
        for name in TALLIES:
            columns = [column for column in Base.metadata.tables[name].columns if column.name != "id"]
            rows = [
                tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in db.execute(select(*columns))
            ]
            found[name] = sorted(rows, key=repr)
    return found


def recount(context: Context) -> None:
    """Recount everything."""
    with session.transaction(context.engine) as db:
        for dataset_id in {row.dataset_id for row in db.scalars(select(Image))}:
            tallies.dataset(db, dataset_id)


def assert_whole(context: Context, *, gone: Collection[int] = ()) -> None:
    """Tallies agree with the rows, no row refers to a deleted run or file, and every run folder has its run.

    gone: runs that a run of reports still names.
    """
    before = tallied(context)
    recount(context)
    assert tallied(context) == before
    with session.reading(context.engine) as db:
        known = {run.id: run for run in db.scalars(select(Run))}
        for table in Base.metadata.sorted_tables:
            for key in table.foreign_keys:
                absent = key.parent.is_not(None) & key.parent.not_in(select(key.column))
                assert db.scalar(select(func.count()).select_from(table).where(absent)) == 0, f"{table.name}, {key}"
        for run in known.values():
            assert runs.named_in(run.config, run.summary) <= known.keys() | {1, *gone}  # finished_runs makes one up
        paths = [*db.scalars(select(Artifact.path)), *db.scalars(select(VectorIndex.path))]
        built = set(db.scalars(select(VectorIndex.path)))
    assert [path for path in paths if not (context.artifacts / path).exists()] == []
    folders = [path.name for path in (context.artifacts / "runs").iterdir()]
    assert [name for name in folders if not re.match(r"\d{4}-", name) or int(name[:4]) not in known] == []
    here = {path.relative_to(context.artifacts).as_posix() for path in context.artifacts.glob("indexes/*/*")}
    assert here == built


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def numbers(text: str) -> dict[str, int]:
    """The numbers of rows by kind, and of files, that the output lists for deletion."""
    found = re.findall(r"^  ([a-z][a-z -]*?) +([\d,]+)(?:  .*)?$", text, re.MULTILINE)
    return {kind: int(number.replace(",", "")) for kind, number in found}


def error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def predicted(world: World, *, seed: int = 0, name: str = "DenseNet-121") -> int:
    """A run of imported predictions on the test split."""
    file = world.context.artifacts.parent / f"said-{seed}.csv"
    lines = [f"{image.path},{(image.id * (seed + 7)) % 101 / 101}" for image in world.of("test")]
    file.write_text("\n".join(["path,probability", *lines]))
    assert import_predictions.main([str(file), "--classifier", name, *world.options]) == 0
    with session.reading(world.context.engine) as db:
        found = runs.current(db, "predict", world.dataset.id)
    assert found is not None
    return found.id


def reported(world: World, *, images: str = "4", strategies: str = "basic") -> int:
    """A run of `template` on the current predict run."""
    assert report.main([*world.options, "--images", images, "--strategies", strategies]) == 0
    with session.reading(world.context.engine) as db:
        found = runs.current(db, "report", world.dataset.id)
    assert found is not None
    return found.id


def of_run(context: Context, run_id: int) -> int:
    """The number of the run's reports."""
    with session.reading(context.engine) as db:
        return db.scalar(select(func.count()).select_from(Report).where(Report.run_id == run_id)) or 0


def test_without_yes_it_tells_what_would_go_and_changes_nothing(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    number = predicted(world)
    written = reported(world)
    before = everything(world.context)
    said(capsys)
    assert forget.main([str(number), *common]) == 0
    lines = said(capsys).splitlines()
    assert everything(world.context) == before
    assert lines[0] == f"forget: run {number}"
    told = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines}
    assert (told["runs"], told["predictions"], told["reports"]) == ("2", "50", "4")
    assert any(
        line.split()[:2] == [f"{written}", "report,"]
        for line in lines[lines.index("built on these, so they would be deleted too:") :]
    )
    assert "current afterwards: no predict run" in lines
    assert lines[-1].endswith(f"to delete, run: python -m jobs forget {number} --with-dependents --yes")


@pytest.mark.parametrize("kind", ["train", "predict", "report", "embed", "audit", "evaluate", "map"])
def test_a_run_goes_with_its_rows_and_files_and_leaves_nothing_behind(
    world: World, common: list[str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train = world.add_train()
    asked = world.add_predict(train)
    world.add_audit(asked)
    world.add_index()
    world.add_index("imagenet-lite0")
    world.add_reports()
    recount(world.context)
    assert jobs_map.main([*world.options, "--methods", "tsne", "--clusters", "2"]) == 0
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    with session.reading(world.context.engine) as db:
        run = runs.current(db, kind, world.dataset.id)
        assert run is not None
    said(capsys)
    before = counts(world.context)
    assert forget.main([str(run.id), "--with-dependents", "--yes", *common]) == 0
    told = numbers(said(capsys))
    after = counts(world.context)
    assert before["prediction"] - after["prediction"] == told.get("predictions", 0)
    assert before["metric"] - after["metric"] == told.get("metrics", 0)
    assert before["report"] - after["report"] == told.get("reports", 0)
    assert before["run"] - after["run"] == told["runs"] - 1  # the forget job is a run itself
    assert after["image"] == before["image"] and after["dataset"] == before["dataset"]
    assert_whole(world.context)
    with session.reading(world.context.engine) as db:
        assert runs.find(db, run.id) is None


def test_rows_of_every_table_have_a_name() -> None:
    assert set(Base.metadata.tables) - set(forgetting.WORDS) <= {"prompt"}


def test_the_counts_that_are_told_are_those_of_the_rows_that_go(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train = world.add_train()
    world.add_audit(world.add_predict(train))
    recount(world.context)
    before = counts(world.context)
    said(capsys)
    assert forget.main([str(train.id), "--with-dependents", "--yes", *common]) == 0
    told = numbers(said(capsys))
    after = counts(world.context)
    gone = sum(before[name] - after[name] for name in before) + 1  # the forget run was added
    assert gone == sum(told.values()) - told["files"]
    assert (before["trained_on"], after["trained_on"]) == (50, 0)


def test_a_run_that_others_were_built_on_is_refused_and_goes_with_them_when_they_are_named(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train = world.add_train()
    predict = world.add_predict(train)
    audit = world.add_audit(predict)
    before = everything(world.context)
    assert forget.main([str(train.id), "--yes", *common]) == 1
    assert error(capsys) == (
        f"error: runs {predict.id} and {audit.id} were built on run {train.id}; add their numbers, or --with-dependents"
    )
    assert forget.main([str(train.id), str(predict.id), "--yes", *common]) == 1
    assert f"run {audit.id} was built on runs {train.id} and {predict.id}" in error(capsys)
    assert everything(world.context) == before
    assert forget.main([*(str(run.id) for run in (train, predict, audit)), "--yes", *common]) == 0
    assert_whole(world.context)


def test_what_averages_lays_out_quotes_or_measures_a_run_was_built_on_it(world: World, common: list[str]) -> None:
    first = world.add_train()
    mean = world.finish("train", recipe={"name": "ensemble"}, parts={"lite0": first.id})
    index = world.add_index("classifier", train_run=first.id)
    assert jobs_map.main([*world.options, "--methods", "tsne", "--clusters", "0"]) == 0
    with session.reading(world.context.engine) as db:
        laid_out = runs.current(db, "map", world.dataset.id)
        built = indexes.of_run(db, index.id)
        assert laid_out is not None and built is not None
    near = world.finish("report", model="nearest", settings={"index": built.sha256})
    measured = world.finish("evaluate", indexes={"classifier": built.id}, predict_run=None)
    exported = world.finish("export", evaluate_run=measured.id, folder="/somewhere")
    alone = world.finish("evaluate", indexes={"classifier": built.id + 1})
    assert forget.main([str(first.id), "--with-dependents", "--yes", *common]) == 0
    with session.reading(world.context.engine) as db:
        left = set(db.scalars(select(Run.id).where(Run.kind != "forget")))
        gone = set(runs.forgettings(db)[0].config["runs"])
    assert left == {alone.id}
    assert gone == {run.id for run in (first, mean, index, laid_out, near, measured, exported)}


def test_an_evaluation_that_measured_reports_was_built_on_them_and_one_before_them_was_not(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_reports(model="ours", revision="1")
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    earlier = current(world, "evaluate")
    second = world.add_reports(model="ours", revision="2")
    recount(world.context)
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    later = current(world, "evaluate")
    exported = world.finish("export", evaluate_run=later, folder="/somewhere")
    assert forget.main([str(second.id), "--yes", *common]) == 1
    assert error(capsys).startswith(f"error: runs {later} and {exported.id} were built on run {second.id};")
    assert forget.main([str(second.id), "--with-dependents", "--yes", *common]) == 0
    assert current(world, "evaluate") == earlier
    assert_whole(world.context)


def current(world: World, kind: str) -> int:
    with session.reading(world.context.engine) as db:
        found = runs.current(db, kind, world.dataset.id)
    assert found is not None
    return found.id


def test_a_run_that_is_still_running_is_refused_and_one_whose_process_is_gone_is_not(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = ActiveRun.claim(world.context, Work(kind="train", config={"long": True}, dataset_id=world.dataset.id))
    before = everything(world.context)
    for more in ([], ["--yes"]):
        assert forget.main([str(run.id), *more, *common]) == 1
        assert f"run {run.id} (train) is still running" in error(capsys)
    assert everything(world.context) == before
    with session.transaction(world.context.engine) as db:
        db.get_one(Run, run.id).pid = 2**22 + 1
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert not run.folder.exists()


def test_numbers_that_are_no_run_or_stay_are_refused_in_one_line(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ingest = world.finish("ingest", folder="/films")
    number = world.add_train().id
    assert forget.main(["77", *common]) == 2
    assert error(capsys) == "error: there is no run 77; see the Runs page"
    assert forget.main([str(ingest.id), *common]) == 2
    assert (
        "is the current ingest of dataset 'drawn'; forget the whole dataset with: python -m jobs forget --dataset drawn"
        in error(capsys)
    )
    assert forget.main([str(number), "--yes", *common]) == 0
    said(capsys)
    assert forget.main([str(number), "--yes", *common]) == 0
    assert said(capsys) == f"forget: run {number} was already forgotten by run {number + 1}\n"
    assert forget.main([str(number + 1), *common]) == 2
    assert "records what was forgotten and cannot be forgotten itself" in error(capsys)


@pytest.mark.parametrize("words", [[], ["3", "--dataset", "drawn"], ["3", "--reviews-too"], ["--dataset", "other"]])
def test_a_command_that_names_neither_or_both_is_wrong_use(
    world: World, common: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert forget.main([*words, *common]) == 2
    assert error(capsys)


def test_the_number_of_a_forgotten_run_is_never_given_again(world: World, common: list[str]) -> None:
    last = world.add_train().id
    assert forget.main([str(last), "--yes", *common]) == 0
    assert world.add_train().id > last


def test_the_next_latest_is_current_and_what_was_forgotten_is_done_again(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = predicted(world), predicted(world, seed=1)
    written = reported(world)
    older, newer = world.add_index().id, world.add_index().id
    assert forget.main([str(second), str(written), str(newer), "--yes", *common]) == 0
    assert f"current afterwards: predict run {first}" in said(capsys)
    assert current(world, "predict") == first
    with session.reading(world.context.engine) as db:
        assert [index.run_id for index in indexes.current(db, world.dataset.id)] == [older]
    assert predicted(world, seed=1) not in (first, second)
    again = reported(world)
    assert again != written and of_run(world.context, again) == 4
    assert "already done" not in said(capsys)
    assert_whole(world.context)


def test_a_finished_training_is_not_said_to_be_done_once_it_was_forgotten(world: World, common: list[str]) -> None:
    def claimed() -> ActiveRun:
        return ActiveRun.claim(world.context, Work(kind="train", config={"recipe": "x"}, dataset_id=world.dataset.id))

    with claimed() as run:
        run.summary = {"threshold": 0.5}
    assert claimed().already_finished
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert not claimed().already_finished


def test_what_begins_to_build_on_a_run_while_it_is_forgotten_is_told(world: World, common: list[str]) -> None:
    train = world.add_train()
    assert forget.main([str(train.id), "--yes", *common]) == 0
    with pytest.raises(JobError, match=f"run {train.id}, which this builds on, was forgotten in the meantime by run"):
        ActiveRun.claim(world.context, Work(kind="predict", config={"train_run": train.id}))


def test_a_job_that_starts_on_a_run_and_one_that_forgets_it_wait_for_each_other_and_never_both(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = world.add_train()
    failed: list[Exception] = []

    def forgotten() -> None:
        try:
            with session.transaction(world.context.engine) as db:
                forgetting.hold(db, [train.id], dataset_id=world.dataset.id)
        except Exception as error:
            failed.append(error)

    meanwhile, hold = threading.Thread(target=forgotten), runs.hold

    def held(db: Session, numbers: Collection[int]) -> set[int]:
        found = hold(db, numbers)
        meanwhile.start()
        meanwhile.join(timeout=1)  # it waits for the dataset, or it waits for the run and holds the dataset
        return found

    monkeypatch.setattr(runs, "hold", held)
    run = ActiveRun.claim(
        world.context, Work(kind="predict", config={"train_run": train.id}, dataset_id=world.dataset.id)
    )
    meanwhile.join(timeout=60)
    assert not meanwhile.is_alive() and failed == [] and run.id > train.id


def test_reports_that_another_run_asked_for_too_go_over_to_it(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(world)
    few = reported(world, images="4")
    every = reported(world, images="all")
    assert (of_run(world.context, few), of_run(world.context, every)) == (4, 46)
    assert forget.main([str(few), "--yes", *common]) == 0
    assert f"kept: 4 reports also requested by run {every}" in said(capsys)
    assert of_run(world.context, every) == 50
    assert_whole(world.context)
    few = reported(world, images="4")
    assert of_run(world.context, few) == 0
    assert forget.main([str(every), "--yes", *common]) == 0
    assert of_run(world.context, few) == 4 == counts(world.context)["report"]
    assert_whole(world.context)


def test_reports_whose_texts_rest_on_no_classifier_stay_where_the_predictions_go_that_they_were_scored_against(
    world: World, common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, wrong = predicted(world), predicted(world, seed=1, name="mistyped")
    rows = [f"{image.path},No pneumonia.,basic" for image in world.of("test")[:4]]
    (tmp_path / "written.csv").write_text("\n".join(["path,report,strategy", *rows]))
    assert import_reports.main([str(tmp_path / "written.csv"), "--model", "ours", *world.options]) == 0
    theirs = current(world, "report")
    template = reported(world)
    assert score.main([*world.options, "--predict-run", str(kept)]) == 0
    done = current(world, "score")
    assert report.main([*world.options, "--images", "4", *TEMPLATE, "--predict-run", str(wrong)]) == 0
    said(capsys)
    assert forget.main([str(wrong), "--with-dependents", "--yes", *common]) == 0
    told = said(capsys)
    assert f"kept: reports of run {theirs}, whose texts depend on nothing that is deleted" in told
    assert "rescore them afterwards with: python -m jobs score --dataset drawn" in told
    assert (of_run(world.context, theirs), of_run(world.context, template)) == (4, 0)
    assert_whole(world.context, gone={wrong})
    assert score.main(world.options) == 0
    assert current(world, "score") > done
    assert forget.main([str(theirs), "--yes", *common]) == 0
    assert counts(world.context)["report"] == 0


def test_reports_under_another_prompt_or_of_other_predictions_do_not_go_over(world: World, common: list[str]) -> None:
    predicted(world)
    written = reported(world, images="4")
    reported(world, images="4", strategies="differential")
    predicted(world, seed=1)
    reported(world, images="all")
    assert forget.main([str(written), "--yes", *common]) == 0
    assert counts(world.context)["report"] == 54
    assert_whole(world.context)


def test_a_prompt_that_nothing_was_written_for_any_more_goes_and_its_text_can_have_another_name(
    world: World, common: list[str], tmp_path: Path
) -> None:
    predicted(world)
    kept = reported(world)
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(f"[strategies.{name}]\ntext = 'Describe the film.'\n")
    given = ["--images", "2", "--strategies", "first", "--strategies-file", str(tmp_path / "first.toml")]
    assert report.main([*world.options, *given]) == 0
    own = current(world, "report")
    renamed = [word.replace("first", "second") for word in given]
    assert report.main([*world.options, *renamed]) == 2
    assert forget.main([str(own), "--yes", *common]) == 0
    with session.reading(world.context.engine) as db:
        assert list(db.scalars(select(Prompt.strategy))) == ["basic"]
    assert report.main([*world.options, *renamed]) == 0
    assert of_run(world.context, kept) == 4


def test_scores_are_made_anew_where_the_run_that_made_them_was_forgotten(
    world: World, common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = predicted(world)
    reported(world)
    assert score.main([*world.options, "--predict-run", str(first)]) == 0
    done = current(world, "score")
    other = predicted(world, seed=1)
    assert score.main([*world.options, "--predict-run", str(other)]) == 0
    assert forget.main([str(other), "--with-dependents", "--yes", *common]) == 0
    assert score.main([*world.options, "--predict-run", str(first)]) == 0
    again = current(world, "score")
    assert again > done, "the scores were made against predictions that are forgotten"
    assert score.main([*world.options, "--predict-run", str(first)]) == 0
    assert current(world, "score") == again


def test_the_test_split_stays_opened_by_predictions_that_were_forgotten(world: World, common: list[str]) -> None:
    def opened() -> int:
        with session.reading(world.context.engine) as db:
            return runs.test_openings(db, world.dataset.id)

    first = predicted(world)
    predicted(world, seed=1)
    assert opened() == 2
    assert forget.main([str(first), "--yes", *common]) == 0
    assert opened() == 2
    predicted(world)
    assert opened() == 3


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def removal_killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Removing a folder ends the process after the first file."""

    def killed(folder: Path) -> None:
        next(path for path in folder.iterdir() if path.name != "owner.txt").unlink()
        raise Killed

    monkeypatch.setattr(leftovers, "_remove", killed)
    yield monkeypatch


def lost(context: Context) -> None:
    """Mark the unfinished runs' processes as dead."""
    with session.transaction(context.engine) as db:
        for run in db.scalars(select(Run).where(Run.kind == "forget", Run.status != "finished")):
            run.status, run.pid, run.heartbeat = "running", 2**22 + 1, now()


@pytest.mark.parametrize("after", ["the same command", "another"])
def test_killed_between_rows_and_files_no_row_names_a_missing_file_and_the_next_one_removes_them(
    world: World,
    common: list[str],
    after: str,
    removal_killed: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, other = world.add_predict(), world.add_train()
    recount(world.context)
    with pytest.raises(Killed):
        forget.main([str(run.id), "--yes", *common])
    lost(world.context)
    removal_killed.undo()
    with session.reading(world.context.engine) as db:
        assert runs.find(db, run.id) is None and runs.find(db, other.id) is not None
    assert run.folder.exists()
    said(capsys)
    assert forget.main([str(other.id), *common]) == 0
    assert (
        "was interrupted; with --yes the files that it left are deleted first" in said(capsys) and run.folder.exists()
    )
    named = run if after == "the same command" else other
    assert forget.main([str(named.id), "--yes", *common]) == 0
    assert "which was interrupted" in (done := said(capsys)) and "forget: finished run" in done
    assert not run.folder.exists() and other.folder.exists() == (named is run)
    with session.reading(world.context.engine) as db:
        assert {row.status for row in runs.forgettings(db)} == {"finished"}
    assert_whole(world.context)


def test_killed_before_the_rows_go_everything_is_there_and_the_same_command_does_it(
    world: World, common: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.add_predict()
    recount(world.context)
    before = counts(world.context)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "forget", killed)
        with pytest.raises(Killed):
            forget.main([str(run.id), "--yes", *common])
    lost(world.context)
    assert counts(world.context) == before | {"run": before["run"] + 1} and run.folder.exists()
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert counts(world.context)["run"] == before["run"] and not run.folder.exists()
    assert_whole(world.context)


def test_a_folder_that_cannot_be_removed_is_one_line_and_goes_the_next_time(
    world: World, common: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = world.add_predict()

    def refused(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(leftovers, "_remove", refused)
        assert forget.main([str(run.id), "--yes", *common]) == 1
    assert "Permission denied" in error(capsys)
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert not run.folder.exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_folders_of_another_database_with_the_same_numbers_stay(
    world: World, common: list[str], template: Path, tmp_path: Path
) -> None:
    shutil.copy(template, tmp_path / "second.db")
    second = Context(
        session.connect(f"sqlite:///{tmp_path / 'second.db'}"), world.context.artifacts, tmp_path / "models"
    )
    mine = world.add_predict()
    theirs = ActiveRun.claim(second, Work(kind="predict", config={"other": True}))
    with theirs:
        (theirs.folder / "heatmaps.npy").write_bytes(b"theirs")
    assert theirs.id == mine.id and theirs.folder != mine.folder
    elsewhere = ["--database", f"sqlite:///{tmp_path / 'second.db'}", "--artifacts", str(world.context.artifacts)]
    assert forget.main([str(mine.id), "--yes", *common]) == 0
    assert not mine.folder.exists() and (theirs.folder / "heatmaps.npy").read_bytes() == b"theirs"
    again = world.add_predict()
    assert forget.main([str(theirs.id), "--yes", *elsewhere]) == 0
    assert not theirs.folder.exists() and again.folder.exists()
    second.engine.dispose()


def test_an_index_whose_folder_was_taken_by_another_database_stays(world: World, common: list[str]) -> None:
    run = world.add_index()
    with session.reading(world.context.engine) as db:
        built = indexes.of_run(db, run.id)
        assert built is not None
    (run.folder / "owner.txt").write_text("another's\n")
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert (world.context.artifacts / built.path).is_dir() and run.folder.is_dir()


def test_a_folder_that_another_run_took_before_it_was_removed_stays(world: World) -> None:
    run = world.add_index()
    with session.reading(world.context.engine) as db:
        paths = forgetting.index_paths(db, [run.id])[run.id]
        left = leftovers.Left.of(world.context.artifacts, db.get_one(Run, run.id), paths)
    assert len(list(left.folders(world.context.artifacts))) == 2
    (run.folder / "owner.txt").write_text("another's\n")
    assert left.remove(world.context.artifacts, used=()) == leftovers.Size()
    assert run.folder.is_dir() and (world.context.artifacts / paths[0]).is_dir()


def test_a_folder_names_its_owner_until_nothing_else_is_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.add_predict()
    (run.folder / "parts").mkdir()

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with session.reading(world.context.engine) as db:
        left = leftovers.Left.of(world.context.artifacts, db.get_one(Run, run.id), [])
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refused)
        with pytest.raises(PermissionError):
            left.remove(world.context.artifacts, used=())
    assert (run.folder / "owner.txt").is_file()
    left.remove(world.context.artifacts, used=())
    assert not run.folder.exists()


def test_an_index_that_another_runs_row_refers_to_stays(world: World, common: list[str]) -> None:
    run, other = world.add_index(), world.finish("embed", embedder="classifier", again=True)
    with session.transaction(world.context.engine) as db:
        built = indexes.of_run(db, run.id)
        assert built is not None
        same = {column.name: getattr(built, column.name) for column in VectorIndex.__table__.columns}
        db.add(VectorIndex(**{**same, "id": None, "run_id": other.id}))
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert (world.context.artifacts / built.path).is_dir() and not run.folder.exists()


def test_a_path_that_leads_out_of_the_artifact_folder_is_not_followed(world: World, common: list[str]) -> None:
    run = world.add_index()
    outside = world.context.artifacts.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    with session.transaction(world.context.engine) as db:
        built = indexes.of_run(db, run.id)
        assert built is not None
        built.path = "indexes/../../outside"
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert (outside / "kept").is_file()


def test_exported_files_are_left_alone(world: World, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = world.exports
    run = world.finish("export", folder=str(folder))
    folder.mkdir(parents=True)
    (folder / "roc.png").write_bytes(b"picture")
    with run:
        run.artifact("roc.png", folder / "roc.png")
    assert forget.main([str(run.id), "--yes", *common]) == 0
    assert f"kept: exported files in {folder}" in said(capsys)
    assert (folder / "roc.png").read_bytes() == b"picture"


def test_predictions_of_training_images_are_no_more_once_what_learned_from_them_was_forgotten(
    world: World, common: list[str]
) -> None:
    train = world.add_train()
    predict = world.add_predict(train)
    other = world.add_train()
    assert forget.main([str(train.id), "--with-dependents", "--yes", *common]) == 0
    with session.reading(world.context.engine) as db:
        assert set(db.scalars(select(TrainedOn.run_id))) == {other.id}
        assert not db.scalars(select(Prediction.id).where(Prediction.run_id.in_([train.id, predict.id]))).all()
