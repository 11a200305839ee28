"""Prompt strategies are complete, and answers that lack a required element are detected."""

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.reporting.prompts import BASIC, STRATEGIES, find, read_toml, sentences

STRUCTURED = "LUNG FIELDS: Clear.\nCARDIAC: Normal.\nPLEURA: No effusion.\nIMPRESSION: Normal."


def test_the_four_strategies_are_registered_and_differ() -> None:
    assert list(STRATEGIES) == ["basic", "clinical_structured", "differential", "clinical_brief"]
    assert len({strategy.sha256 for strategy in STRATEGIES.values()}) == 4


def test_an_unknown_strategy_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match=r"'verbose' is unknown; known: basic, clinical_structured"):
        find("verbose")


@pytest.mark.parametrize(
    ("strategy", "answer", "missing"),
    [
        ("basic", "The lungs are clear.", []),
        ("basic", "A picture of a chest.", ["verdict"]),
        ("clinical_structured", STRUCTURED, []),
        ("clinical_structured", "**LUNG FIELDS:** clear\n## CARDIAC\nnormal\nPleura: none\nImpression: none", []),
        ("clinical_structured", STRUCTURED.replace("PLEURA: No effusion.\n", ""), ["PLEURA"]),
        ("clinical_structured", "The lung fields, cardiac size and pleura are fine.", None),
        ("differential", "1. Normal, because the lungs are clear\n2. Pneumonia\nUncertainty: early disease", []),
        ("differential", "Pneumonia or normal, with support for both.", ["first entry", "second entry", "uncertainty"]),
        ("clinical_brief", "No pneumonia. Lungs are clear at 0.5 magnification.", []),
        ("clinical_brief", "No pneumonia. Lungs clear. Heart normal.", ["at most 2 sentences"]),
    ],
)
def test_what_an_answer_lacks_is_named(strategy: str, answer: str, missing: list[str] | None) -> None:
    held = find(strategy).check(answer)
    expected = list(held) if missing is None else missing
    assert [name for name, here in held.items() if not here] == expected


def test_an_empty_answer_holds_nothing_that_was_demanded() -> None:
    for strategy in STRATEGIES.values():
        held = strategy.check("")
        assert not any(here for name, here in held.items() if not name.startswith("at most"))


def test_sentences_end_at_full_stops_and_lines_but_not_inside_numbers() -> None:
    assert sentences("Probability 0.97. Why?\nIt shows.  ") == ["Probability 0.97.", "Why?", "It shows."]


def test_strategies_of_ones_own_come_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[strategies.terse]\ntext = """One word: pneumonia or normal."""\nmax_sentences = 1\n'
        'required = { verdict = "pneumonia|normal" }\n'
    )
    (mine,) = read_toml(file).values()
    assert (mine.name, mine.text, mine.max_sentences) == ("terse", "One word: pneumonia or normal.", 1)
    assert mine.check("Normal.") == {"verdict": True, "at most 1 sentences": True}
    assert find("terse", read_toml(file)) == mine


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[strategies.a]\ntext = 3\n", "'text' must be of type str"),
        ("[strategies.a]\npurpose = 'x'\n", "no text"),
        ("[strategies.a]\ntext = 'x'\ncolour = 'red'\n", "'colour' is unknown; known: text, purpose, required"),
        ("[strategies.basic]\ntext = 'x'\n", "a strategy of that name already exists"),
        ("[strategies.'A b']\ntext = 'x'\n", "a name consists of at most 60 lower-case letters"),
        ("[strategies.a]\ntext = 'x'\nrequired = { v = '(' }\n", "required 'v' is not a regular expression"),
        ("[strategies.a]\ntext = 'x'\nmax_sentences = 0\n", "max_sentences must be at least 1"),
        ("[strategies.a\ntext = 'x'\n", "line 1"),
        (f"[strategies.a]\ntext = '{BASIC.text}'\n", "'a' has the same text as 'basic'; change it"),
        ("[strategies.a]\ntext = 'x'\n[strategies.b]\ntext = ' x '\n", "'b' has the same text as 'a'; change it"),
        ("", "no [strategies.NAME] table"),
    ],
)
def test_an_error_in_a_strategy_file_is_named_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError) as raised:
        read_toml(file)
    assert str(file) in str(raised.value) and reason in str(raised.value)


def test_a_strategy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")
