"""Report tallies equal a full count of reports and scores, after every job that changes them."""

import math
import random
import threading
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db import report_tallies, session, writes
from db.models import Dataset, Image, Prompt, Report, ReportScore, ReportTally, Run
from db.queries import reports
from db.queries.case_questions import LABELS
from db.queries.report_questions import PROBLEMS, STANCES, ReportQuestion
from engine.reporting.scores import OF_TEXT
from jobs import report, score
from jobs.command import Context

VALUES = (None, 0.0, 0.005, 0.07, 0.2, 0.29, 0.295, 0.57, 0.58, 0.999, 1.0, 1.5, -0.5)
"""Including hundredths whose product with 100 is not a whole number in binary."""
MODELS, STRATEGIES = ("template", "nearest"), ("basic", "differential")


@pytest.fixture
def described(engine: Engine, tmp_path: Path) -> Engine:
    """Two datasets with 30 images each, ten of them in both, and 240 reports with random scores, different for each
    dataset where they are not of the text alone."""
    draw = random.Random(0)
    with session.transaction(engine) as db:
        for dataset_id in (1, 2):
            db.add(Dataset(id=dataset_id, name=str(dataset_id), root=str(tmp_path), synthetic=True))
            db.flush()
            for number in range(30):
                name = f"{number + 20 * dataset_id:064d}"
                image = Image(dataset_id=dataset_id, sha256=name, path=name, patient_key=name, width=1, height=1)
                image.label = (0, 1, None)[number % 3]
                db.add(image)
        run = Run(kind="report", dataset_id=1, fingerprint="f", config={}, code_version="t", status="finished", pid=1)
        run.host = "t"
        db.add_all([run, Prompt(sha256="p" * 64, strategy="basic", text="?")])
        db.flush()
        for image in db.scalars(select(Image).order_by(Image.id)).all():
            for at, (model, strategy) in enumerate(product(MODELS, STRATEGIES)):
                row = Report(
                    run_id=run.id, image_id=image.id, image_sha256=image.sha256, model=model, strategy=strategy,
                    revision=f"{image.id} {at}", prompt_sha256="p" * 64, settings={}, settings_sha256="s" * 64,
                    text="Opacity." if draw.random() < 0.5 else "Clear.", seconds=0.1, tokens=1,
                )  # fmt: skip
                db.add(row)
                db.flush()
                add_scores(db, draw, row.id)
        for dataset_id in (1, 2):
            report_tallies.dataset(db, dataset_id)
    return engine


def add_scores(db: Session, draw: random.Random, report_id: int) -> None:
    """Scores by the text and by each dataset, one of which may lack some."""
    for metric in sorted({metric for metric, _, _ in PROBLEMS.values()} | {"stance"}):
        values = list(STANCES.values()) if metric == "stance" else VALUES
        for dataset_id in (None,) if metric in OF_TEXT else (1, 2)[: 2 if report_id % 5 else 1]:
            value = draw.choice(values)
            db.add(ReportScore(report_id=report_id, metric=metric, value=value, dataset_id=dataset_id))
    db.flush()


def questions(dataset_id: int) -> list[ReportQuestion]:
    """Every kind of question that tallies answer, alone and with label, model and strategy."""
    asked: list[dict[str, object]] = [{}]
    asked += [{"stance": stance} for stance in STANCES]
    asked += [{"problem": problem} for problem in PROBLEMS]
    asked += [{"score": "format", "low": low, "high": high} for low in (0.0, 0.07, 0.29, 0.57) for high in (0.58, 1.0)]
    sides: list[dict[str, object]] = [{}, {"label": "unknown"}, {"model": "template", "strategy": "basic"}]
    sides.append({"label": "pneumonia", "model": "nearest", "strategy": "differential"})
    return [ReportQuestion(dataset_id, **one, **side) for one in asked for side in sides]  # type: ignore[arg-type]


def by_hand(db: Session, dataset_id: int) -> list[tuple[Report, Image, dict[str, float | None]]]:
    pairs = db.execute(
        select(Report, Image).join(Image, Image.sha256 == Report.image_sha256).where(Image.dataset_id == dataset_id)
    ).all()
    scores: dict[int, dict[str, float | None]] = {}
    for one in db.scalars(select(ReportScore)):
        known = scores.setdefault(one.report_id, {})
        if one.dataset_id in (None, dataset_id):
            known[one.metric] = one.value
    return [(report, image, scores[report.id]) for report, image in pairs if report.id in scores]


def fits(question: ReportQuestion, row: tuple[Report, Image, dict[str, float | None]]) -> bool:
    report, image, scores = row
    if question.label is not None and LABELS[question.label] != image.label:
        return False
    if question.model not in (None, report.model) or question.strategy not in (None, report.strategy):
        return False
    if question.stance is not None and scores["stance"] != STANCES[question.stance]:
        return False
    if question.problem is not None:
        metric, compare, bound = PROBLEMS[question.problem]
        value = scores.get(metric)
        if value is None or not compare(value, bound):
            return False
    if question.score is not None:
        value = scores[question.score]
        return value is not None and question.low <= value <= question.high
    return True


def check(engine: Engine) -> None:
    """Counts, choices and the leaderboard equal a count by hand, and no empty row is left."""
    with session.transaction(engine) as db:
        for dataset_id in db.scalars(select(Dataset.id)).all():
            rows = by_hand(db, dataset_id)
            for question in questions(dataset_id):
                expected = {row[0].id for row in rows if fits(question, row)}
                assert reports.tallied(db, question) == len(expected), question
                assert list(reports.ids(db, question)) == sorted(expected, reverse=True), question
            models, strategies = reports.choices(db, dataset_id)
            assert set(models) == {report.model for report, _, _ in rows}
            assert set(strategies) == {report.strategy for report, _, _ in rows}
            assert reports.unscored(db, dataset_id) == sum("stance_agreement" not in scores for _, _, scores in rows)
            board = {(one.model, one.strategy): one for one in reports.leaderboard(db, dataset_id)}
            assert set(board) == {(report.model, report.strategy) for report, _, _ in rows}
            for (model, strategy), one in board.items():
                mine = [scores for report, _, scores in rows if (report.model, report.strategy) == (model, strategy)]
                assert one.reports == len(mine)
                names = {name for scores in mine for name in scores}
                known = {name: [value for s in mine if (value := s.get(name)) is not None] for name in names}
                means = {name: fmean(values) for name, values in known.items() if values}
                assert one.means == pytest.approx(means)
        assert db.scalars(select(ReportTally).where(ReportTally.reports <= 0)).first() is None


def test_tallies_say_what_a_count_by_hand_says(described: Engine) -> None:
    check(described)


def test_a_change_of_scores_changes_the_tallies_of_every_dataset_with_the_picture(described: Engine) -> None:
    draw = random.Random(1)
    with session.transaction(described) as db:
        ids = list(db.scalars(select(Report.id).where(Report.id % 3 == 0)))
        report_tallies.take(db, ids)
        for one in db.scalars(select(ReportScore).where(ReportScore.report_id.in_(ids))).all():
            db.delete(one)
        db.flush()
        for number in ids:
            add_scores(db, draw, number)
        report_tallies.add(db, ids)
    check(described)


def test_reports_of_forgotten_images_stay_with_another_dataset_that_holds_the_picture(described: Engine) -> None:
    with session.transaction(described) as db:
        gone = db.scalars(select(Image).where(Image.dataset_id == 1, Image.label == 1)).all()
        elsewhere = set(db.scalars(select(Image.sha256).where(Image.dataset_id == 2)))
        shared = {image.sha256 for image in gone} & elsewhere
        before = db.query(Report).filter(Report.image_sha256.in_(shared)).count()
        writes.forget_images(db, [image.id for image in gone])
        report_tallies.dataset(db, 1)
    with session.reading(described) as db:
        left = db.query(Report).filter(Report.image_sha256.in_(shared))
        assert left.count() == before > 0
        assert {db.get_one(Image, report.image_id).dataset_id for report in left} == {2}
        lost = {image.sha256 for image in gone} - shared
        assert lost and db.query(Report).filter(Report.image_sha256.in_(lost)).count() == 0
    check(described)


def test_a_dataset_without_reports_has_an_empty_leaderboard(described: Engine) -> None:
    with session.transaction(described) as db:
        assert reports.leaderboard(db, 99) == []
        assert reports.choices(db, 99) == ([], [])
        assert reports.tallied(db, ReportQuestion(99)) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"keyword": "opacity"},
        {"stance": "pneumonia", "problem": "form"},
        {"score": "format", "low": 0.295},
        {"image_id": 3},
        {"run_id": 1},
    ],
)
def test_what_is_not_tallied_is_counted(described: Engine, asked: dict[str, object]) -> None:
    question = ReportQuestion(1, **asked)  # type: ignore[arg-type]  # the fields vary by case
    with session.transaction(described) as db:
        assert reports.tallied(db, question) is None
        found = reports.page(db, question, limit=1000)
        assert 0 < len(reports.ids(db, question)) == len(found) <= 160


def test_few_and_many_are_listed_alike_page_by_page(described: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    question = ReportQuestion(1, model="template", problem="form")
    with session.transaction(described) as db:
        along_scores = [row.report.id for row in reports.page(db, question, limit=7, offset=5)]
        monkeypatch.setattr(reports, "FEW", -1)
        along_reports = [row.report.id for row in reports.page(db, question, limit=7, offset=5)]
    assert along_scores == along_reports and len(along_reports) == 7


@pytest.mark.parametrize("size", [1, 7, 160, 1000])
def test_pages_cut_the_list_also_from_its_end(described: Engine, size: int) -> None:
    with session.transaction(described) as db:
        whole = list(reports.ids(db, ReportQuestion(1)))
        starts = range(0, len(whole) + size, size)
        pages = [reports.ids(db, ReportQuestion(1), limit=size, offset=at, total=len(whole)) for at in starts]
    assert [number for page in pages for number in page] == whole


@pytest.mark.parametrize("hundredths", range(101))
def test_every_hundredth_has_its_bin(hundredths: int) -> None:
    value = hundredths / 100
    assert report_tallies.bin_of(value) == 2 * hundredths
    assert report_tallies.bin_of(math.nextafter(value, 2.0)) is None
    assert report_tallies.bin_of(float(str(value))) == 2 * hundredths


def test_writing_scoring_and_pruning_keep_the_tallies(context: Context, job_options: list[str], tmp_path: Path) -> None:
    from tests.jobs.test_report import predicted_dataset

    predicted_dataset(context.engine, tmp_path)
    assert report.main([*job_options, "--images", "8"]) == 0
    check(context.engine)
    assert report.main([*job_options, "--images", "all"]) == 0
    check(context.engine)
    with session.transaction(context.engine) as db:
        for image in db.scalars(select(Image).where(Image.id % 4 == 0)):
            image.label = None
        report_tallies.dataset(db, 1)  # as ingest does after it has stored corrected labels
    assert score.main(job_options) == 0
    check(context.engine)


@pytest.mark.parametrize("job", ["report", "score"])
def test_labels_corrected_while_reports_are_scored_are_what_those_are_counted_by(
    context: Context, job_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    from tests.jobs.test_report import predicted_dataset

    predicted_dataset(context.engine, tmp_path)
    if job == "score":
        assert report.main([*job_options, "--images", "all"]) == 0

    def correct() -> None:
        with session.transaction(context.engine) as db:
            writes.hold(db, 1)
            for image in db.scalars(select(Image)):
                image.label = None
            db.flush()
            report_tallies.dataset(db, 1)

    then, taken = threading.Thread(target=correct), report_tallies.take

    def take(db: Session, ids: list[int]) -> None:
        """Let the correction come between what is taken away and what is added; it waits, or is done in this time."""
        taken(db, ids)
        if ids and not then.ident:
            then.start()
            then.join(timeout=3)

    monkeypatch.setattr(report_tallies, "take", take)
    jobs = {"report": lambda: report.main([*job_options, "--images", "all"]), "score": lambda: score.main(job_options)}
    assert jobs[job]() == 0
    then.join()
    check(context.engine)
