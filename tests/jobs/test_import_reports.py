"""import_reports: imported reports are read, scored and stored like any other."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import delete

from db import session
from db.models import Report, ReportScore
from db.queries import evaluation, runs
from jobs import evaluate, import_reports
from jobs.command import Context
from tests.finished_runs import World, make_world

ILL = "There is consolidation in the right lower lobe, consistent with pneumonia."
WELL = "The lungs are clear. No pneumonia."
TOML = "[strategies.terse]\ntext = 'One word.'\n"


@pytest.fixture
def world(context: Context, job_options: list[str], tmp_path: Path) -> World:
    made = make_world(context, job_options, tmp_path / "drawn", synthetic=False)
    made.add_predict(made.add_train())
    return made


def file_of(world: World, rows: Sequence[tuple[str, ...]], *, columns: str = "path,report,strategy") -> Path:
    file = world.context.artifacts / "written.csv"
    file.write_text("\n".join([columns, *(",".join(f'"{cell}"' for cell in row) for row in rows)]))
    return file


def written(world: World, count: int, *strategies: str) -> list[tuple[str, ...]]:
    """A correct report on each of the first test images, under each strategy."""
    images = world.of("test")[:count]
    return [(image.path, ILL if image.label else WELL, strategy) for image in images for strategy in strategies]


def imported(world: World, file: Path, *options: str) -> int:
    return import_reports.main([str(file), "--model", "our-vlm", *options, *world.options])


def test_foreign_reports_are_scored_and_measured_like_any_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*written(world, 12, "basic", "differential"), *written(world, 14, "clinical_brief")]
    assert imported(world, file_of(world, rows)) == 0
    assert "38 reports by our-vlm; next, run: python -m jobs evaluate --dataset drawn" in capsys.readouterr().out
    with session.transaction(world.context.engine) as db:
        found = db.query(Report).all()
        assert {(one.model, one.revision, one.strategy) for one in found} == {
            ("our-vlm", "imported", name) for name in ("basic", "differential", "clinical_brief")
        }
        right = db.query(ReportScore).filter_by(metric="stance_agreement").all()
        assert [one.value for one in right] == [1.0] * 38
    assert evaluate.main([*world.options, "--replicates", "100"]) == 0
    stored = world.evaluated()
    assert stored["reports", "our-vlm / clinical_brief", "stance_agreement"].n == 14
    assert stored["reports", "our-vlm / basic", "stance_agreement"].n == 12


def test_the_same_file_is_done_once_also_after_reports_went(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(world, written(world, 5, "basic"))
    assert imported(world, file) == imported(world, file) == 0
    assert "already done as run" in capsys.readouterr().out
    with session.transaction(world.context.engine) as db:
        db.execute(delete(Report).where(Report.image_sha256 == world.of("test")[0].sha256))
    assert imported(world, file) == 0
    with session.transaction(world.context.engine) as db:
        assert db.query(Report).count() == 5


def test_more_reports_of_a_model_stand_beside_the_earlier_and_a_new_revision_in_their_place(world: World) -> None:
    assert imported(world, file_of(world, written(world, 5, "basic"))) == 0
    assert imported(world, file_of(world, written(world, 9, "basic")[5:])) == 0
    with session.transaction(world.context.engine) as db:
        assert len(evaluation.reports(db, world.dataset.id)) == 9
    assert imported(world, file_of(world, written(world, 3, "basic")), "--revision", "second") == 0
    with session.transaction(world.context.engine) as db:
        assert {one.revision for one in evaluation.reports(db, world.dataset.id)} == {"second"}
        assert db.query(Report).count() == 12


def test_rows_without_a_report_are_skipped_and_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    first, *rows = written(world, 5, "basic")
    assert imported(world, file_of(world, [(first[0], " ", "basic"), *rows])) == 0
    said = capsys.readouterr().out
    assert "skipped 1 row without a report\n" in said and "4 reports by our-vlm" in said


def test_another_text_under_the_same_revision_is_refused_and_nothing_lost(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(world, 5, "basic")
    assert imported(world, file_of(world, rows)) == 0
    changed = [(path, f"{text} Again.", strategy) for path, text, strategy in rows]
    assert imported(world, file_of(world, changed)) == 2
    first = world.of("test")[0].path
    said = (
        "5 reports of our-vlm under 'basic' are already stored with a different text, for example the one on "
        f"{first}; choose another --revision"
    )
    assert said in capsys.readouterr().err
    with session.transaction(world.context.engine) as db:
        assert {one.text for one in db.query(Report)} <= {ILL, WELL}


def test_reports_that_could_not_be_read_are_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(path, "Kein Hinweis auf eine Entzuendung.", strategy) for path, _, strategy in written(world, 5, "basic")]
    assert imported(world, file_of(world, rows)) == evaluate.main([*world.options, "--replicates", "100"]) == 0
    assert "no stance on pneumonia could be read in 5 of 5 reports of our-vlm / basic" in capsys.readouterr().out


def test_one_strategy_for_all_and_one_of_ones_own(world: World, tmp_path: Path) -> None:
    rows = [(path, text) for path, text, _ in written(world, 3, "basic")]
    file = file_of(world, rows, columns="path,report")
    assert imported(world, file, "--strategy", "Basic") == 0
    own = tmp_path / "own.toml"
    own.write_text(TOML)
    assert imported(world, file, "--strategy", "terse", "--strategies-file", str(own)) == 0
    with session.transaction(world.context.engine) as db:
        assert sorted({one.strategy for one in db.query(Report)}) == ["basic", "terse"]


def test_what_has_no_image_or_no_prediction_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    train = world.of("train")[0]
    rows = [*written(world, 2, "basic"), (train.path, ILL, "basic"), ("gone.png", ILL, "basic"), ("x.png", "", "basic")]
    assert imported(world, file_of(world, rows)) == 0
    said = capsys.readouterr().out
    assert "warning: 1 paths in " in said and "match no image: gone.png" in said
    with session.transaction(world.context.engine) as db:
        predict = runs.current(db, "predict", world.dataset.id)
        assert predict is not None
        assert f"skipped reports on 1 images that run {predict.id} did not score" in said
        assert db.query(Report).count() == 2


@pytest.mark.parametrize(
    ("rows", "columns", "options", "expected"),
    [
        (
            [("a.png", ILL, "basic")],
            "path,report,strategy",
            [],
            "of dataset 'drawn', whose paths look like ",
        ),
        ([("a.png", ILL)], "path,report", [], "; where there is one strategy for all, name it: --strategy"),
        ([("a.png", ILL, "")], "path,report,strategy", [], "line 2: no strategy; fill it in, or name one for all"),
        (
            None,
            "path,report,strategy",
            ["--model", "template"],
            "'template' is the name of a built-in report generator",
        ),
        ([], "path,report", ["--strategy", "terse"], "has no report on an image"),
        (None, "path,report,strategy", [], "prompt strategy 'poetic' is unknown; known: basic"),
        (
            None,
            "path,report,strategy",
            ["--strategy", "basic,differential"],
            "strategy 'basic,differential' is unknown",
        ),
        (None, "path,report,strategy", ["--strategy", "all"], "prompt strategy 'all' is unknown; known: basic"),
        (None, "path,report,strategy", ["--strategy", "poetic"], "prompt strategy 'poetic' is unknown; known: basic"),
    ],
)
def test_bad_input_is_one_line(
    world: World,
    capsys: pytest.CaptureFixture[str],
    rows: list[tuple[str, ...]] | None,
    columns: str,
    options: list[str],
    expected: str,
) -> None:
    file = file_of(world, written(world, 2, "poetic") if rows is None else rows, columns=columns)
    assert imported(world, file, *options) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_a_missing_file_and_two_reports_on_one_image_are_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(world, Path("none.csv")) == 1
    assert "none.csv is not there; give a CSV file with columns path, report and strategy" in capsys.readouterr().err
    path = world.of("test")[0].path
    assert imported(world, file_of(world, [(path, ILL, "basic"), (path, WELL, "basic")])) == 1
    assert f"line 3: a second report for {path} under 'basic'; keep one" in capsys.readouterr().err
