"""Is a report read as a radiologist would read it: which findings, present or absent, and where?"""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reporting.findings import Mention, read
from engine.reporting.vocabulary import FINDINGS, SIDES, ZONES

LINES = Path(__file__).parents[2].joinpath("data", "report_sentences.tsv").read_text(encoding="utf-8").splitlines()
SENTENCES = [tuple(line.split("\t")) for line in LINES if not line.startswith("#")]
GENERAL = ("normal", "abnormality")
"""Findings without a location."""


def expected(labels: str) -> list[str]:
    return [] if labels == "-" else labels.split("; ")


def said(mention: Mention) -> str:
    return f"{mention.finding}:{mention.polarity}"


def test_the_labelled_sentences_are_many_distinct_and_use_known_names() -> None:
    labels = [label for _, found in SENTENCES for label in expected(found)]
    names = {label.split("@")[0].split(":")[0] for label in labels}
    places = {tuple(label.split("@")[1].split(".")) for label in labels if "@" in label}
    assert len({sentence for sentence, _ in SENTENCES}) == len(SENTENCES) >= 300
    assert names == set(FINDINGS)
    assert {side for side, _ in places} <= {*SIDES, "-"} and {zone for _, zone in places} <= {*ZONES, "-"}


def f1(counts: list[tuple[Counter[str], Counter[str]]]) -> float:
    """Micro-averaged over (finding, polarity) pairs."""
    hit = sum(sum((wanted & found).values()) for wanted, found in counts)
    return 2 * hit / sum(sum(wanted.values()) + sum(found.values()) for wanted, found in counts)


@pytest.mark.parametrize("polarity", ["present", "absent", "uncertain", "historical", "hypothetical", ""])
def test_findings_and_their_polarity_are_read_with_an_f1_above_95_percent(polarity: str) -> None:
    pairs = [
        (
            Counter(label.split("@")[0] for label in expected(labels) if f":{polarity}" in label),
            Counter(said(mention) for mention in read(sentence) if mention.polarity.startswith(polarity)),
        )
        for sentence, labels in SENTENCES
    ]
    assert f1(pairs) >= 0.95


def test_side_and_zone_are_read_where_the_sentence_gives_them() -> None:
    right = total = 0
    for sentence, labels in SENTENCES:
        wanted = Counter(
            label if "@" in label else f"{label}@-.-" for label in expected(labels) if not label.startswith(GENERAL)
        )
        found = Counter(
            f"{said(mention)}@{mention.side or '-'}.{mention.zone or '-'}"
            for mention in read(sentence)
            if mention.finding not in GENERAL
        )
        right, total = right + sum((wanted & found).values()), total + sum(wanted.values())
    assert right / total >= 0.95


def test_an_answer_settles_the_question_before_it() -> None:
    text = "Question: is there pneumonia? Answer: no. Is there an effusion? Yes, on the left."
    assert [said(mention) for mention in read(text)] == ["pneumonia:absent", "effusion:present"]


@pytest.mark.parametrize(
    "word", ["no ", "is ", ", ", "no pneumonia, is ", "acute ", "1. ", "a", '"a', "_a", "| ", "pneumonia: "]
)
def test_nonsense_of_a_hundred_kilobytes_is_read_in_time_that_grows_with_length_alone(word: str) -> None:
    text = (word * (100_000 // len(word)))[:100_000]
    assert all(text[mention.start : mention.end] == mention.term for mention in read(text))


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert all(text[mention.start : mention.end] == mention.term for mention in read(text))
