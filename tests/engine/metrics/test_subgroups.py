"""Subgroup metrics against scikit-learn, and adjustment of their differences for multiple comparisons."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn import metrics as sklearn

from engine.metrics.classification import Sample
from engine.metrics.evaluation import Measured
from engine.metrics.names import SUBGROUP_LEAST, subgroup, subgroup_of
from engine.metrics.subgroups import subgroups

AT = 0.5


def sample(rows: int, *, seed: int = 0) -> tuple[Sample, np.ndarray, np.random.Generator]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, rows)
    scores = np.clip(0.3 * labels + draw.uniform(0.1, 0.6, rows), 0, 1)
    return Sample.of(labels, scores, threshold=AT), draw.integers(0, rows // 2, rows).astype(str), draw


def measured(*given: object, replicates: int = 200) -> dict[tuple[str, str], Measured]:
    found = subgroups(*given, seed=1, replicates=replicates)  # type: ignore[arg-type]  # as the caller has them
    assert len({(one.slice, one.name) for one in found}) == len(found)
    return {(one.slice, one.name): one for one in found}


def test_values_and_differences_are_those_of_each_groups_rows() -> None:
    made, patients, draw = sample(400)
    sexes, views = draw.choice(["female", "male", ""], 400), draw.choice(["AP", "LL", "PA"], 400)
    found = measured(made, patients, {"sex": sexes, "view": views})
    for name, values in {"sex": sexes, "view": views}.items():
        for value in sorted(set(values) - {""}):
            inside, outside = values == value, (values != value) & (values != "")
            where = subgroup(name, str(value))
            areas = [sklearn.roc_auc_score(made.labels[rows], made.probabilities[rows]) for rows in (inside, outside)]
            recalls = [
                sklearn.recall_score(made.labels[rows], made.probabilities[rows] >= AT) for rows in (inside, outside)
            ]
            assert found[where, "auc"].interval.value == pytest.approx(areas[0])
            assert found[where, "recall"].interval.value == pytest.approx(recalls[0])
            assert found[where, "recall"].interval.n == (inside & (made.labels == 1)).sum()
            if (name, value) == ("sex", "male"):  # one difference of two groups
                assert (where, "auc_difference") not in found
                continue
            assert found[where, "auc_difference"].interval.value == pytest.approx(areas[0] - areas[1])
            apart = found[where, "recall_difference"].interval
            assert apart.value == pytest.approx(recalls[0] - recalls[1])
            assert apart.low < apart.value < apart.high


def test_a_group_that_is_missed_is_told_apart_and_chance_is_not() -> None:
    made, patients, draw = sample(600)
    missed = draw.random(600) < 0.3
    scores = np.where(missed & (made.labels == 1), made.probabilities - 0.3, made.probabilities)
    worse = Sample.of(made.labels, np.clip(scores, 0, 1), threshold=AT)
    noise = {f"noise {number}": draw.choice(["a", "b", "c"], 600) for number in range(1)}
    found = measured(worse, patients, {"site": np.where(missed, "north", "south"), **noise}, replicates=1000)
    assert found["site: north", "recall_difference"].interval.high < 0
    assert found["site: north", "recall_p"].interval.value < 0.05
    chance = [one.interval.value for (where, name), one in found.items() if name.endswith("_p") and "noise" in where]
    assert len(chance) == 9
    assert min(chance) > 0.05


def split(group: tuple[int, int], others: tuple[int, int]) -> tuple[Sample, np.ndarray, dict[str, np.ndarray]]:
    """Pneumonias, each of its own patient, in groups: in each the first are found and the rest missed."""
    found = np.concatenate([np.arange(right + wrong) < right for right, wrong in (group, others)])
    made = Sample.of(np.ones(len(found)), np.where(found, 0.9, 0.1), threshold=AT)
    return made, np.arange(len(found)).astype(str), {"site": np.repeat(["a", "b"], [sum(group), sum(others)])}


def test_a_group_without_a_failure_is_not_told_apart_where_failures_are_rare() -> None:
    found = measured(*split((30, 0), (490, 10)))  # as many as not: .98 ** 30 = .55
    apart, p = found["site: a", "recall_difference"].interval, found["site: a", "recall_p"].interval.value
    assert p > 0.3
    assert apart.low < 0 < apart.value < apart.high < 0.05
    draw = np.random.default_rng(0)
    labels = np.repeat([1, 0], 150)
    scores = np.where(labels == 1, 0.6, 0.4) + draw.normal(0, 0.05, 300)
    alike = np.r_[np.arange(10), 150 + np.arange(10)]  # those of ten pneumonias and ten normals rank without an error
    scores[alike] = np.where(labels[alike] == 1, 0.65, 0.35)
    few = np.where(np.isin(np.arange(300), alike), "few", "many")
    area = measured(Sample.of(labels, np.clip(scores, 0, 1), threshold=AT), np.arange(300).astype(str), {"site": few})
    assert area["site: few", "auc"].interval.value == 1 > area["site: many", "auc"].interval.value
    assert area["site: few", "auc_p"].interval.value > 0.3
    assert np.isnan(area["site: few", "auc_difference"].interval.low)


def test_between_two_extremes_the_interval_is_newcombes() -> None:
    apart = measured(*split((10, 0), (0, 10)))["site: a", "recall_difference"].interval
    assert (apart.value, apart.low, apart.high) == pytest.approx((1, 0.6075, 1), abs=1e-4)  # table II, method 10


@pytest.mark.parametrize(("group", "others"), [((150, 50), (660, 140)), ((42, 8), (360, 40)), ((119, 1), (475, 25))])
def test_of_independent_films_p_is_that_of_two_proportions(group: tuple[int, int], others: tuple[int, int]) -> None:
    found = measured(*split(group, others), replicates=1000)["site: a", "recall_p"].interval.value
    p = chi2_contingency([group, others], correction=False).pvalue
    assert p - 0.005 < found < 1.5 * p


def test_however_many_groups_are_looked_at_one_that_is_missed_is_told() -> None:
    made, patients, sites = split((20, 40), (540, 60))
    draw = np.random.default_rng(2)
    noise = {f"noise {number}": draw.choice(list("abcd"), len(patients)) for number in range(15)}
    found = measured(made, patients, {**sites, **noise})
    assert found["site: a", "recall_p"].interval.value < 0.001
    assert (
        min(one.interval.value for (where, name), one in found.items() if "noise" in where and name[-2:] == "_p") > 0.05
    )


def test_small_groups_single_groups_and_one_class_are_not_made_figures_of() -> None:
    labels = np.array([0, 1] * 40)
    made = Sample.of(labels, np.linspace(0, 1, 80), threshold=AT)
    patients = np.arange(80).astype(str)
    few = np.where(np.arange(80) < 2 * SUBGROUP_LEAST - 2, "few", "many")
    alone, of_one_class = np.full(80, "all"), np.where(labels == 1, "", np.where(np.arange(80) < 40, "x", "y"))
    found = measured(made, patients, {"site": few, "view": alone, "device": of_one_class})
    assert {where for where, _ in found} == {"device: x", "device: y"}
    assert {name for _, name in found} == {"specificity", "specificity_difference", "specificity_p"}


def test_only_slices_of_subgroups_read_as_attribute_and_value() -> None:
    assert subgroup_of(subgroup("site", "a: b")) == ("site", "a: b")
    assert [subgroup_of(where) for where in ("all", "viral", "aligned / normal")] == [None] * 3


def test_beside_a_third_group_too_small_to_measure_two_differences_are_not_one() -> None:
    made, patients, _ = sample(200)
    sites = np.array(["north", "south"] * 100)
    sites[:6] = "ward"
    found = measured(made, patients, {"site": sites})
    apart = {where: one.interval.value for (where, name), one in found.items() if name == "recall_difference"}
    assert apart.keys() == {"site: north", "site: south"}
    assert apart["site: north"] != pytest.approx(-apart["site: south"])
