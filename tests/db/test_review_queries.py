"""Reviews on both databases: stored once, superseded, deleted; the blind queue's order; lists and verdicts."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import review_rules, writes
from db import session as database
from db.models import Image, ImageTag, Prediction, Review, Run
from db.queries import reviews
from db.queries.cases import Question
from db.queries.reviews import ReviewQuestion
from db.review_rules import RefusedError
from tests.sample import THRESHOLD, build, films


@pytest.fixture
def dataset(engine: Engine, tmp_path: Path) -> int:
    """40 images, 14 of them test, with predictions of the test split."""
    return build(engine, tmp_path, tmp_path / "films", pictures=films(40))


def give(db: Session, image: int, reviewer: str = "Anna", verdict: str = "normal", **others: object) -> Review | None:
    return writes.review(db, image_id=image, reviewer=reviewer, verdict=verdict, **others)  # type: ignore[arg-type]


def walked(db: Session, question: Question, reviewer: str) -> list[int]:
    """The images of the reader's queue, reviewed one after another."""
    order = []
    while film := reviews.next_film(db, question, reviewer):
        order.append(film.image_id)
        give(db, film.image_id, reviewer)
    return order


def test_the_queue_shows_each_image_of_its_question_once(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        question = Question(dataset, split="test")
        order = walked(db, question, "Anna")
        wanted = list(db.scalars(select(Image.id).where(Image.split == "test")))
        assert sorted(order) == sorted(wanted)
        assert reviews.judged(db, question, "Anna") == len(wanted) == 14
        assert reviews.next_film(db, question, "Anna") is None
        assert reviews.judged(db, question, "Ben") == 0


def test_the_queue_goes_by_hash_and_shows_every_reader_the_same_films_first(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        by_hash = list(db.scalars(select(Image.id).order_by(Image.sha256)))
        for reader in ("Anna", "Ben"):
            assert walked(db, Question(dataset), reader) == by_hash


def test_the_queue_keeps_to_outcomes_and_probabilities(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
        question = Question(dataset, run_id=run, threshold=THRESHOLD, outcome="wrong", split="test")
        order = walked(db, question, "Anna")
        rows = db.execute(select(Image.id, Image.label, Prediction.probability).join(Prediction))
        called = {image: (label, probability >= THRESHOLD) for image, label, probability in rows}
        wrong = {image for image, (label, positive) in called.items() if label != positive}
        tested = set(db.scalars(select(Image.id).where(Image.split == "test")))
        assert set(order) == wrong & tested
        assert order


def test_a_skipped_film_comes_again_after_all_others(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        question = Question(dataset, split="test")
        first = reviews.next_film(db, question, "Anna")
        assert first is not None
        after, order = first.name, []
        while film := reviews.next_film(db, question, "Anna", after=after):
            order.append(film.image_id)
            give(db, film.image_id)
        assert order[-1] == first.image_id
        assert len(order) == len(set(order)) == 14


def test_a_film_is_found_by_the_start_of_its_hash_and_by_its_number_within_its_dataset(
    engine: Engine, dataset: int, tmp_path: Path
) -> None:
    other = build(engine, tmp_path, tmp_path / "films", pictures=films(40), name="other")
    with database.transaction(engine) as db:
        image = db.scalars(select(Image).where(Image.dataset_id == other).limit(1)).one()
        found = reviews.named(db, other, image.sha256[:16])
        assert found == reviews.film(db, other, image.id)
        assert found is not None
        assert found.name == image.sha256[:16]
        assert reviews.film(db, dataset, image.id) is None
        assert reviews.named(db, dataset, "0" * 16) is None
        give(db, image.id)
        assert reviews.judged(db, Question(dataset), "Anna") == 0


def test_a_verdict_given_twice_is_stored_once(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        stored = give(db, 1, note="first", tags=["tube"])
        assert stored is not None
        assert give(db, 1, note="first", tags=["tube"]) is None
        assert (len(db.scalars(select(Review)).all()), len(db.scalars(select(ImageTag)).all())) == (1, 1)


def test_two_tabs_at_the_same_moment_store_one_verdict(engine: Engine, dataset: int) -> None:
    ready, stored = threading.Barrier(2), []

    def tab() -> None:
        ready.wait()
        with database.transaction(engine) as db:
            stored.append(give(db, 1) is not None)

    tabs = [threading.Thread(target=tab) for _ in range(2)]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert sorted(stored) == [False, True]


def test_a_review_waits_for_another_writer_as_long_as_it_may_and_no_longer(
    engine: Engine, dataset: int, database_url: str
) -> None:
    hurried = database.connect(database_url, patience=0.2)
    with database.transaction(engine) as holder:
        holder.execute(select(Image.id).where(Image.id == 1).with_for_update())
        started = time.monotonic()
        with pytest.raises(DBAPIError), database.transaction(hurried) as db:
            give(db, 1)
        assert time.monotonic() - started < 10
    with database.transaction(hurried) as db:
        assert give(db, 1) is not None
    hurried.dispose()


def test_two_readers_may_put_the_same_tag_on_the_same_films_at_once(engine: Engine, dataset: int) -> None:
    added: list[int] = []

    def second() -> None:
        with database.transaction(engine) as other:
            added.append(writes.tag(other, [1, 2, 3], "device"))

    with database.transaction(engine) as db:
        assert writes.tag(db, [1, 2], "device") == 2
        reader = threading.Thread(target=second)
        reader.start()
        time.sleep(0.5)
    reader.join(30)
    with database.transaction(engine) as db:
        assert added == [1] and db.scalar(select(func.count()).select_from(ImageTag)) == 3


def test_a_later_verdict_stands_the_earlier_one_is_kept_and_counts_for_agreement(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        first = give(db, 1, verdict="normal")
        assert first is not None
        second = give(db, 1, verdict="pneumonia", since=first.id)
        assert second is not None
        assert [(said.review.verdict, said.superseded) for said in reviews.of_image(db, 1)] == [
            ("pneumonia", False),
            ("normal", True),
        ]
        (counted,) = reviews.verdicts(db, Question(dataset), blind=True)
        assert (counted.image_id, counted.reviewer, counted.verdict) == (1, "Anna", "normal")
        assert reviews.judged(db, Question(dataset), "Anna") == 1
        latest = reviews.latest(db, 1, "Anna")
        assert latest is not None
        assert latest.review.id == second.id


def test_taking_back_deletes_the_review_with_its_tags_and_no_other(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        db.add(ImageTag(image_id=1, name="alone"))
        mine = give(db, 1, tags=["tube", "rotated"])
        give(db, 1, reviewer="Ben", tags=["tube"])
        assert mine is not None
    with database.transaction(engine) as db:
        assert writes.take_back(db, mine.id, reviewer="Ben") is None
        assert writes.take_back(db, mine.id, reviewer="Anna") == 1
        assert writes.take_back(db, mine.id, reviewer="Anna") is None
    with database.transaction(engine) as db:
        assert [said.review.reviewer for said in reviews.of_image(db, 1)] == ["Ben"]
        assert sorted(db.scalars(select(ImageTag.name))) == ["alone", "tube"]
        assert list(reviews.tags_alone(db, 1)) == ["alone"]
        assert reviews.last(db, dataset, "Anna") is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"verdict": "maybe"}, "is not a verdict"),
        ({"reviewer": "   "}, "name is empty"),
        ({"reviewer": "a" * 101}, "101 characters; 100 are allowed"),
        ({"reviewer": "An\x00na"}, r"control character \(U\+0000\)"),
        ({"reviewer": "An\u202ena"}, r"control character \(U\+202E\)"),
        ({"tags": ["a" * 61]}, "61 characters; 60 are allowed"),
        ({"tags": ["two\nlines"]}, "a tag contains a control character"),
        ({"tags": [str(number) for number in range(21)]}, "20 tags at most; 21"),
        ({"note": "a" * 2001}, "2,001 characters; 2,000 are allowed"),
        ({"note": "\x1b[31m"}, "the note contains a control character"),
        ({"image": 999}, "image 999 is gone"),
    ],
)
def test_what_a_review_may_not_say_is_refused_and_nothing_is_stored(
    engine: Engine, dataset: int, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(RefusedError, match=message), database.transaction(engine) as db:
        give(db, **{"image": 1, **wrong})  # type: ignore[arg-type]
    with database.transaction(engine) as db:
        assert db.scalar(select(func.count()).select_from(Review)) == 0


def test_names_tags_and_notes_are_settled(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        stored = give(db, 1, reviewer="  Dr.  Anna ", tags=["tube", " tube", ""], note=" a\r\nb\r ")
        assert stored is not None
        said = reviews.latest(db, 1, "Dr. Anna")
        assert said is not None
        assert (said.tags, said.review.note) == (("tube",), "a\nb")
    assert review_rules.name("e\u0301") == review_rules.name("\u00e9")


def test_lists_count_and_page_by_reader_verdict_and_tag(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        for image in range(1, 21):
            for reviewer in ("Anna", "Ben")[: 1 + (image % 2)]:
                verdict = "normal" if image % 3 else "uncertain"
                give(db, image, reviewer, verdict, tags=["tube"] if image % 5 == 0 else [])
        for listed, wanted in (
            (ReviewQuestion(dataset), 30),
            (ReviewQuestion(dataset, reviewer="Ben"), 10),
            (ReviewQuestion(dataset, verdict="uncertain"), 9),
            (ReviewQuestion(dataset, tag="tube"), 6),
            (ReviewQuestion(dataset, reviewer="Ben", verdict="normal", tag="tube"), 1),
            (ReviewQuestion(dataset + 1), 0),
        ):
            whole = reviews.page(db, listed)
            assert reviews.count(db, listed) == len(whole) == wanted, listed
            pages = [one for start in range(0, 30, 7) for one in reviews.page(db, listed, limit=7, offset=start)]
            assert [one.review.id for one in pages] == [one.review.id for one in whole]
            assert [one.review.id for one in whole] == sorted((one.review.id for one in whole), reverse=True)
        assert reviews.reviewers(db, dataset) == {"Anna": 20, "Ben": 10}
        assert list(reviews.tags_in_use(db, dataset)) == ["tube"]
        assert all(one.tags == ("tube",) for one in reviews.page(db, ReviewQuestion(dataset, tag="tube")))


def test_verdicts_stand_beside_the_predictions_of_the_run_in_question(engine: Engine, dataset: int) -> None:
    with database.transaction(engine) as db:
        run = db.scalars(select(Run.id).where(Run.kind == "predict")).one()
        tested = db.scalars(select(Image).where(Image.split == "test").limit(1)).one()
        trained = db.scalars(select(Image).where(Image.split == "train").limit(1)).one()
        for image in (tested, trained):
            give(db, image.id)
        own = select(Prediction.probability).where(Prediction.run_id == run, Prediction.image_id == tested.id)
        probability = db.scalar(own)
        found = {row.image_id: row for row in reviews.verdicts(db, Question(dataset, run_id=run), blind=True)}
        assert (found[tested.id].probability, found[tested.id].label) == (probability, tested.label)
        assert found[trained.id].probability is None
        assert [row.image_id for row in reviews.verdicts(db, Question(dataset, split="test"), blind=True)] == [
            tested.id
        ]
        assert reviews.probabilities(db, run, ReviewQuestion(dataset)) == {tested.id: probability}
        assert reviews.probabilities(db, None, ReviewQuestion(dataset)) == {}
