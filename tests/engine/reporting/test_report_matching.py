"""Text search finds reports that assert the query, and leaves out those that negate it."""

import pytest

from engine.reporting.matching import ignored_denial, matcher, mention_matcher

REPORTS = {
    "effusion": "Small left pleural effusion. Heart normal.",
    "no effusion": "No effusion or pneumothorax. The lungs are clear.",
    "perhaps": "A right effusion cannot be excluded.",
    "lower": "Opacity in the right lower zone.",
    "upper": "Opacity in the right upper zone, no effusion.",
    "both": "Bilateral opacities.",
    "old": "History of pneumonia.",
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("effusion", {"effusion", "perhaps"}),
        ("no effusion", {"no effusion", "upper"}),
        ("left effusion", {"effusion"}),
        ("opacity in the right lower zone", {"lower"}),
        ("opacity on the right", {"lower", "upper", "both"}),
        ("opacity or effusion", {"effusion", "perhaps", "lower", "both"}),
        ("is there an effusion?", {"effusion", "perhaps"}),
        ("history of pneumonia", {"old"}),
        ("pneumonia", set()),
        ("clear lungs", {"no effusion"}),
        ("heart", set(REPORTS)),
        ("", set(REPORTS)),
    ],
)
def test_reports_that_say_what_the_query_says_pass(query: str, found: set[str]) -> None:
    passes = matcher(query)
    assert {name for name, text in REPORTS.items() if passes(text)} == found


@pytest.mark.parametrize("query", ["not bacterial", "it isn't bacterial", "neither tube nor line", "non-specific"])
def test_a_denial_of_what_is_no_finding_is_told(query: str) -> None:
    assert "negates no known finding" in (ignored_denial(query) or "")


@pytest.mark.parametrize("query", ["no effusion", "without opacity", "the lungs are clear", "a nodular opacity", ""])
def test_a_denial_that_is_heeded_is_not(query: str) -> None:
    assert ignored_denial(query) is None


def test_texts_that_speak_of_what_is_asked_are_told_from_those_that_share_its_words() -> None:
    assert {name for name, text in REPORTS.items() if mention_matcher("no effusion")(text)} == {
        *("effusion", "no effusion", "perhaps", "upper"),
    }
    assert all(mention_matcher("heart")(text) for text in REPORTS.values())
