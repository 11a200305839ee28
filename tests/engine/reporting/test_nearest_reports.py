"""The nearest generator quotes a report if there is one, and otherwise states only what the labels say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reporting.findings import read
from engine.reporting.generators import Case, Failed, Generated, LabelledCase, load
from engine.reporting.prompts import STRATEGIES
from engine.reporting.scores.stance import stance
from tests.generated import in_order

CASES = st.builds(
    LabelledCase,
    number=st.integers(1, 10**6),
    label=st.sampled_from([0, 1]),
    cause=st.sampled_from([None, "bacterial", "viral"]),
    similarity=st.floats(-1, 1),
)
FIVE = st.lists(CASES, min_size=5, max_size=5)


def report(nearest: list[LabelledCase], strategy: str = "basic") -> str:
    (made,) = in_order(load("nearest").generate([Case(0.5, 0.5, nearest=nearest)], STRATEGIES[strategy]))
    assert isinstance(made, Generated)
    return made.text


@given(nearest=FIVE, strategy=st.sampled_from(list(STRATEGIES)))
def test_without_reports_the_labels_vote_and_the_form_is_kept(nearest: list[LabelledCase], strategy: str) -> None:
    text = report(nearest, strategy)
    ill = sum(case.label for case in nearest)
    assert stance(text) == ("pneumonia" if ill >= 3 else "normal")
    assert f"{ill} of the 5" in text
    assert all(STRATEGIES[strategy].check(text).values())
    assert {mention.finding for mention in read(text)} <= {"pneumonia", "normal"}


def test_the_report_of_the_nearest_case_that_has_one_is_quoted_word_for_word() -> None:
    written = "Consolidation in the left lower lobe.\nNo effusion."
    nearest = [LabelledCase(7, 0, None, 0.95), LabelledCase(12, 1, "viral", 0.91, written)]
    nearest.append(LabelledCase(3, 0, None, 0.9, "Clear lungs."))
    for strategy in STRATEGIES:
        text = report(nearest, strategy)
        assert text.startswith(f"{written}\n\nQuoted word for word from case 12")
        assert "cosine 0.91" in text and "another patient" in text
        assert [mention.finding for mention in read(text)] == ["consolidation", "effusion"]


def test_a_case_without_neighbours_fails_and_the_others_are_written() -> None:
    known = Case(0.5, 0.5, nearest=[LabelledCase(1, 1, "bacterial", 0.5)])
    made = in_order(load("nearest").generate([Case(0.5, 0.5), known], STRATEGIES["basic"]))
    assert isinstance(made[0], Failed) and "no labelled case" in made[0].reason
    assert isinstance(made[1], Generated) and "1 of the 1" in made[1].text and "1 bacterial" in made[1].text


@pytest.mark.parametrize("label", [0, 1])
def test_the_most_similar_case_is_named(label: int) -> None:
    text = report([LabelledCase(41, label, None, 0.876), *(LabelledCase(n, 1 - label, None, 0.5) for n in range(4))])
    assert f"case 41 (cosine 0.88), {'has' if label else 'does not have'} it" in text
