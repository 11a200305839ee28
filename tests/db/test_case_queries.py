"""Lists of cases on both databases, against the same questions answered in Python, one image at a time."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise, product
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from db import session as database
from db import tallies, writes
from db.models import Image, ImageMeasure, ImageTag, Prediction, PredictionTally, Report, Review, Run
from db.queries import case_counts, case_order, case_questions, cases
from db.queries.cases import Question
from db.queries.outliers import OUTLIER
from tests.sample import THRESHOLD, attributes, build, films

SIDES: dict[str, tuple[Any, ...]] = {
    "split": (None, "test", "unknown"),
    "label": (None, "pneumonia", "normal", "unknown"),
    "cause": (None, "viral", "unknown"),
    "outcome": (None, "TP", "FN", "wrong", "TN", "FP"),
    "threshold": (THRESHOLD, 0.35, 0.3512),
    "changed_by_threshold": (False, True),
    "reported": (None, "yes", "no"),
    "tag": (None, "rotated"),
    "outlier_of": (False, True),
    "reviewed": (None, "yes", "no", "doubted"),
    "other": (None, "differs_from", "agrees_with"),
    "between": ((0.0, 1.0), (0.3, 1.0), (0.05, 0.7), (0.1234, 0.9)),
}
OTHER_THRESHOLD = 0.5


@dataclass(frozen=True)
class Fact:
    """The facts of one image, and another run's probability for it."""

    image: Image
    probability: float | None
    other: float | None
    reported: bool
    tagged: bool
    odd: bool
    attributes: dict[str, str]
    verdict: str | None


@dataclass(frozen=True)
class Asked:
    """An engine over 40 images, some without label, split or prediction; the dataset, its predict run, and another."""

    engine: Engine
    dataset: int
    run: int
    other: int


@pytest.fixture
def asked(engine: Engine, tmp_path: Path) -> Asked:
    dataset = build(engine, tmp_path, tmp_path / "films", pictures=films(40))
    with database.transaction(engine) as db:
        for image in db.scalars(select(Image).where(Image.id % 10 == 4)):
            image.label, image.cause, image.split = None, None, None
        run = db.scalars(select(Run).where(Run.kind == "predict")).one()
        for prediction in db.scalars(select(Prediction).where(Prediction.image_id % 5 == 0)):
            prediction.probability = 0.35  # an edge of the tallies' bins, and several alike
        for prediction in db.scalars(select(Prediction).where(Prediction.image_id % 7 == 3)):
            prediction.probability = 10.0 ** -(14 + prediction.image_id % 6)  # so near to 0 that distances are equal
        made = {name: getattr(run, name) for name in ("kind", "dataset_id", "config", "code_version", "status", "host")}
        other = Run(**made, fingerprint="o" * 64, pid=1, summary={"threshold": OTHER_THRESHOLD})
        db.add(other)
        db.flush()
        for prediction in db.scalars(select(Prediction).where(Prediction.run_id == run.id)).all():
            moved = (prediction.probability + 0.3) % 1.0
            db.add(Prediction(run_id=other.id, image_id=prediction.image_id, logit=0.0, probability=moved))
        for number, name, verdict in (
            (1, "A", "normal"),
            (2, "A", "normal"),
            (2, "A", "pneumonia"),
            (7, "B", "normal"),
        ):
            db.add(Review(image_id=number, reviewer=name, verdict=verdict))
        db.add_all(ImageTag(image_id=number, name="rotated") for number in range(1, 40, 3))
        odd: Any = {"run_id": run.id, "name": OUTLIER, "value": 0.1}
        db.add_all(ImageMeasure(image_id=number, **odd) for number in range(1, 40, 2))
        db.flush()
        tallies.dataset(db, dataset)
        return Asked(engine, dataset, run.id, other.id)


def known(db: Session, asked: Asked) -> list[Fact]:
    """Every image with its probabilities, whether it has a report, and its reviews."""
    reported = set(db.scalars(select(Report.image_sha256)))
    tagged = set(db.scalars(select(ImageTag.image_id)))
    odd = set(db.scalars(select(ImageMeasure.image_id).where(ImageMeasure.name == OUTLIER)))
    said = {
        (row.run_id, row.image_id): row.probability
        for row in db.execute(select(Prediction.run_id, Prediction.image_id, Prediction.probability))
    }
    verdicts = {review.image_id: review.verdict for review in db.scalars(select(Review).order_by(Review.id))}
    return [
        Fact(
            image,
            said.get((asked.run, image.id)),
            said.get((asked.other, image.id)),
            image.sha256 in reported,
            image.id in tagged,
            image.id in odd,
            attributes(image.id - 1),
            verdicts.get(image.id),
        )
        for image in db.scalars(select(Image).order_by(Image.id))
    ]


def fits(fact: Fact, question: Question) -> bool:
    """Whether an image matches, condition by condition."""
    image, p, at = fact.image, fact.probability, question.threshold or 0.0
    doubted = (image.label, fact.verdict) in ((1, "normal"), (0, "pneumonia"))
    states = {None: True, "yes": fact.verdict is not None, "no": fact.verdict is None, "doubted": doubted}
    outcomes = {"wrong": ("FP", "FN")}.get(question.outcome or "", (question.outcome,))
    narrowed = (question.low, question.high) != (0.0, 1.0)
    return (
        question.split in (None, image.split or "unknown")
        and (question.label is None or cases.LABELS[question.label] == image.label)
        and question.cause in (None, image.cause or ("none" if image.label == 0 else "unknown"))
        and (question.outcome is None or cases.outcome(image.label, p, at) in outcomes)
        and (not question.changed_by_threshold or (p is not None and (p >= at) != (p >= THRESHOLD)))
        and (
            question.differs_from is None
            or (p is not None and fact.other is not None and (p >= at) != (fact.other >= OTHER_THRESHOLD))
        )
        and (
            not question.agrees_with
            or (p is not None and fact.other is not None and (p >= at) == (fact.other >= OTHER_THRESHOLD))
        )
        and (question.reported is None or fact.reported == (question.reported == "yes"))
        and all(fact.attributes.get(name, "unknown") == value for name, value in question.attributes)
        and (question.tag is None or fact.tagged)
        and (question.outlier_of is None or fact.odd)
        and states[question.reviewed]
        and (not narrowed or (p is not None and question.low <= p and (p < question.high or question.high == 1.0)))
    )


def rank(fact: Fact, question: Question) -> tuple[float, ...]:
    """The image's sort key in the question's order, smallest first."""
    p, number, at = fact.probability, fact.image.id, question.threshold or 0.0
    if p is None or question.sort == "file" or (question.sort == "wrong" and fact.image.label is None):
        return 1, number
    if question.sort == "uncertain":
        side = 1 if p >= at else -1
        return 0, abs(p - at), side * p, side * number
    error = abs(p - (fact.image.label or 0))
    if question.sort == "low":  # which among pneumonias is by error, and of equals the last first, as every such list
        by_error = question.label == "pneumonia" or question.outcome in ("TP", "FN")
        return 0, p, -number if by_error else number
    return 0, -(error if question.sort == "wrong" else p), -number


def combined(asked: Asked, sorts: Sequence[str], *, step: int) -> Iterator[Question]:
    """Every step-th question of all combinations."""
    for sort, *values in list(product(sorts, *SIDES.values()))[::step]:
        sides: dict[str, Any] = dict(zip(SIDES, values, strict=True))
        low, high = sides.pop("between")
        sides["outlier_of"] = asked.run if sides["outlier_of"] else None
        if (other := sides.pop("other")) is not None:
            rival = (asked.other, OTHER_THRESHOLD)
            sides[other] = (rival,) if other == "agrees_with" else rival
        run: dict[str, Any] = {"run_id": asked.run, "own_threshold": THRESHOLD}
        yield Question(asked.dataset, **run, sort=sort, low=low, high=high, **sides)


@pytest.mark.parametrize("few", [case_counts.SOUGHT, -1], ids=["few reports", "many"])
def test_pages_counts_and_ids_agree_with_python_on_combinations_of_filters(
    asked: Asked, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_counts, "SOUGHT", few)
    seen = set()
    with database.transaction(asked.engine) as db:
        facts = known(db, asked)
        for question in combined(asked, case_order.SORTS, step=5003):
            wanted = sorted((fact for fact in facts if fits(fact, question)), key=lambda fact: rank(fact, question))
            ids = [fact.image.id for fact in wanted]
            assert [case.id for case in cases.page(db, question, limit=100)] == ids, question
            assert [case.id for case in cases.page(db, question, limit=3, offset=2)] == ids[2:5], question
            assert cases.count(db, question) == len(ids), question
            assert sorted(cases.ids(db, question)) == sorted(ids), question
            seen.add(len(ids))
    assert len(seen) > 5


@pytest.mark.parametrize("far", [case_order.FAR, 1], ids=["walked", "sought"])
@pytest.mark.parametrize(
    "sides",
    [
        {},
        {"split": "test"},
        {"attributes": (("sex", "female"),)},
        {"attributes": (("sex", "unknown"), ("view", "AP")), "outcome": "wrong"},
        {"outcome": "wrong"},
        {"low": 0.3},
        {"reported": "no"},
        {"reported": "yes"},
        {"reviewed": "no"},
    ],
)
def test_lists_of_a_few_sides_agree_with_python_at_every_threshold(
    asked: Asked, sides: dict[str, Any], far: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_order, "FAR", far)
    with database.transaction(asked.engine) as db:
        facts = known(db, asked)
        for threshold, sort, changed in product((0.0, 0.35, 0.3512, THRESHOLD, 1.0), case_order.SORTS, (False, True)):
            base: dict[str, Any] = {"run_id": asked.run, "own_threshold": THRESHOLD, "threshold": threshold}
            question = Question(asked.dataset, **base, sort=sort, changed_by_threshold=changed, **sides)
            wanted = sorted((fact for fact in facts if fits(fact, question)), key=lambda fact: rank(fact, question))
            ids = [fact.image.id for fact in wanted]
            assert [case.id for case in cases.page(db, question, limit=100)] == ids, question
            for offset in range(1, len(ids), 3 if far == 1 else 20):
                page = [case.id for case in cases.page(db, question, limit=4, offset=offset)]
                assert page == ids[offset : offset + 4], (offset, question)
            assert cases.count(db, question) == len(ids), question
            counts = cases.confusion(db, question)
            open_ = [fact for fact in facts if fits(fact, replace(question, outcome=None))]
            called = [cases.outcome(fact.image.label, fact.probability, threshold) for fact in open_]
            assert counts == {name: called.count(name) for name in case_questions.OUTCOMES}, question


def test_outcomes_add_up_to_the_labelled_predictions(asked: Asked) -> None:
    engine, dataset, run = asked.engine, asked.dataset, asked.run
    with database.transaction(engine) as db:
        question = Question(dataset, run_id=run, threshold=THRESHOLD)
        counts = cases.confusion(db, question)
        assert counts is not None
        for outcome in case_questions.OUTCOMES:
            shown = cases.page(db, Question(dataset, run_id=run, threshold=THRESHOLD, outcome=outcome), limit=100)
            assert counts[outcome] == len(shown)
            assert {case.outcome for case in shown} <= {outcome}
        labelled = select(Prediction.id).join(Image, Image.id == Prediction.image_id)
        labelled = labelled.where(Prediction.run_id == run, Image.label.is_not(None))
        assert sum(counts.values()) == len(db.scalars(labelled).all()) > 0
        assert cases.confusion(db, Question(dataset)) is None


@pytest.mark.parametrize("sides", [{}, {"label": "pneumonia"}, {"outcome": "TN"}, {"threshold": 0.35}, {"high": 0.7}])
@pytest.mark.parametrize("sort", sorted(case_order.SORTS))
def test_places_follow_each_other_without_gap_or_repetition(asked: Asked, sort: str, sides: dict[str, Any]) -> None:
    base = {"run_id": asked.run, "threshold": THRESHOLD, "own_threshold": THRESHOLD}
    question = Question(asked.dataset, sort=sort, **{**base, **sides})
    with database.transaction(asked.engine) as db:
        listed = [case.id for case in cases.page(db, question, limit=100)]
        places = [cases.place(db, question, image) for image in listed]
        known = [place for place in places if place is not None]
        assert [place.position for place in known] == list(range(1, len(listed) + 1))
        assert [place.following for place in known] == [*listed[1:], None]
        assert [place.previous for place in known] == [None, *listed[:-1]]
        assert cases.place(db, Question(asked.dataset, label="normal"), listed[-1]) != known[0]


def test_the_most_wrong_come_first(asked: Asked) -> None:
    engine, dataset = asked.engine, asked.dataset
    with database.transaction(engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "train")).one()
        question = Question(dataset, run_id=run, threshold=THRESHOLD, outcome="wrong", sort="wrong")
        errors = [abs((case.probability or 0.0) - (case.label or 0)) for case in cases.page(db, question)]
    assert len(errors) > 1
    assert all(earlier >= later for earlier, later in pairwise(errors))


def test_an_image_outside_the_list_has_no_place(asked: Asked) -> None:
    engine, dataset = asked.engine, asked.dataset
    with database.transaction(engine) as db:
        normal = cases.page(db, Question(dataset, label="normal"))[0].id
        assert cases.place(db, Question(dataset, label="pneumonia"), normal) is None
        assert cases.one(db, 10**9) is None


def test_a_file_is_found_by_its_name_in_any_case_and_however_its_accents_are_encoded(asked: Asked) -> None:
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    written = {3: "test/Röntgen 50%.png", 5: "ÄRZTE/肺.png", 7: "x\u0302_1.png", 9: "x\u0302a1.png"}
    with database.transaction(asked.engine) as db:
        for stored, typed in product(forms, repeat=2):
            for number, path in written.items():
                db.get_one(Image, number).path = unicodedata.normalize(stored, path)
            for number, path in written.items():
                for name in (path, PurePosixPath(path).name, PurePosixPath(path).stem):
                    for cased in (name, name.upper(), name.lower()):
                        assert cases.named(db, asked.dataset, unicodedata.normalize(typed, cased)) == number
        for name in ("Rontgen 50%", "Röntgen 50_", "röntgen", "ärzte", "\0", "\ud83d", ""):
            assert cases.named(db, asked.dataset, name) is None


def test_more_cases_than_a_statement_takes_values_are_found(asked: Asked) -> None:
    with database.transaction(asked.engine) as db:
        found = cases.several(db, range(70_000), run_id=asked.run, threshold=THRESHOLD)
        assert sorted(found) == list(db.scalars(select(Image.id).order_by(Image.id)))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite reads as things stood at its first
def test_a_page_does_without_an_image_that_is_forgotten_while_it_is_read(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = cases.several

    def late(session: Session, ids: Sequence[int], **options: Any) -> dict[int, cases.Case]:
        with database.transaction(asked.engine) as db:
            writes.forget_images(db, ids[:1])
        return several(session, ids, **options)

    question = Question(asked.dataset, run_id=asked.run, threshold=THRESHOLD)
    with Session(asked.engine) as db:
        before = [case.id for case in cases.page(db, question, limit=10)]
        monkeypatch.setattr(cases, "several", late)
        assert [case.id for case in cases.page(db, question, limit=10)] == before[1:]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sort", case_order.SORTS)
@pytest.mark.parametrize(("few", "table"), [({"tag": "rotated"}, "image_tag"), ({"reported": "yes"}, "report")])
def test_a_list_of_few_images_begins_with_them_and_not_with_all_predictions(
    asked: Asked, few: dict[str, Any], table: str, sort: str
) -> None:
    question = Question(asked.dataset, run_id=asked.run, threshold=THRESHOLD, outcome="TP", sort=sort, **few)
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any) -> None:
        ran.append((statement, parameters))

    with Session(asked.engine) as db:
        event.listen(asked.engine, "before_cursor_execute", note)
        case_order.listed(db, question, limit=48)
        event.remove(asked.engine, "before_cursor_execute", note)
        plans = [
            str(step.detail)
            for statement, parameters in ran
            for step in db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert any(f"SCAN {table} " in plan or f"SEARCH {table} " in plan for plan in plans)
    assert not [plan for plan in plans if "_probability_" in plan or "_error_" in plan]


def test_for_every_filter_it_is_known_whether_tallies_cover_it() -> None:
    uncovered = {"differs_from", "agrees_with", "ids"}
    assert {field.name for field in fields(Question)} == case_counts.TALLIED | case_counts.BESIDE | uncovered
    assert not uncovered & (case_counts.TALLIED | case_counts.BESIDE)


def test_tallies_answer_no_question_with_a_filter_that_they_are_not_known_to_cover(asked: Asked) -> None:
    @dataclass(frozen=True)
    class Later(Question):
        prior_visits: int | None = None

    base: dict[str, Any] = {"dataset_id": asked.dataset, "run_id": asked.run, "threshold": THRESHOLD, "outcome": "TP"}
    with Session(asked.engine) as db:
        assert case_counts.tallied_predictions(Later(**base, own_threshold=THRESHOLD)) is not None
        assert case_counts.share(db, Later(**base, own_threshold=THRESHOLD)) is not None
        assert case_counts.tallied_predictions(Later(**base, own_threshold=THRESHOLD, prior_visits=2)) is None
        assert case_counts.share(db, Later(**base, own_threshold=THRESHOLD, prior_visits=2)) is None


def test_tallies_by_attribute_are_those_of_a_recount_and_answer_without_a_walk(asked: Asked) -> None:
    statements: list[str] = []
    with database.transaction(asked.engine) as db:
        facts = known(db, asked)
        run: dict[str, Any] = {"run_id": asked.run, "own_threshold": THRESHOLD, "threshold": THRESHOLD}
        for pair in (("sex", "female"), ("sex", "male"), ("sex", "unknown"), ("view", "PA"), ("view", "unknown")):
            for outcome in (None, "TP", "FN", "FP", "TN", "wrong"):
                question = Question(asked.dataset, **run, outcome=outcome, attributes=(pair,))
                wanted = sum(fits(fact, question) for fact in facts)
                event.listen(asked.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
                assert cases.count(db, question) == wanted, question
                assert cases.confusion(db, question) == {
                    name: sum(fits(fact, replace(question, outcome=name)) for fact in facts)
                    for name in case_questions.OUTCOMES
                }
    assert statements
    assert not [text for text in statements if "image_attribute" in text]


def test_no_prediction_is_tallied_once_all_images_of_a_run_are_removed(asked: Asked) -> None:
    with database.transaction(asked.engine) as db:
        scored = db.scalars(select(Prediction.image_id).where(Prediction.run_id == asked.run)).all()
        writes.forget_images(db, scored)
        tallies.dataset(db, asked.dataset)
        assert db.scalars(select(PredictionTally.id).where(PredictionTally.run_id == asked.run)).all() == []
