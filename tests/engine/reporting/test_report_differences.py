"""Differences between two reports are marked where they differ, and nowhere else."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.reporting.differences import Piece, compare, findings_apart
from engine.reporting.findings import read

WORDS = st.text(alphabet="ab .\n,?Çß-'", max_size=60)


def own(pieces: list[Piece]) -> list[str]:
    return [piece.text.strip() for piece in pieces if piece.own]


def test_a_changed_word_is_marked_on_both_sides_and_a_new_sentence_as_a_whole() -> None:
    left, right = compare(
        "There is opacity in the right lower zone. The heart is normal.",
        "The heart is normal. There is opacity in the left lower zone. No effusion.",
    )
    assert own(left) == ["right"]
    assert own(right) == ["left", "No effusion."]


@given(WORDS, WORDS)
@settings(max_examples=200)
def test_the_pieces_joined_are_the_reports(first: str, second: str) -> None:
    left, right = compare(first, second)
    assert "".join(piece.text for piece in left) == first
    assert "".join(piece.text for piece in right) == second


@given(WORDS)
@example("a ? a")
def test_a_report_does_not_differ_from_itself(text: str) -> None:
    left, right = compare(text, text.upper() if len(text.upper()) == len(text) else text)
    assert own(left) == own(right) == []


def test_findings_are_told_apart_by_what_is_said_of_them() -> None:
    first = read("Consolidation in the right lower lobe. No effusion. Pneumothorax cannot be excluded.")
    second = read("Left consolidation. No pleural effusion. Check for nodules.")
    assert findings_apart(first, second) == [
        ("consolidation", ["present right lower"], ["present left"]),
        ("pneumothorax", ["uncertain"], []),
    ]
