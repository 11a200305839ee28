"""Whole reports and answers, in the various forms that people and models write, are read correctly."""

from collections import Counter
from pathlib import Path

import pytest

from engine.reporting.findings import Mention, read
from engine.reporting.prompts import sentences
from engine.reporting.scores.stance import stance

LINES = Path(__file__).parents[2].joinpath("data", "report_texts.tsv").read_text(encoding="utf-8").splitlines()
TEXTS = [tuple(line.replace("\\n", "\n").split("\t")) for line in LINES if "\t" in line]
GENERAL = ("normal", "abnormality")
"""Findings without a location."""


def expected(labels: str) -> Counter[str]:
    told = [] if labels == "-" else labels.split("; ")
    return Counter(label if "@" in label or label.startswith(GENERAL) else f"{label}@-.-" for label in told)


def said(mention: Mention) -> str:
    place = "" if mention.finding in GENERAL else f"@{mention.side or '-'}.{mention.zone or '-'}"
    return f"{mention.finding}:{mention.polarity}{place}"


@pytest.mark.parametrize(("text", "labels", "taken"), TEXTS, ids=[text[:60] for text, _, _ in TEXTS])
def test_a_text_is_read_as_labelled(text: str, labels: str, taken: str) -> None:
    mentions = read(text)
    assert Counter(map(said, mentions)) == expected(labels)
    assert stance(text) == taken
    assert all(text[mention.start : mention.end] == mention.term for mention in mentions)


def test_a_finding_stands_where_the_report_has_it_marks_and_all() -> None:
    text = 'A **small *pleural* effusion** and "right_lower_lobe_consolidation".'
    assert [(mention.term, mention.start) for mention in read(text)] == [
        ("pleural* effusion", text.index("pleural")),
        ("consolidation", text.index("consolidation")),
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("? early pneumonia. Clear.", ["? early pneumonia.", "Clear."]),
        ("Pneumonia? No.", ["Pneumonia?", "No."]),
        ("Is it pneumonia ? The lungs are clear.", ["Is it pneumonia ?", "The lungs are clear."]),
        ("Request: ? LRTI", ["Request: ? LRTI"]),
    ],
)
def test_a_question_mark_ends_a_sentence_unless_it_opens_a_query(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts
