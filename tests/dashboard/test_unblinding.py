"""What a reader had been shown before a verdict, which then does not count as blind."""

from dataclasses import dataclass, fields

import pytest
from sqlalchemy import select

from dashboard.components.reviews import blind_queue
from db import session as database
from db.models import Review
from db.queries.cases import Question
from tests.dashboard.opened import Workbench, open_page, said
from tests.dashboard.reviewing import film, judge, undoing

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_verdict_on_an_image_whose_answer_was_seen_is_not_blind_however_the_reader_comes_back_to_it(
    workbench: Workbench,
) -> None:
    at = open_page("reviews", reviewer="Anna")
    first = film(at)
    judge(at, "normal")
    undoing(at)[0].click().run()
    assert film(at) == first
    at.button(key=f"skip_{first[:16]}").click().run()
    later = open_page("reviews", reviewer="Anna")
    assert film(later) == first
    assert "does not count as blind" in said(later)
    judge(later, "pneumonia")
    other = open_page("reviews", reviewer="Ben")
    assert film(other) == first and "does not count as blind" not in said(other)
    judge(other, "pneumonia")
    with database.transaction(workbench.engine) as db:
        told = dict(db.execute(select(Review.reviewer, Review.unblinded_by)).tuples().all())
    assert told == {"Anna": blind_queue.EARLIER, "Ben": ""}
    chosen = open_page("reviews", reviewer="Cleo", label="pneumonia")
    judge(chosen, "normal")
    undoing(chosen)[0].click().run()
    chosen.button(key=f"skip_{film(chosen)[:16]}").click().run()
    again = open_page("reviews", reviewer="Cleo", label="pneumonia")
    judge(again, "normal")
    with database.transaction(workbench.engine) as db:
        found = db.scalars(select(Review.unblinded_by).where(Review.reviewer == "Cleo")).all()
    assert found == [f"label, {blind_queue.EARLIER}"]


def test_a_queue_chosen_by_what_is_hidden_says_that_it_gives_something_away(workbench: Workbench) -> None:
    assert not open_page("reviews", reviewer="Anna", split="train").warning[1:]
    for parameters, word in (({"label": "normal"}, "label"), ({"outcome": "FN"}, "outcome"), ({"low": 0.9}, "prob")):
        at = open_page("reviews", reviewer="Anna", **parameters)
        assert any(f"selected by {word}" in str(one.value) for one in at.warning), parameters


def test_what_unblinded_the_reader_is_stored_with_the_verdict(workbench: Workbench) -> None:
    blind = judge(open_page("reviews", reviewer="Anna"), "normal")
    undoing(blind)[0].click().run()
    assert "after your earlier verdict" in " ".join(str(one.value) for one in blind.warning)
    judge(blind, "pneumonia")
    judge(open_page("reviews", reviewer="Ben", label="normal", low=0.1), "normal")
    from_case = open_page("reviews", reviewer="Cleo", image=1)
    assert "came from the case page" in " ".join(str(one.value) for one in from_case.warning)
    judge(from_case, "normal")
    judge(open_page("reviews", reviewer="Dora"), "normal")
    with database.transaction(workbench.engine) as db:
        told = dict(db.execute(select(Review.reviewer, Review.unblinded_by)).all())
    assert told == {"Anna": "earlier look", "Ben": "label, probability", "Cleo": "case", "Dora": ""}


def test_every_filter_either_unblinds_or_is_known_to_reveal_nothing(workbench: Workbench) -> None:
    known = {*blind_queue.BLIND, *blind_queue.UNBLINDING}
    assert not blind_queue.BLIND & blind_queue.UNBLINDING.keys()
    assert {field.name for field in fields(Question)} == known, "say in blind_queue whether the new filter unblinds"


def test_a_filter_that_is_not_known_to_reveal_nothing_unblinds(workbench: Workbench) -> None:
    @dataclass(frozen=True)
    class Later(Question):
        prior_visits: int | None = None

    assert blind_queue._unblinded_by(Later(dataset_id=1, run_id=3, split="test"), None) == []
    assert blind_queue._unblinded_by(Later(dataset_id=1, prior_visits=2), None) == ["prior_visits"]
