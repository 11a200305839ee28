"""Slices on images whose groups are known; intervals and corrections against scipy and worked examples."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from engine.audit.slices import clusters, find_slices
from engine.metrics.proportions import wilson


def drawn() -> dict[str, np.ndarray]:
    """Normals of two kinds, of which the second is dark, viral-looking and half of it wrong; one kind of pneumonia."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [60, 40, 29])
    middle = np.zeros((3, 16))
    middle[1, 0] = 8.0
    failed = np.zeros(129, dtype=bool)
    failed[60:100:2] = True
    failed[0] = True
    return {
        "kind": kind,
        "features": rng.normal(size=(129, 16)) + middle[kind],
        "labels": (kind == 2).astype(int),
        "failed": failed,
        "patients": np.arange(129) // 2,
        "brightness": 100 - 30.0 * (kind == 1) + rng.normal(size=129),
        "zone": np.where(kind == 1, "left_lower", np.where(np.arange(129) % 3 == 0, "right_upper", "")),
    }


def found() -> list:  # type: ignore[type-arg]
    facts = drawn()
    numbers = {"brightness": facts["brightness"], "always the same": np.ones(129), "unknown": np.full(129, np.nan)}
    arrays = [facts[name] for name in ("features", "labels", "failed", "patients")]
    return find_slices(*arrays, numbers=numbers, names={"most heat": facts["zone"]})


def test_every_image_stands_in_one_slice_of_its_own_label() -> None:
    facts, slices = drawn(), found()
    assert sorted(np.concatenate([one.rows for one in slices]).tolist()) == list(range(129))
    for one in slices:
        assert set(facts["labels"][one.rows]) == {one.label}
        assert one.failures == facts["failed"][one.rows].sum()
        assert one.rate == one.failures / len(one.rows)
        assert one.patients == len(set(facts["patients"][one.rows]))
        assert (one.low, one.high) == wilson(one.rate, one.patients)


def test_the_kind_that_fails_is_found_first_told_by_what_is_different_and_no_chance() -> None:
    facts, slices = drawn(), found()
    worst = slices[0]
    assert worst.name == "normal A"
    assert np.isin(worst.rows, np.flatnonzero(facts["kind"] == 1)).all()
    assert worst.rate == pytest.approx(0.5, abs=0.2)
    rest = np.setdiff1d(np.flatnonzero(facts["labels"] == 0), worst.rows)
    grey = facts["brightness"]
    by = (grey[worst.rows].mean() - grey[rest].mean()) / grey[facts["labels"] == 0].std()
    assert worst.description == f"most heat left lower in 100% of the images; lower brightness ({by:+.1f} SD)"
    assert facts["failed"][rest].sum() == 1  # no two failures are of one patient, so that nearly every image counts
    table = [[worst.failures, len(worst.rows) - worst.failures], [1, len(rest) - 1]]
    raw = fisher_exact(table, alternative="greater").pvalue
    assert raw < worst.p_value <= 1.5 * raw * len(slices)
    assert all(one.p_value > 0.05 for one in slices if set(facts["kind"][one.rows]) != {1})


def test_more_films_a_patient_are_no_more_failures_and_patients_who_always_fail_are_not_many() -> None:
    draw = np.random.default_rng(0)
    patients = np.r_[np.arange(42), np.repeat(np.arange(42, 57), 3)]  # two slices: one film of each patient, and three
    features = draw.normal(size=(87, 16)) + np.where(patients < 42, 0, 9)[:, None]

    def p_value(failed: np.ndarray) -> float:
        slices = find_slices(features, np.zeros(87), failed, patients, numbers={}, names={})
        assert len(slices) == 2
        return next(one.p_value for one in slices if one.rows.min() == 42)

    chance = [p_value(draw.random(87) < 0.3) for _ in range(40)]
    assert sum(p < 0.05 for p in chance) <= 2
    three = np.isin(patients, [0, 42, 43, 44])  # 9 of 45 images fail, 1 of 42 do: 3 of 15 patients and 1 of 42
    assert fisher_exact([[9, 36], [1, 41]], alternative="greater").pvalue < 0.02 < 0.05 < p_value(three)


def test_a_label_with_few_images_is_one_slice_like_itself() -> None:
    slices = {one.name: one for one in found()}
    assert slices["pneumonia A"].rate == 0.0
    assert slices["pneumonia A"].high > 0.1, "no failure among few patients does not mean that there are none"
    assert slices["pneumonia A"].p_value == 1.0


def test_clusters_are_the_groups_that_are_there_and_the_same_each_time() -> None:
    facts = drawn()
    of_label = facts["features"][:100]
    first, again = clusters(of_label, seed=0), clusters(of_label, seed=0)
    assert [part.tolist() for part in first] == [part.tolist() for part in again]
    assert all(len(set(facts["kind"][part])) == 1 for part in first)
    assert [part.tolist() for part in clusters(of_label[:10], seed=0)] == [list(range(10))]
