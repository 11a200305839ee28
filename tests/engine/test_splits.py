import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.splits import grouped_folds, judged_of


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 2**31), st.integers(15, 60))
def test_no_patient_stands_in_two_folds_and_every_image_has_one(folds: int, seed: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.repeat([f"p{i}" for i in range(patients)], rng.integers(1, 4, size=patients))
    stratum_of = {f"p{i}": ("normal", "bacterial", "viral")[i % 3] for i in range(patients)}
    strata = np.array([stratum_of[key] for key in keys])
    dealt = grouped_folds(strata, keys, folds=folds, seed=seed % 1000)
    assert set(dealt) == set(range(folds))
    for key in np.unique(keys):
        assert len(set(dealt[keys == key])) == 1


def test_each_fold_holds_about_the_same_share_of_each_diagnosis() -> None:
    strata = np.repeat(["normal", "bacterial", "viral"], [100, 200, 100])
    dealt = grouped_folds(strata, np.arange(400), folds=5, seed=1)
    for fold in range(5):
        assert np.sum(strata[dealt == fold] == "normal") == pytest.approx(20, abs=1)


def test_a_classifier_is_judged_on_test_where_it_is_there_and_else_on_what_is() -> None:
    assert judged_of(["train", "test", "all"]) == judged_of([]) == "test"
    assert judged_of(["all"]) == judged_of(["val", "all"]) == "all"


def test_too_few_patients_are_named_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"'viral' has 2 training patients and 5 folds need at least 5; .*--folds"):
        grouped_folds(np.repeat(["normal", "viral"], [10, 4]), np.repeat(np.arange(7), 2), folds=5)
