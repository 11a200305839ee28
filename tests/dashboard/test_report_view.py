"""A report is shown verbatim, with findings coloured by polarity."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.components.reports.report_view import COLOURS, coloured, excerpt
from dashboard.components.reports.side_by_side import marked
from dashboard.components.wording import JOINER
from engine.reporting.differences import Piece, compare
from engine.reporting.findings import read

SPAN = re.compile(r":(\w+)-background\[\**((?:\\.|[^\]\\*])*)\**\]")


def shown(markdown: str) -> str:
    """The visible text: colours resolved, escapes undone."""
    spaced = SPAN.sub(r"\2", markdown).replace("  \n", "\n").replace("\N{NO-BREAK SPACE}", " ")
    return re.sub(r"\\(.)", r"\1", spaced).replace(JOINER, "")


def test_an_excerpt_is_of_the_answer_and_not_of_what_was_thought_before_it() -> None:
    assert excerpt("<think>Pneumonia? Perhaps.</think>\n\nThe lungs are clear. No mass.") == "The lungs are clear."


def test_a_finding_with_marks_within_is_shown_as_it_was_written() -> None:
    text = 'No *pleural* effusion, **"right"** _pneumonia_.'
    assert shown(coloured(text)) == text


def test_each_finding_has_the_colour_of_its_polarity() -> None:
    said = coloured("Consolidation on the right, no effusion.\nPossible pneumonia; history of asthma.")
    assert [(colour, term) for colour, term in SPAN.findall(said)] == [
        ("red", "Consolidation"),
        ("green", "effusion"),
        ("orange", "pneumonia"),
    ]
    assert len(set(COLOURS.values())) == len(COLOURS)
    for span in (
        ":red-background[**Consolidation**]",
        ":green-background[effusion]",
        ":orange-background[*pneumonia*]",
    ):
        assert span in said


def test_markup_from_a_model_stays_text() -> None:
    text = "<script>alert(1)</script> [click](http://x) ![i](http://x) :red[no] $x$ `code` pneumonia"
    assert shown(coloured(text)) == text
    assert "](" not in coloured(text).replace("\\]\\(", "") and "<" not in coloured(text).replace("\\<", "")


def test_an_address_in_a_report_is_no_link() -> None:
    text = "See https://evil.example/x, HTTP://b.example, www.c.example or ask a@d.example: no pneumonia"
    assert shown(coloured(text)) == text
    assert not re.search(r"https?:|www\.|\w@", re.sub(r"\\(.)", r"\1", coloured(text)), re.IGNORECASE)


def test_a_report_s_own_words_are_marked_and_its_text_stays() -> None:
    left, right = compare("Opacity *here*.\nNo effusion.", "Opacity *there*.\nNo effusion.\nNormal heart.")
    assert re.findall(r"background\[\*\*(.*?)\*\*\]", marked(left)) == ["here"]
    assert re.findall(r"background\[\*\*(.*?)\*\*\]", marked(right)) == ["there", "Normal heart\\."]
    assert (
        re.sub(r":blue-background\[\*\*(.*?)\*\*\]", r"\1", marked(left)) == "Opacity \\*here\\*\\.  \nNo effusion\\."
    )


@pytest.mark.parametrize("draw", [coloured, lambda text: marked([Piece(text, own=False)])])
def test_no_line_is_a_heading_code_or_a_sign_of_html(draw: Callable[[str], str]) -> None:
    said = draw("FINDINGS\n====\n\n    - Opacity on the right\n\t- size &lt; 5 cm -> small\n--")
    assert not re.search(r"(?m)^[ \t]+\S|(?<!\\)[=&-]", said.replace("-background", ""))
    assert shown(said) == "FINDINGS\n====\n\n    - Opacity on the right\n    - size &lt; 5 cm -> small\n--"


@given(st.text(alphabet="no pneumonia.[]()<>!*_:red$`\\\n=&-", max_size=120))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    said = coloured(text)
    assert shown(said) == text
    assert not re.search(r"(?m)^ +\S", said)
    assert len(SPAN.findall(said)) == sum(mention.tier != "normality" for mention in read(text))


@pytest.mark.parametrize("name", [":material/home:", ":smile:", ":+1:", ":streamlit:", ":a::b:"])
def test_a_name_between_colons_does_not_become_an_icon(name: str) -> None:
    said = coloured(f"Opacity {name} seen.")
    assert shown(said) == f"Opacity {name} seen."
    assert not re.search(r":[\w+/-]+:", said.replace("\\", ""))


def test_words_for_normality_are_not_marked_whatever_their_polarity() -> None:
    for text in ("The lungs are clear.", "The lungs are not clear.", "Normal radiograph: less likely."):
        assert read(text) and not SPAN.findall(coloured(text))
    assert SPAN.findall(coloured("Normal radiograph; no effusion.")) == [("green", "effusion")]
