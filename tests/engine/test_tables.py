"""Tables are written as data: no formulas, no markup, nothing lost."""

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.bootstrap import Interval
from engine.tables import csv_text, harmless, json_text, markdown_table, number, p_value, plain, span, times, unquoted

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_csv_cells_come_back_as_they_went_in_but_for_a_mark_on_formulas(rows: list[tuple[str, str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(["a", "b"], rows), newline="")))
    assert read == [["a", "b"], *([harmless(cell) for cell in row] for row in rows)]
    for row in read:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_marked_as_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@given(TEXT)
def test_the_mark_of_a_formula_is_taken_off_and_no_other_apostrophe(text: str) -> None:
    assert unquoted(harmless(text)) == text or text.startswith("'")
    assert unquoted("'tis") == "'tis"


def test_numbers_stay_numbers_and_unknown_is_empty() -> None:
    assert csv_text(["x"], [[-0.5], [None], ["plain"]]).splitlines() == ["x", "-0.5", '""', "plain"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


def without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


@given(JSON)
def test_json_comes_back_as_it_went_in_but_for_what_is_not_finite_which_is_null(value: object) -> None:
    for indent in (None, 1):
        assert json.loads(json_text(value, indent=indent), parse_constant=pytest.fail) == without_nan(value)
    assert json_text((math.nan, math.inf)) == "[null, null]"


def test_markdown_shows_marks_and_tags_instead_of_obeying_them() -> None:
    assert plain("a|b\n<img src=x> *c*") == r"a\|b \<img src=x\> \*c\*"
    assert markdown_table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_what_is_not_known_is_called_unknown() -> None:
    assert number(None) == number(math.nan) == span(Interval(0.5, math.nan, math.nan, 3)) == "unknown"
    assert span(Interval(0.5, 0.25, 0.75, 3)) == "0.250 to 0.750"
    assert [p_value(p) for p in (0.0121, 0.0009, 0.0, None)] == ["p 0.012", "p < 0.001", "p < 0.001", "p unknown"]


def test_how_often_is_said_in_words() -> None:
    assert [times(count) for count in (0, 1, 2, 1000)] == ["never", "once", "2 times", "1,000 times"]
