"""Does a search by words find reports that say it, and leave out those that deny it?"""

import pytest

from engine.reporting.matching import matcher

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
