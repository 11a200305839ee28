"""Does the report job survive an endpoint's failures, and being killed at any moment?"""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from db import session
from db.models import Report, ReportFailure, ReportScore, Run
from engine.reporting.generators import endpoint
from jobs import report, score
from tests.jobs.test_report import EACH, REPOSITORY, predicted_dataset
from tests.stub_endpoint import Stub, stub_endpoint

SHORT = ["--strategies", "basic,clinical_brief", "--deadline", "30", "--concurrency", "4"]


@pytest.fixture
def _predicted(engine: Engine, tmp_path: Path) -> int:
    return predicted_dataset(engine, tmp_path)


def counted(engine: Engine) -> tuple[int, int]:
    with session.transaction(engine) as db:
        return (
            db.scalar(select(func.count()).select_from(Report)) or 0,
            db.scalar(select(func.count()).select_from(ReportFailure)) or 0,
        )


@pytest.mark.usefixtures("_predicted")
def test_what_failed_is_a_row_with_its_reason_and_is_tried_again_by_the_next_run(
    engine: Engine, job_options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.02)
    with stub_endpoint(Stub(answer=lambda number: "" if number % 5 == 0 else "No pneumonia.")) as stub:
        command = [*job_options, *SHORT, "--model", f"openai:stub@{stub.url}"]
        assert report.main(command) == 1
        assert counted(engine) == (16, 4)
        said = capsys.readouterr().out
        assert "wrote 16 of 20 reports (0 already existed)" in said
        assert "4 failed: the answer is empty" in said and "run the same command again to retry them" in said
        with session.transaction(engine) as db:
            assert {row.reason for row in db.scalars(select(ReportFailure))} == {"the answer is empty"}
        asked = len(stub.asked)
        stub.answer = lambda _: "Pneumonia on the right."
        assert report.main(command) == 0
        assert (counted(engine), len(stub.asked)) == ((20, 0), asked + 4)
        assert report.main(command) == 0
        assert "already done as run" in capsys.readouterr().out and len(stub.asked) == asked + 4


@pytest.mark.usefixtures("_predicted")
def test_text_and_reasons_that_no_database_takes_are_kept_without_what_is_odd_in_them(
    engine: Engine, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    odd: list[str | int] = ["No\0 pneumonia.", "No pneumonia \ud83d", "Heart \U0001fac0 normal.", 400]
    with stub_endpoint(Stub(answer=lambda number: odd[number % 4], usage={"completion_tokens": None})) as stub:
        assert report.main([*job_options, *SHORT, "--model", f"openai:stub@{stub.url}"]) == 1
    assert counted(engine) == (15, 5)
    with session.transaction(engine) as db:
        kept = {"No pneumonia.": 2, "No pneumonia \ufffd": 3, "Heart \U0001fac0 normal.": 3}
        assert {row.text: row.tokens for row in db.scalars(select(Report))} == kept
        (reason,) = {row.reason for row in db.scalars(select(ReportFailure))}
    assert "status 400 \ufffd" in reason and f"5 failed: {reason}" in capsys.readouterr().out


@pytest.mark.usefixtures("_predicted")
def test_an_image_that_vanished_fails_alone_and_a_refusal_stops_the_run_with_one_line(
    engine: Engine, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stub_endpoint(Stub()) as stub:
        command = [*job_options, *SHORT, "--images", "all", "--model", f"openai:stub@{stub.url}"]
        (tmp_path / "drawn-3.png").unlink()
        assert report.main(command) == 1
        assert counted(engine) == (38, 2)
        assert "image drawn-3.png cannot be used" in capsys.readouterr().out
    with stub_endpoint(Stub(answer=lambda _: 401)) as stub:
        assert report.main([*job_options, *SHORT, "--model", f"openai:stub@{stub.url}"]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and "set OPENAI_API_KEY" in error
    assert counted(engine) == (38, 3)


@pytest.mark.usefixtures("_predicted")
def test_what_was_answered_before_a_refusal_is_kept(engine: Engine, job_options: list[str]) -> None:
    with stub_endpoint(Stub(answer=lambda number: "No pneumonia." if number < 5 else 401)) as stub:
        assert report.main([*job_options, "--concurrency", "1", "--model", f"openai:stub@{stub.url}"]) == 1
    assert counted(engine) == (5, 0)


DRIVER = """
import os, random, signal, sys, time
from engine.reporting.generators import endpoint
from jobs import report
import jobs.reporting.writer, engine.reporting.scores, engine.imaging.images

draw = random.Random(int(sys.argv[1]))
for _ in range(50):
    child = os.fork()
    if child == 0:
        os._exit(report.main(sys.argv[2:]))
    time.sleep(draw.uniform(0, 0.4))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.usefixtures("_predicted")
def test_killed_fifty_times_at_random_no_report_is_missing_doubled_or_cut(
    engine: Engine, job_options: list[str]
) -> None:
    answer = "The lungs are clear. No pneumonia. " * 20
    draw = random.Random(0)
    with stub_endpoint(Stub(answer=lambda _: 500 if draw.random() < 0.05 else answer, seconds=0.02)) as stub:
        command = [*job_options, "--images", "all", "--concurrency", "2", "--model", f"openai:stub@{stub.url}"]
        driven = subprocess.run(
            [sys.executable, "-c", DRIVER, "0", *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
        )
        assert driven.returncode == 0, driven.stderr
        assert report.main(command) == 0
    with session.transaction(engine) as db:
        rows = db.execute(select(Report.image_sha256, Report.prompt_sha256, Report.text)).all()
        scores = db.scalar(select(func.count()).select_from(ReportScore))
    assert len(rows) == len({(sha, prompt) for sha, prompt, _ in rows}) == 80
    assert {text for *_, text in rows} == {answer.strip()}
    assert scores == 80 * EACH and counted(engine)[1] == 0


@pytest.mark.usefixtures("_predicted")
def test_scores_are_made_anew_without_writing_any_report_once_a_reference_is_there(
    engine: Engine, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*job_options, "--images", "all"]) == 0
    before = counted(engine)
    assert score.main(job_options) == 0
    lines = ["path,report", *(f'.\\drawn-{number}.png,"Consolidation, on the left."' for number in range(10))]
    lines += [f"gone-{number}.png,Clear." for number in range(4)]
    (tmp_path / "reports.csv").write_text("\n".join(lines))
    assert score.main(job_options) == 0
    said = capsys.readouterr().out
    assert "scored 80 reports; next, run: python -m jobs evaluate" in said
    assert (
        "4 of the reports in reports.csv match no image of dataset 'drawn': gone-0.png, gone-1.png, gone-2.png, ..."
        in said
    )

    def metrics() -> dict[str, int]:
        with session.transaction(engine) as db:
            return dict(db.execute(select(ReportScore.metric, func.count()).group_by(ReportScore.metric)).all())

    assert counted(engine) == before
    found = metrics()
    assert (found["stance"], found["bleu"], found["rouge_l"], found["chrf"]) == (80, 40, 40, 40)
    (tmp_path / "reports.csv").unlink()
    assert (
        score.main(job_options) == score.main(job_options) == 0
    )  # the same inputs as an earlier scoring, but other scores were made since
    with session.transaction(engine) as db:
        assert db.scalar(select(func.count()).select_from(Run).where(Run.kind == "score")) == 3
    assert metrics()["stance"] == 80 and "bleu" not in metrics()
    (tmp_path / "reports.csv").write_text("path,remarks\na,b\n")
    assert score.main(job_options) == 1
    assert "reports.csv, line 1: no column 'report'" in capsys.readouterr().err
