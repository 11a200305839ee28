"""Attributes of images have one standard spelling and never identify a patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.imaging.attributes import OLDEST, age_group, attributes_of, counted, merged, of_file_name, standard


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("sex", " F ", "female"),
        ("sex", "Male", "male"),
        ("sex", "U", None),
        ("age", "045Y", "40 to 59"),
        ("age", "18M", "under 2"),
        ("age", "024M", "2 to 11"),
        ("age", "143M", "2 to 11"),
        ("age", "144M", "12 to 17"),
        ("age", "10D", "under 2"),
        ("age", "17.9", "12 to 17"),
        ("age", "90+", OLDEST),
        ("age", "", None),
        ("view", "ap", "AP"),
        ("view", "\N{LATIN SMALL LETTER SHARP S}" * 30, "S" * 60),
        ("site", " North   wing ", "North wing"),
        ("scanner", "N/A", None),
    ],
)
def test_each_value_has_one_spelling_and_what_tells_nothing_is_unknown(
    name: str, value: str, known: str | None
) -> None:
    assert standard(name, value) == known


@pytest.mark.parametrize("age", ["40-59", "old", "-3", "130", "999Y", "4 5"])
def test_an_age_that_is_none_is_refused(age: str) -> None:
    with pytest.raises(InputError, match="is not an age such as 45 or 045Y"):
        age_group(age)


@given(st.integers(0, 129))
def test_an_age_is_in_the_group_whose_bounds_hold_it(years: int) -> None:
    words = age_group(str(years)).split()
    if words[0] == "under":
        assert years < int(words[1])
    else:
        assert int(words[0]) <= years <= (int(words[2]) if words[1] == "to" else 129)


def test_of_several_sources_the_first_that_knows_an_attribute_is_believed() -> None:
    sheet, header = attributes_of({"sex": "F", "age": ""}), attributes_of({"sex": "M", "age": "70"})
    assert merged(sheet, header) == (("age", "60 to 79"), ("sex", "female"))
    assert counted([sheet, header]) == {"age": {"60 to 79": 1}, "sex": {"female": 1, "male": 1}}


def test_only_normal_films_of_the_kaggle_set_have_a_numbering() -> None:
    assert of_file_name("NORMAL2-IM-1427", 0) == (("numbering", "NORMAL2-IM"),)
    assert of_file_name("IM-0115", 0) == (("numbering", "IM"),)
    assert of_file_name("IM-0115", 1) == of_file_name("bacterial-100", 1) == of_file_name(None, 0) == ()


def test_a_view_is_as_long_as_it_is_stored() -> None:
    with pytest.raises(InputError, match="at most 60 printable characters"):
        standard("view", "\N{LATIN SMALL LETTER SHARP S}" * 31)
