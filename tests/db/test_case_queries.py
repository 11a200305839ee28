"""Lists of cases on both databases, against the same questions answered in Python, one image at a time."""

from itertools import pairwise, product
from pathlib import Path

import pytest
from sample import THRESHOLD, build, films
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db import session as database
from db.models import Image, Prediction, Report, Run
from db.queries import cases
from db.queries.cases import Question

SIDES = {
    "split": (None, "test", "unknown"),
    "label": (None, "pneumonia", "normal", "unknown"),
    "cause": (None, "viral", "unknown"),
    "outcome": (None, "TP", "FN", "wrong"),
    "reported": (None, "yes", "no"),
    "low": (0.0, 0.3),
}


@pytest.fixture
def asked(engine: Engine, tmp_path: Path) -> tuple[Engine, int, int]:
    """An engine over 40 images, some without label, split or prediction; the dataset and its predict run."""
    dataset = build(engine, tmp_path, tmp_path / "films", pictures=films(40))
    with database.transaction(engine) as db:
        for image in db.scalars(select(Image).where(Image.id % 10 == 4)):
            image.label, image.cause, image.split = None, None, None
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
    return engine, dataset, run


def known(db: Session, run: int) -> list[tuple[Image, float | None, bool]]:
    """Every image with its probability and whether a report describes it."""
    reported = set(db.scalars(select(Report.image_sha256)))
    said = select(Prediction.image_id, Prediction.probability).where(Prediction.run_id == run)
    probabilities = {row.image_id: row.probability for row in db.execute(said)}
    images = db.scalars(select(Image).order_by(Image.id))
    return [(image, probabilities.get(image.id), image.sha256 in reported) for image in images]


def answer(facts: list[tuple[Image, float | None, bool]], question: Question) -> list[int]:
    """The ids that match, ordered as the question wants."""
    found = []
    outcomes = {"wrong": ("FP", "FN")}.get(question.outcome or "", (question.outcome,))
    for image, probability, reported in facts:
        fits = (
            question.split in (None, image.split or "unknown")
            and (question.label is None or cases.LABELS[question.label] == image.label)
            and question.cause in (None, image.cause or ("none" if image.label == 0 else "unknown"))
            and (question.outcome is None or cases.outcome(image.label, probability, THRESHOLD) in outcomes)
            and (question.reported is None or reported == (question.reported == "yes"))
            and (question.low == 0.0 or (probability or -1.0) >= question.low)
        )
        error = abs(probability - image.label) if probability is not None and image.label is not None else -9.0
        keys = {"wrong": error, "high": -9.0 if probability is None else probability, "file": 0.0}
        if fits:
            found.append((-keys[question.sort], image.id))
    return [image for _, image in sorted(found)]


def test_pages_counts_and_ids_agree_with_python_on_combinations_of_filters(
    asked: tuple[Engine, int, int],
) -> None:
    engine, dataset, run = asked
    seen = set()
    with database.transaction(engine) as db:
        facts = known(db, run)
        combinations = list(product(("wrong", "high", "file"), *SIDES.values()))
        for sort, *values in combinations[::7]:
            sides = dict(zip(SIDES, values, strict=True))
            question = Question(dataset, run_id=run, threshold=THRESHOLD, sort=sort, **sides)
            wanted = answer(facts, question)
            assert [case.id for case in cases.page(db, question, limit=100)] == wanted, question
            assert cases.count(db, question) == len(wanted), question
            assert sorted(cases.ids(db, question)) == sorted(wanted), question
            seen.add(len(wanted))
    assert len(seen) > 5


def test_outcomes_add_up_to_the_labelled_predictions(asked: tuple[Engine, int, int]) -> None:
    engine, dataset, run = asked
    with database.transaction(engine) as db:
        question = Question(dataset, run_id=run, threshold=THRESHOLD)
        counts = cases.confusion(db, question)
        assert counts is not None
        for outcome in cases.OUTCOMES:
            shown = cases.page(db, Question(dataset, run_id=run, threshold=THRESHOLD, outcome=outcome), limit=100)
            assert counts[outcome] == len(shown)
            assert {case.outcome for case in shown} <= {outcome}
        labelled = select(Prediction.id).join(Image, Image.id == Prediction.image_id)
        labelled = labelled.where(Prediction.run_id == run, Image.label.is_not(None))
        assert sum(counts.values()) == len(db.scalars(labelled).all()) > 0
        assert cases.confusion(db, Question(dataset)) is None


@pytest.mark.parametrize("sort", sorted(cases.SORTS))
def test_places_follow_each_other_without_gap_or_repetition(asked: tuple[Engine, int, int], sort: str) -> None:
    engine, dataset, run = asked
    question = Question(dataset, run_id=run, threshold=THRESHOLD, sort=sort)
    with database.transaction(engine) as db:
        listed = [case.id for case in cases.page(db, question, limit=100)]
        places = [cases.place(db, question, image) for image in listed]
        known = [place for place in places if place is not None]
        assert [place.position for place in known] == list(range(1, len(listed) + 1))
        assert [(place.following) for place in known] == [*listed[1:], None]
        assert [place.previous for place in known] == [None, *listed[:-1]]
        assert cases.place(db, Question(dataset, label="normal"), listed[-1]) != known[0]


def test_the_most_wrong_come_first(asked: tuple[Engine, int, int]) -> None:
    engine, dataset, _run = asked
    with database.transaction(engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "train")).one()
        question = Question(dataset, run_id=run, threshold=THRESHOLD, outcome="wrong", sort="wrong")
        errors = [abs((case.probability or 0.0) - (case.label or 0)) for case in cases.page(db, question)]
    assert len(errors) > 1
    assert all(earlier >= later for earlier, later in pairwise(errors))


def test_an_image_outside_the_list_has_no_place(asked: tuple[Engine, int, int]) -> None:
    engine, dataset, _run = asked
    with database.transaction(engine) as db:
        normal = cases.page(db, Question(dataset, label="normal"))[0].id
        assert cases.place(db, Question(dataset, label="pneumonia"), normal) is None
        assert cases.one(db, 10**9) is None
