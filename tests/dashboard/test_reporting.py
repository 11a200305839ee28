"""Is a report shown as its text, with its findings coloured by what is said of them?"""

import re

from hypothesis import given
from hypothesis import strategies as st

from dashboard.components.reporting import COLOURS, coloured
from engine.reporting.findings import read

SPAN = re.compile(r":(\w+)-background\[((?:\\.|[^\]\\])*)\]")


def shown(markdown: str) -> str:
    """What a reader sees of it: colours resolved, escapes undone."""
    return re.sub(r"\\(.)", r"\1", SPAN.sub(r"\2", markdown).replace("  \n", "\n"))


def test_each_finding_has_the_colour_of_its_polarity() -> None:
    said = coloured("Consolidation on the right, no effusion.\nPossible pneumonia; history of asthma.")
    assert [(colour, term) for colour, term in SPAN.findall(said)] == [
        ("red", "Consolidation"),
        ("green", "effusion"),
        ("orange", "pneumonia"),
    ]
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_markup_from_a_model_stays_text() -> None:
    text = "<script>alert(1)</script> [click](http://x) ![i](http://x) :red[no] $x$ `code` pneumonia"
    assert shown(coloured(text)) == text
    assert "](" not in coloured(text).replace("\\]\\(", "") and "<" not in coloured(text).replace("\\<", "")


@given(st.text(alphabet="no pneumonia.[]()<>!*_:red$`\\", max_size=120))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    said = coloured(text)
    assert shown(said) == text
    assert len(SPAN.findall(said)) == len(read(text))


def test_a_healthy_lung_is_coloured_as_no_finding() -> None:
    assert SPAN.findall(coloured("The lungs are clear.")) == [("green", "lungs are clear")]
    assert SPAN.findall(coloured("The lungs are not clear."))[0][0] == "red"
