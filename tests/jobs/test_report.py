"""Does the report job write each report exactly once, even if it is interrupted?"""

import hashlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import Engine, event, func, select, update

from db import session, tallies
from db.models import Dataset, Image, Prediction, Prompt, Report, ReportFailure, ReportScore, Run
from db.queries import evaluation, predictions, reports, runs
from db.queries.reports import ReportQuestion
from engine.digests import json_sha256
from engine.reporting import generators
from engine.reporting.generators import Case, Failed, Generated, Outcome
from engine.reporting.prompts import PromptStrategy
from jobs import evaluate, forget, report, score

REPOSITORY = Path(__file__).parents[2]
EACH = 12
"""Scores of a report without a reference."""
IMAGES = 24
"""A third normal, two thirds pneumonia; every fourth image of each label is misclassified."""


def predicted_dataset(engine: Engine, root: Path, *, name: str = "drawn", threshold: float = 0.6) -> int:
    """A dataset of small drawn images with a finished predict run; returns the run's id."""
    rng = np.random.default_rng(1)
    with session.transaction(engine) as db:
        dataset = Dataset(name=name, root=str(root), synthetic=True)
        summary = {"threshold": threshold, "threshold_recall97": 0.3, "checkpoint_sha256": "c" * 64, "temperature": 1.5}
        run = Run(kind="predict", fingerprint="p" * 64, config={}, code_version="test", status="finished", pid=1)
        run.host, run.summary = "test", summary
        db.add(dataset)
        db.flush()
        run.dataset_id = dataset.id
        db.add(run)
        for number in range(IMAGES):
            path = root / f"{name}-{number}.png"
            Picture.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(path)
            label = int(number % 3 > 0)
            image = Image(
                dataset_id=dataset.id,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                path=path.name,
                split="test" if number < 20 else "train",
                label=label,
                patient_key=f"p{number // 2}",
                width=24,
                height=24,
            )
            db.add(image)
            db.flush()
            right = number % 4 > 0
            probability = 0.9 if label == right else 0.1
            zones = {"right_lower": 0.7, "left_upper": 0.3}
            db.add(Prediction(run_id=run.id, image_id=image.id, logit=0.0, probability=probability, zones=zones))
    return run.id


@pytest.fixture
def predict_run(engine: Engine, tmp_path: Path) -> int:
    return predicted_dataset(engine, tmp_path)


def counted(engine: Engine) -> tuple[int, int, int]:
    """Reports, distinct reports by image and prompt, and scores."""
    with session.transaction(engine) as db:
        rows = db.execute(select(Report.image_sha256, Report.prompt_sha256)).all()
        return len(rows), len(set(rows)), db.scalar(select(func.count()).select_from(ReportScore)) or 0


def chosen(engine: Engine) -> set[str]:
    with session.transaction(engine) as db:
        return set(db.scalars(select(Report.image_sha256)))


def test_by_default_ten_test_images_balanced_over_labels_get_all_four_strategies(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(job_options) == 0
    assert counted(engine) == (40, 40, 40 * EACH)
    with session.transaction(engine) as db:
        images = db.scalars(select(Image).where(Image.sha256.in_(chosen(engine)))).all()
        assert Counter(image.label for image in images) == {0: 5, 1: 5}
        assert {image.split for image in images} == {"test"}
        assert db.scalar(select(func.count()).select_from(Prompt)) == 4
        run = runs.current(db, "report")
        assert run is not None
        assert run.summary is not None
        assert (run.done, run.total, run.summary["predict_run"]) == (40, 40, predict_run)
    printed = capsys.readouterr().out
    assert "SYNTHETIC" in printed
    assert "keyword_alignment" in printed
    assert "wrote 40 of 40" in printed


def test_the_same_work_is_done_once_and_a_larger_sample_adds_only_what_is_missing(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*job_options, "--images", "4"]) == 0
    small = chosen(engine)
    assert report.main([*job_options, "--images", "4"]) == 0
    assert "already done as run" in capsys.readouterr().out
    assert report.main([*job_options, "--images", "all"]) == 0
    assert "wrote 64 of 80 reports (16 already existed)" in capsys.readouterr().out
    assert counted(engine) == (80, 80, 80 * EACH)
    assert small < chosen(engine)


@pytest.mark.usefixtures("predict_run")
def test_where_no_image_is_of_a_test_split_all_are_reported_on(engine: Engine, job_options: list[str]) -> None:
    with session.transaction(engine) as db:
        db.execute(update(Image).values(split=None))
    assert report.main([*job_options, "--images", "4", "--strategies", "basic"]) == 0
    assert len(chosen(engine)) == 4


def test_the_sample_follows_the_seed_and_not_the_row_order(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path
) -> None:
    def sample(seed: int) -> set[str]:
        before = {row.image_sha256 for row in all_reports(engine)}
        assert report.main([*job_options, "--images", "6", "--strategies", "basic", "--seed", str(seed)]) == 0
        return {row.image_sha256 for row in all_reports(engine)} - before

    first, second = sample(0), sample(1)
    assert len(first) == 6
    assert second
    with session.transaction(engine) as db:
        items = [one for one in predictions.of_run(db, predict_run) if one.split == "test"]
    from engine.datasets.sampling import stratified

    for shuffled in (items, items[::-1]):
        again = stratified(shuffled, 6, stratum=lambda i: i.label, key=lambda i: i.sha256, seed=0)
        assert {item.sha256 for item in again} == first


def all_reports(engine: Engine) -> Sequence[Report]:
    with session.transaction(engine) as db:
        return db.scalars(select(Report)).all()


@pytest.mark.parametrize(
    ("only", "labels", "call"), [("false-negatives", {1}, "below"), ("false-positives", {0}, "at or above")]
)
def test_only_the_classifiers_failures_of_one_kind_are_reported_when_asked(
    engine: Engine, predict_run: int, job_options: list[str], only: str, labels: set[int], call: str
) -> None:
    assert report.main([*job_options, "--only", only, "--images", "all", "--strategies", "basic"]) == 0
    with session.transaction(engine) as db:
        rows = reports.page(db, ReportQuestion(dataset_id=1))
    assert rows
    assert {row.image.label for row in rows} == labels
    assert all(f"{call} the operating threshold" in row.report.text for row in rows)
    assert all(row.scores["stance_agreement"] == 0.0 for row in rows)


def test_another_classifier_makes_other_reports_of_the_same_image(
    engine: Engine, predict_run: int, job_options: list[str]
) -> None:
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    with session.transaction(engine) as db:
        run = db.get_one(Run, predict_run)
        run.summary = {**(run.summary or {}), "checkpoint_sha256": "d" * 64}
        run.fingerprint = "q" * 64
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    assert len(all_reports(engine)) == 4
    assert len({row.settings_sha256 for row in all_reports(engine)}) == 2


KILLED = """
import os, signal, sys
from db import writes
from db.models import ReportScore
from engine.reporting.generators.template import Template
from jobs import report

Template.batch_size = 4
upsert, seen = writes.upsert, 0

def deadly(session, model, rows, **keywords):
    global seen
    if model is ReportScore:
        seen += 1
        if seen == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)  # the reports of this batch are inserted, their scores are not
    upsert(session, model, rows, **keywords)

writes.upsert = deadly
sys.exit(report.main(sys.argv[2:]))
"""


def test_killed_inside_a_transaction_at_several_places_and_rerun_nothing_is_missing_or_doubled(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # ten images in batches of 4, 4 and 2 for each strategy; a resumed run rescores existing reports, then continues
    for place, whole in ((3, 8), (1, 8), (6, 18)):
        command = [sys.executable, "-c", KILLED, str(place), *job_options]
        killed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert counted(engine) == (whole, whole, EACH * whole)
    assert report.main(job_options) == 0
    assert counted(engine) == (40, 40, 40 * EACH)
    with session.transaction(engine) as db:
        rows_of_runs = runs.page(db, kind="report")
    assert [(run.status, run.done) for run in rows_of_runs] == [("finished", 40)]
    assert "wrote 40 of 40" in capsys.readouterr().out


class Looking:
    """A generator that uses the pixels but not the prediction."""

    name, revision, reads_pixels, reads_prediction, reads_nearest, batch_size = "looking", "1", True, False, 0, 3
    settings: dict[str, object] = {"beams": 1}  # noqa: RUF012  # read only

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        assert 1 <= len(cases) <= 3
        texts = []
        for case in cases:
            assert case.pixels is not None
            texts.append(f"{prompt.name}: mean grey {case.pixels.mean():.3f}")
        return [{place: Generated(text, 0.1, 4)} for place, text in reversed([*enumerate(texts)])]


def test_a_generator_that_reads_pixels_gets_those_of_its_image(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(generators.REGISTRY, "looking", lambda name, options: Looking())
    assert report.main([*job_options, "--model", "looking", "--strategies", "differential,basic"]) == 0
    with session.transaction(engine) as db:
        rows = reports.page(db, ReportQuestion(dataset_id=1, model="looking"))
    assert len(rows) == 20
    for row in rows:
        grey = np.asarray(Picture.open(tmp_path / row.image.path)).mean()
        assert row.report.text == f"{row.report.strategy}: mean grey {grey:.3f}"
        assert row.report.settings == {"beams": 1}
        assert (row.stance, row.scores["keyword_alignment"]) == ("none", None)


class Stopping(Looking):
    """A generator that fails once and is interrupted right after."""

    batch_size = 1
    asked = 0

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return [{0: Failed("no answer") if self.asked == 1 else Generated("No pneumonia.", 0.1, 4)}]


def test_a_run_that_was_interrupted_after_a_failure_is_taken_up_and_tries_what_failed(
    engine: Engine, predict_run: int, job_options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = Stopping()
    monkeypatch.setitem(generators.REGISTRY, "looking", lambda name, options: stopping)
    command = [*job_options, "--model", "looking", "--strategies", "basic"]
    assert [report.main(command) for _ in range(2)] == [130, 0]
    with session.transaction(engine) as db:
        (run,) = runs.page(db, kind="report")
        assert run.summary is not None
        assert (run.status, run.summary["written"], run.summary["failed"]) == ("finished", 10, 0)
        assert db.scalar(select(func.count()).select_from(ReportFailure)) == 0


class Overtaken(Looking):
    """A generator that fails whenever it is asked."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile

    def generate(self, cases: Sequence[Case], prompt: PromptStrategy) -> list[dict[int, Outcome]]:
        self.meanwhile()
        return [{place: Failed("timed out") for place in range(len(cases))}]


@pytest.mark.parametrize("early", [True, False], ids=["while it was tried", "before it was tried again"])
def test_no_failure_is_kept_of_a_report_that_another_run_has_written(
    engine: Engine, predict_run: int, job_options: list[str], monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    monkeypatch.setitem(generators.REGISTRY, "looking", lambda name, options: Looking())
    command = [*job_options, "--model", "looking", "--strategies", "basic"]
    assert report.main([*command, "--images", "3"]) == 0

    def write() -> None:
        """What another run would store: reports of the other images."""
        with session.transaction(engine) as db:
            known = db.scalars(select(Report)).all()
            held = {row.image_id for row in known}
            fields = {field.key: getattr(known[0], field.key) for field in Report.__mapper__.column_attrs}
            for image in db.scalars(select(Image).where(Image.id.not_in(held))):
                db.add(Report(**{**fields, "id": None, "image_id": image.id, "image_sha256": image.sha256}))

    def kept() -> int:
        with session.transaction(engine) as db:
            return db.scalar(select(func.count()).select_from(ReportFailure)) or 0

    overtaken = Overtaken(write if early else lambda: None)
    monkeypatch.setitem(generators.REGISTRY, "looking", lambda name, options: overtaken)
    report.main([*command, "--images", "all"])
    if not early:
        assert kept() == 17
        write()
        assert report.main([*command, "--images", "all"]) == 0
    assert kept() == 0


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--model", "gpt"], 2, "report generator 'gpt' is unknown; known: template"),
        (["--strategies", "basic,verbose"], 2, "'verbose' is unknown; known: basic, clinical_structured"),
        (["--images", "0"], 2, "--images must be a whole number of at least 1, or all; got '0'"),
        (["--images", "some"], 2, "got 'some'"),
        (["--split", "val"], 1, "scored no images of split 'val'; choose another with --split"),
        (["--predict-run", "99"], 2, "run 99 is not a finished predict run of dataset 'drawn'"),
        (["--dataset", "other"], 2, "dataset 'other' is unknown; known: drawn"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_nothing_is_written(
    engine: Engine,
    predict_run: int,
    job_options: list[str],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    line: str,
) -> None:
    assert report.main([*job_options, *options]) == code
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert counted(engine) == (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--dataset", "other"], "dataset 'other' is unknown"),
        (["--predict-run", "99"], "run 99 is not a finished predict run"),
        (["--split", "val"], "scored no images of split 'val'"),
    ],
)
def test_no_model_is_loaded_before_all_else_is_there(
    engine: Engine,
    predict_run: int,
    job_options: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    line: str,
) -> None:
    loaded = []
    monkeypatch.setitem(generators.REGISTRY, "large", lambda name, options: loaded.append(name))
    assert report.main([*job_options, "--model", "large", *options]) != 0
    assert line in capsys.readouterr().err and not loaded


def test_without_a_predict_run_the_command_that_makes_one_is_named(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with session.transaction(engine) as db:
        db.get_one(Run, predict_run).status = "interrupted"
    assert report.main(job_options) == 1
    assert "make one with: python -m jobs predict --dataset drawn" in capsys.readouterr().err


def test_reports_are_found_by_label_strategy_stance_keyword_and_case(
    engine: Engine, predict_run: int, job_options: list[str]
) -> None:
    assert report.main([*job_options, "--images", "all"]) == 0

    def found(**asked: object) -> tuple[int, list[reports.ReportRow]]:
        question = ReportQuestion(dataset_id=1, **asked)  # type: ignore[arg-type]  # the fields vary by case
        with session.transaction(engine) as db:
            return len(reports.ids(db, question)), reports.page(db, question, limit=100)

    count, rows = found()
    assert count == len(rows) == 80
    assert [row.report.id for row in rows] == sorted((row.report.id for row in rows), reverse=True)
    for asked, holds in (
        ({"label": "normal"}, lambda row: row.image.label == 0),
        ({"strategy": "differential"}, lambda row: row.report.strategy == "differential"),
        ({"model": "template", "stance": "normal"}, lambda row: row.stance == "normal"),
        ({"keyword": "UNCERTAINTY:"}, lambda row: "Uncertainty:" in row.report.text),
        ({"keyword": "%"}, lambda row: "%" in row.report.text),
        ({"image_id": rows[0].image.id}, lambda row: row.image.id == rows[0].image.id),
    ):
        count, matching = found(**asked)
        assert 0 < count < 81
        assert count == len(matching)
        assert {row.report.id for row in matching} == {row.report.id for row in rows if holds(row)}
    assert found(keyword="no_such%words") == (0, [])
    with session.transaction(engine) as db:
        assert [row.report.id for row in reports.of_image(db, rows[0].image.id)] == [
            row.report.id for row in rows if row.image.id == rows[0].image.id
        ]
        assert len(reports.page(db, ReportQuestion(dataset_id=1), limit=7, offset=77)) == 3


def test_a_text_that_was_asked_under_another_name_is_refused_with_both_names(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, code in (("mine", 0), ("yours", 2), ("mine", 0)):
        file = tmp_path / "own.toml"
        file.write_text(f"[strategies.{name}]\ntext = 'Normal or not?'\n")
        assert report.main([*job_options, "--strategies-file", str(file), "--strategies", name]) == code
    assert "'yours' has the same text as 'mine', which is stored already; use that name" in capsys.readouterr().err
    with session.transaction(engine) as db:
        assert set(db.scalars(select(Report.strategy))) == {"mine"}


def test_reports_that_another_dataset_wrote_of_the_same_pictures_stand_only_where_a_model_wrote_none_here(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path
) -> None:
    assert report.main([*job_options, "--images", "all", "--dataset", "drawn"]) == 0
    predicted_dataset(engine, tmp_path, name="other", threshold=0.5)
    asked = ["--images", "4", "--split", "test", "--dataset", "other", "--strategies", "basic"]
    assert report.main([*job_options, *asked]) == 0
    with session.transaction(engine) as db:
        own, others = evaluation.reports(db, 1), evaluation.reports(db, 2)
        db.execute(update(Run).where(Run.kind == "report").values(dataset_id=1))
        borrowed = evaluation.reports(db, 2)
    assert len(own) == 20 * 4 and len({report.settings_sha256 for report in own}) == 1
    assert len(others) == 4 and {report.settings_sha256 for report in others}.isdisjoint({own[0].settings_sha256})
    assert {report.report_id for report in borrowed} == {report.report_id for report in others}


def test_the_leaderboard_and_the_score_rows_agree_with_a_hand_count(
    engine: Engine, predict_run: int, job_options: list[str]
) -> None:
    assert report.main([*job_options, "--images", "all"]) == 0
    with session.transaction(engine) as db:
        board = reports.leaderboard(db, 1)
        standing = {report.report_id: report for report in evaluation.reports(db, 1)}
        scores = evaluation.report_scores(db, 1, list(standing))
        assert reports.leaderboard(db, 2) == []
        assert reports.choices(db, 1) == (
            ["template"],
            ["basic", "clinical_brief", "clinical_structured", "differential"],
        )
    assert [(row.strategy, row.reports) for row in board] == [
        (strategy, 20) for strategy in ("basic", "clinical_brief", "clinical_structured", "differential")
    ]
    for row in board:
        assert row.means["stance_agreement"] == pytest.approx(
            0.75
        )  # every fourth of the 20 test images is misclassified
        for metric, mean in row.means.items():
            values = [
                score.value
                for score in scores
                if (standing[score.report_id].strategy, score.metric) == (row.strategy, metric)
            ]
            assert mean == pytest.approx(np.mean([value for value in values if value is not None]))
    assert {report.patient_key for report in standing.values()} == {f"p{number}" for number in range(10)}


def test_reports_that_went_with_their_images_are_written_again(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    with session.transaction(engine) as db:
        db.delete(db.scalars(select(Report)).first())
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    assert "wrote 1 of 2 reports (1 already existed)" in capsys.readouterr().out
    assert counted(engine)[0] == 2
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    assert "already done" in capsys.readouterr().out


def test_scores_of_shared_pictures_are_of_the_dataset_whose_labels_made_them(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other dataset has the same images, with the opposite labels or none."""
    labelled: dict[str, int | None] = {}

    def seen(name: str, metric: str = "stance_agreement") -> dict[int, float | None]:
        with session.transaction(engine) as db:
            dataset_id = db.scalars(select(Dataset.id).where(Dataset.name == name)).one()
            rows = reports.page(db, ReportQuestion(dataset_id))
            assert len(rows) == 4 == reports.tallied(db, ReportQuestion(dataset_id))
            (board,) = reports.leaderboard(db, dataset_id)
            found = {row.report.id: row.scores[metric] for row in rows if metric in row.scores}
            known = [value for value in found.values() if value is not None]
            assert board.means.get(metric) == (pytest.approx(np.mean(known)) if known else None)
            assert reports.unscored(db, dataset_id) == sum(not row.scored for row in rows)
            if metric == "stance_agreement":
                against = ReportQuestion(dataset_id, problem="label")
                wrong = {number for number, value in found.items() if value == 0.0}
                assert set(reports.ids(db, against)) == wrong and reports.tallied(db, against) == len(wrong)
            return found

    def evaluated(name: str) -> str:
        capsys.readouterr()
        evaluate.main(["--dataset", name, "--replicates", "100", "--again", "--all", *job_options])
        return capsys.readouterr().out

    own, others = ["--dataset", "drawn", *job_options], ["--dataset", "other", *job_options]
    assert report.main([*own, "--images", "4", "--strategies", "basic"]) == 0
    before = seen("drawn")
    measured = [line for line in evaluated("drawn").splitlines() if line.startswith("reports ")]
    assert any("stance_agreement" in line for line in measured)
    with session.transaction(engine) as db:
        images = db.scalars(select(Image)).all()
        other = Dataset(name="other", root=str(tmp_path), synthetic=True)
        db.add(other)
        db.flush()
        run = Run(kind="predict", fingerprint="q" * 64, config={}, code_version="test", status="finished", pid=1)
        run.host, run.dataset_id, run.summary = "test", other.id, db.get_one(Run, predict_run).summary
        db.add(run)
        for image in images:
            same = {"sha256": image.sha256, "path": image.path, "split": image.split, "patient_key": "p"}
            copy = Image(dataset_id=other.id, width=24, height=24, **same)
            db.add(copy)
            db.flush()
            probability = db.scalars(select(Prediction.probability).where(Prediction.image_id == image.id)).one()
            db.add(Prediction(run_id=run.id, image_id=copy.id, logit=0.0, probability=probability, zones={}))
            labelled[image.sha256] = image.label
        tallies.dataset(db, other.id)
    assert seen("other") == {} and seen("other", "stance").keys() == before.keys()
    told = evaluated("other")
    assert "reports: none is scored for this dataset" in told and "python -m jobs score --dataset other" in told
    for again in (score.main, lambda _: report.main([*others, "--images", "4", "--strategies", "basic"])):
        assert again(others) == 0
        assert seen("other") == dict.fromkeys(before)
        assert seen("drawn") == before
        assert "stance_agreement" not in evaluated("other")
        assert [line for line in evaluated("drawn").splitlines() if line.startswith("reports ")] == measured
    with session.transaction(engine) as db:
        for image in db.scalars(select(Image).where(Image.dataset_id == other.id)):
            label = labelled[image.sha256]
            image.label = None if label is None else 1 - label
        tallies.dataset(db, other.id)
    assert score.main(others) == 0
    assert seen("other") == {number: None if value is None else 1.0 - value for number, value in before.items()}
    assert seen("drawn") == before


def test_scoring_reads_a_batch_of_reports_at_once_and_passes_over_those_forgotten_meanwhile(
    engine: Engine, predict_run: int, job_options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for strategy in ("basic", "differential"):
        assert report.main(["--images", "4", "--strategies", strategy, *job_options]) == 0
    with session.transaction(engine) as db:
        kept, gone = db.scalars(select(Run.id).where(Run.kind == "report").order_by(Run.id))
    read: list[str] = []

    def meanwhile(parts: Any) -> str:
        assert forget.main([str(gone), "--yes", *job_options]) == 0
        event.listen(Engine, "before_cursor_execute", note)
        return json_sha256(parts)

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT report.") and "report.text" in statement:
            read.append(statement)

    monkeypatch.setattr(score, "BATCH", 3)
    monkeypatch.setattr("jobs.score.json_sha256", meanwhile)
    try:
        assert score.main(job_options) == 0
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(read) == 3  # the batches, of which one is partly and one wholly gone
    with session.transaction(engine) as db:
        run = runs.current(db, "score")
        scored = db.execute(select(Report.run_id, func.count()).join(ReportScore).group_by(Report.run_id)).all()
    assert run is not None and run.summary is not None and run.summary["reports"] == 4
    assert [number for number, _ in scored] == [kept]


def test_the_reports_that_were_asked_for_last_stand_also_where_others_were_written_later(
    engine: Engine, predict_run: int, job_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def standing() -> int:
        with session.transaction(engine) as db:
            return len(evaluation.reports(db, 1))

    def other_settings() -> None:
        with session.transaction(engine) as db:
            run = db.get_one(Run, predict_run)
            run.summary = {**(run.summary or {}), "threshold": 0.9 - float((run.summary or {})["threshold"])}

    assert report.main([*job_options, "--images", "all"]) == 0
    whole = standing()
    other_settings()
    assert report.main([*job_options, "--images", "2"]) == 0
    assert standing() == 8 < whole
    other_settings()
    capsys.readouterr()
    assert report.main([*job_options, "--images", "all"]) == 0
    assert "already done" in capsys.readouterr().out
    assert standing() == whole


def test_a_report_is_shown_in_every_dataset_that_holds_the_picture(
    engine: Engine, predict_run: int, job_options: list[str], tmp_path: Path
) -> None:
    assert report.main([*job_options, "--images", "2", "--strategies", "basic"]) == 0
    sha = next(iter(chosen(engine)))
    with session.transaction(engine) as db:
        other = Dataset(name="other", root=str(tmp_path), synthetic=True)
        db.add(other)
        db.flush()
        db.add(Image(dataset_id=other.id, sha256=sha, path="x.png", patient_key="q", width=24, height=24))
        db.flush()
        assert [row.image.dataset_id for row in reports.page(db, ReportQuestion(dataset_id=other.id))] == [other.id]
        assert reports.tallied(db, ReportQuestion(dataset_id=1)) == 2


def test_help_is_quick_to_load_and_names_every_option(job_options: list[str]) -> None:
    loaded = "import sys; from jobs import report; report.main(['--help']); print('torch' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", loaded], cwd=REPOSITORY, capture_output=True, text=True, check=True, env={**os.environ}
    ).stdout
    for option in ("--model", "--strategies", "--images", "--split", "--seed", "--only", "--predict-run"):
        assert option in shown
    assert shown.endswith("False\n")
