"""Report queries return the reports that they promise, in the promised order."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from db import session, tallies
from db.models import Image, Prediction, Prompt, Report, ReportScore, Run, now
from db.queries import reports, runs
from db.queries.reports import ReportQuestion
from tests.jobs.test_report import predicted_dataset

STANCE = {"pneumonia": 1.0, "uncertain": 0.5, "normal": 0.0, "none": None}


def test_the_queue_of_disagreements_holds_opposite_stances_the_most_confident_call_first(
    engine: Engine, tmp_path: Path
) -> None:
    run = predicted_dataset(engine, tmp_path)
    told = [
        (0.95, "normal"),
        (0.2, "pneumonia"),
        (0.7, "normal"),
        (0.9, "pneumonia"),
        (0.1, "uncertain"),
        (0.99, "none"),
    ]
    with session.transaction(engine) as db:
        db.add(Prompt(sha256="p" * 64, strategy="basic", text="?"))
        images = db.query(Image).order_by(Image.id).limit(len(told)).all()
        for image, (probability, stance) in zip(images, told, strict=True):
            db.query(Prediction).filter_by(image_id=image.id).one().probability = probability
            report = Report(
                run_id=run, image_id=image.id, image_sha256=image.sha256, model="m", revision="1", strategy="basic",
                prompt_sha256="p" * 64, settings={}, settings_sha256="s" * 64, text=stance, seconds=0.0, tokens=1,
            )  # fmt: skip
            db.add(report)
            db.flush()
            db.add(ReportScore(report_id=report.id, metric="stance", value=STANCE[stance]))
    question = ReportQuestion(1, disagreeing=(run, 0.6))
    with session.transaction(engine) as db:
        rows = reports.page(db, question)
        assert [row.report.image_id for row in rows] == [images[1].id, images[0].id, images[2].id]
        assert [row.stance for row in rows] == ["pneumonia", "normal", "normal"]
        assert len(reports.ids(db, question)) == 3
        second = reports.page(db, question, limit=1, offset=1)
        assert [row.report.image_id for row in second] == [images[0].id]
        latest = reports.page(db, ReportQuestion(1))
        assert [row.report.id for row in latest] == sorted((row.report.id for row in latest), reverse=True)


@pytest.mark.parametrize("many", [1, 25_000])
def test_reports_are_found_by_the_outcome_and_the_cause_of_their_image(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    run, threshold = predicted_dataset(engine, tmp_path), 0.6
    outcomes = {(1, True): "TP", (1, False): "FN", (0, True): "FP", (0, False): "TN"}
    with session.transaction(engine) as db:
        db.add(Prompt(sha256="p" * 64, strategy="basic", text="?"))
        told: list[tuple[int, str | None, str | None]] = []
        for image, one in db.execute(select(Image, Prediction).join(Prediction, Prediction.image_id == Image.id)):
            image.cause = "viral" if image.label and image.id % 2 else None
            report = Report(
                run_id=run, image_id=image.id, image_sha256=image.sha256, model="m", revision="1", strategy="basic",
                prompt_sha256="p" * 64, settings={}, settings_sha256="s" * 64, text=".", seconds=0.0, tokens=1,
            )  # fmt: skip
            db.add(report)
            db.flush()
            cause = image.cause or ("unknown" if image.label else None)
            told.append((report.id, outcomes[bool(image.label), one.probability >= threshold], cause))
        tallies.dataset(db, 1)
    monkeypatch.setattr(reports, "MANY", many)
    with session.transaction(engine) as db:
        for wanted in (*outcomes.values(), "wrong", None):
            for cause in ("viral", "unknown", None):
                question = ReportQuestion(1, outcome=wanted, cause=cause, judged=(run, threshold))
                among = ("FN", "FP") if wanted == "wrong" else (wanted,)
                expected = {number for number, was, of in told if wanted is None or was in among}
                expected &= {number for number, _, of in told if cause in (None, of)}
                assert set(reports.ids(db, question)) == expected, question
                assert reports.tallied(db, question) is None or (wanted, cause) == (None, None)
                at_another = replace(question, own_threshold=0.99)  # no image is called pneumonia there
                assert set(reports.ids(db, at_another)) == expected, question


def test_reports_of_more_images_than_a_statement_takes_values_are_found_in_order(
    engine: Engine, tmp_path: Path
) -> None:
    run = predicted_dataset(engine, tmp_path)
    key = {"model": "m", "revision": "1", "prompt_sha256": "p" * 64, "settings_sha256": "s" * 64}
    with session.transaction(engine) as db:
        db.add(Prompt(sha256="p" * 64, strategy="basic", text="?"))
        db.flush()
        images = db.scalars(select(Image).order_by(Image.id)).all()
        for image in images:
            shared = {**key, "run_id": run, "image_id": image.id, "image_sha256": image.sha256, "strategy": "basic"}
            report = Report(**shared, settings={}, text=".", seconds=0.0, tokens=1)
            db.add(report)
            db.flush()
            db.add(ReportScore(report_id=report.id, metric="format", value=image.id / 100))
    shas = [f"{number:064}" for number in range(70_000)] + [image.sha256 for image in images]
    random.Random(0).shuffle(shas)
    with session.transaction(engine) as db:
        assert {report.image_id for report in reports.stored(db, shas, **key)} == {image.id for image in images}
        scores = reports.stored_scores(db, 1, shas, **key)
        assert sorted(scores) == [("format", image.id / 100) for image in images]


def test_what_reports_were_scored_against_is_the_last_whole_scoring_and_what_scored_some_since(
    engine: Engine, tmp_path: Path
) -> None:
    predicted_dataset(engine, tmp_path)
    begun = now()

    def ran(kind: str, predicted: int, minute: int, status: str = "finished") -> list[int]:
        with session.transaction(engine) as db:
            run = Run(kind=kind, fingerprint=f"{minute}" * 64, config={"predict_run": predicted}, code_version="test")
            run.status, run.host, run.pid, run.dataset_id = status, "test", 1, 1
            run.heartbeat = begun + timedelta(minutes=minute)
            db.add(run)
            db.flush()
            return runs.scored_against(db, 1)

    assert ran("report", 5, 1) == [5]
    assert ran("report", 7, 3) == [7, 5]
    assert ran("score", 6, 2) == [7, 6]
    assert ran("score", 8, 4, "failed") == [8, 7, 6]
    assert ran("score", 8, 5) == [8]
