"""Reader agreement against scikit-learn and worked examples, and its behaviour where it is undefined."""

import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from engine.errors import InputError
from engine.metrics.agreement import cohen, fleiss, krippendorff
from engine.metrics.bootstrap import Statistic
from engine.metrics.readers import Judgement, ReaderStudy

VERDICTS = ("pneumonia", "normal", "uncertain")
FLEISS_1971 = (
    *((0, 0, 0, 6, 0), (0, 3, 0, 0, 3), (0, 1, 4, 0, 1), (0, 0, 0, 0, 6), (0, 3, 0, 3, 0), (2, 0, 4, 0, 0)),
    *((0, 0, 4, 0, 2), (2, 0, 3, 1, 0), (2, 0, 0, 4, 0), (0, 0, 0, 0, 6), (1, 0, 0, 5, 0), (1, 1, 0, 4, 0)),
    *((0, 3, 3, 0, 0), (1, 0, 0, 5, 0), (0, 2, 0, 3, 1), (0, 0, 5, 0, 1), (3, 0, 0, 1, 2), (5, 1, 0, 0, 0)),
    *((0, 2, 0, 4, 0), (1, 0, 2, 0, 3), (0, 0, 0, 0, 6), (0, 1, 0, 5, 0), (0, 2, 0, 1, 3), (2, 0, 0, 4, 0)),
    *((1, 0, 0, 4, 1), (0, 5, 0, 1, 0), (4, 0, 0, 0, 2), (0, 2, 0, 4, 0), (1, 0, 5, 0, 0), (0, 0, 0, 0, 6)),
)
"""Table 1: 30 patients, 6 psychiatrists each, 5 diagnoses."""
KRIPPENDORFF_2011 = ("11 1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", " 555", "  11", "  3 ")
"""Section C: 12 units, 4 observers, 5 values, some missing; the last unit has one value and cannot be paired."""


def value(statistic: Statistic, n: int) -> float:
    """The statistic of n images with weight 1."""
    return float(statistic(np.ones((1, n)))[0])


def judged(*rows: str, labels: str = "", model: str = "") -> list[Judgement]:
    """A row for each reader, a letter for each image: p, n, u, or blank for no verdict. Labels: 1, 0, blank."""
    words, calls = {word[0]: word for word in VERDICTS}, {"p": 1, "n": 0}

    def known(text: str, at: int) -> int | None:
        return int(text[at]) if at < len(text) and text[at] != " " else None

    return [
        Judgement(
            at, f"patient{at}", f"reader{reader}", words[sign], calls.get(sign), known(labels, at), known(model, at)
        )
        for reader, row in enumerate(rows)
        for at, sign in enumerate(row)
        if sign != " "
    ]


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS)), min_size=1, max_size=40))
def test_cohens_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = cohen_kappa_score(first, second)
    found = value(cohen(first, second), len(pairs))
    assert found == pytest.approx(wanted, nan_ok=True)


@given(
    st.lists(
        st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS), st.integers(1, 4)), min_size=1, max_size=20
    )
)
def test_an_image_that_was_drawn_twice_counts_twice(rows: list[tuple[str, str, int]]) -> None:
    first, second, weights = zip(*rows, strict=True)
    counts = [[(one == word) + (other == word) for word in VERDICTS] for one, other, _ in rows]
    repeated = [row for row in rows for _ in range(row[2])]
    again = [count for count, row in zip(counts, rows, strict=True) for _ in range(row[2])]
    weighted = np.array([weights], dtype=float)
    plain = value(cohen([row[0] for row in repeated], [row[1] for row in repeated]), len(repeated))
    assert float(cohen(first, second)(weighted)[0]) == pytest.approx(plain, nan_ok=True)
    for statistic in (fleiss, krippendorff):
        plain = value(statistic(again), len(again))
        assert float(statistic(counts)(weighted)[0]) == pytest.approx(plain, nan_ok=True), statistic.__name__


def test_fleiss_kappa_of_the_worked_example_is_that_of_the_paper() -> None:
    assert value(fleiss(FLEISS_1971), 30) == pytest.approx(0.430, abs=0.0005)


def test_krippendorffs_alpha_of_the_worked_example_is_that_of_the_paper() -> None:
    counts = [[unit.count(str(number)) for number in range(1, 6)] for unit in KRIPPENDORFF_2011[:-1]]
    assert value(krippendorff(counts), 11) == pytest.approx(0.743, abs=0.0005)


def test_full_agreement_is_1_and_its_opposite_is_minus_1() -> None:
    assert value(cohen(list("pnpn"), list("pnpn")), 4) == 1.0
    assert value(cohen(list("pnpn"), list("npnp")), 4) == -1.0
    assert value(fleiss([[3, 0], [0, 3]]), 2) == value(krippendorff([[3, 0], [0, 2]]), 2) == 1.0


def test_one_category_leaves_nothing_to_agree_on() -> None:
    assert np.isnan(value(cohen(["normal"] * 3, ["normal"] * 3), 3))
    assert np.isnan(value(fleiss([[2, 0], [2, 0]]), 2))
    assert np.isnan(value(krippendorff([[2, 0], [3, 0]]), 2))


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="a verdict on each image"):
        cohen(["normal"], ["normal", "normal"])
    with pytest.raises(InputError, match="the same number of verdicts on each image; got 2 to 3"):
        fleiss([[1, 1], [2, 1]])
    for counts in ([], [[1, 0], [1, 1]]):
        with pytest.raises(InputError, match="two or more verdicts"):
            krippendorff(counts)


def test_pairs_are_compared_on_the_images_that_both_judged() -> None:
    sheet = ReaderStudy(judged("ppnnu ", "pnnn u", "     p"), replicates=50)
    (pair,) = [one for one in sheet.pairs() if {one.first, one.second} == {"reader0", "reader1"}]
    assert (pair.kappa.n, pair.agreement.n, pair.agreement.value) == (4, 4, 0.75)
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(list("ppnn"), list("pnnn")))
    assert pair.kappa.low <= pair.kappa.value <= pair.kappa.high
    assert not [one for one in sheet.pairs() if {one.first, one.second} == {"reader0", "reader2"}]


def test_all_readers_at_once_are_compared_on_the_largest_group_of_equally_judged_images() -> None:
    together = ReaderStudy(judged("ppnnpu", "pnnn  ", "ppn   "), replicates=50).together()
    assert together.fleiss is not None
    assert together.alpha is not None
    assert (together.verdicts, together.fleiss.n, together.alpha.n) == (3, 3, 4)
    assert together.fleiss.value == pytest.approx(value(fleiss([[3, 0], [2, 1], [0, 3]]), 3))
    assert ReaderStudy(judged("ppnn"), replicates=50).together().alpha is None


def test_uncertain_verdicts_are_left_out_against_label_and_model_and_counted() -> None:
    sheet = ReaderStudy(judged("ppnnupn", labels="110001 ", model="1  1111"), replicates=50)
    (label,), (model,) = sheet.against_label(), sheet.against_model()
    assert (label.undecided, label.unknown) == (1, 1)
    assert label.kappa is not None
    assert label.agreement is not None
    assert label.sensitivity is not None
    assert label.specificity is not None
    assert (label.kappa.n, label.agreement.value) == (5, 1.0)
    assert (label.sensitivity.value, label.specificity.value) == (1.0, 1.0)
    assert model.kappa is not None
    assert model.agreement is not None
    assert (model.unknown, model.kappa.n, model.agreement.value, model.sensitivity) == (2, 4, 0.5, None)


def test_sensitivity_and_specificity_of_a_reader_are_shares_of_the_label() -> None:
    (label,) = ReaderStudy(judged("ppnnp", labels="11100"), replicates=50).against_label()
    assert label.sensitivity is not None
    assert label.specificity is not None
    assert label.sensitivity.value == pytest.approx(2 / 3)
    assert label.specificity.value == 0.5


def test_a_reader_who_decided_nothing_has_no_figures() -> None:
    (label,) = ReaderStudy(judged("uu", labels="10"), replicates=50).against_label()
    assert (label.undecided, label.agreement, label.kappa) == (2, None, None)


def test_images_where_verdicts_differ_are_found() -> None:
    sheet = ReaderStudy(judged("ppnu", "pnnu", "p  p", labels="1001", model="0 01"), replicates=50)
    assert sheet.apart("readers") == [1, 3]
    assert sheet.apart("label") == [1]
    assert sheet.apart("model") == [0]
    assert sheet.verdicts(3) == {"reader0": "uncertain", "reader1": "uncertain", "reader2": "pneumonia"}


def test_images_of_one_patient_are_drawn_together() -> None:
    apart = judged("pnpnpnpn", "pnpnnpnp")
    one = [Judgement(j.image, f"{j.image // 2}", j.reader, j.verdict, j.call, j.label, j.model) for j in apart]
    wide, narrow = (ReaderStudy(rows, replicates=500).pairs()[0].kappa for rows in (one, apart))
    assert wide.value == narrow.value
    assert (wide.low, wide.high) != (narrow.low, narrow.high)


def test_only_the_readers_who_judged_most_are_compared() -> None:
    sheet = ReaderStudy(judged("pnpn", "pn  ", "pnp "), readers=2, replicates=50)
    assert sheet.readers == ["reader0", "reader2"]
    assert {(pair.first, pair.second) for pair in sheet.pairs()} == {("reader0", "reader2")}
    assert len(sheet.against_label()) == 2


@pytest.mark.parametrize(("first", "second"), list(product("pn", repeat=2)))
def test_one_image_has_no_interval(first: str, second: str) -> None:
    (pair,) = ReaderStudy(judged(first, second), replicates=50).pairs()
    assert np.isnan(pair.kappa.low)
    assert np.isnan(pair.kappa.high)
