import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from engine.datasets.splits import evaluated_split, grouped_folds, strata
from engine.errors import InputError


def diagnosed(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and causes of normal, pneumonia or a cause each."""
    return (names != "normal").astype(int), np.where(np.isin(names, ["normal", "pneumonia"]), "", names)


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 2**31), st.integers(15, 60))
def test_no_patient_stands_in_two_folds_and_every_image_has_one(folds: int, seed: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.repeat([f"p{i}" for i in range(patients)], rng.integers(1, 4, size=patients))
    name_of = {f"p{i}": ("normal", "bacterial", "viral")[i % 3] for i in range(patients)}
    names = np.array([name_of[key] for key in keys])
    labels, causes = diagnosed(names)
    fold_of = grouped_folds(labels, keys, causes=causes, folds=folds, seed=seed % 1000)
    assert set(fold_of) == set(range(folds))
    for key in np.unique(keys):
        assert len(set(fold_of[keys == key])) == 1
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed % 1000)
    for fold, (_, held_out) in enumerate(splitter.split(names, names, keys)):
        assert set(fold_of[held_out]) == {fold}


def test_each_fold_holds_about_the_same_share_of_each_diagnosis() -> None:
    names = np.repeat(["normal", "bacterial", "viral"], [100, 200, 100])
    labels, causes = diagnosed(names)
    fold_of = grouped_folds(labels, np.arange(400), causes=causes, folds=5, seed=1)
    for fold in range(5):
        for name, count in (("normal", 20), ("bacterial", 40), ("viral", 20)):
            assert np.sum(names[fold_of == fold] == name) == pytest.approx(count, abs=1)


def test_a_classifier_is_judged_on_test_where_it_is_there_and_else_on_what_is() -> None:
    assert evaluated_split(["train", "test", "all"]) == evaluated_split([]) == "test"
    assert evaluated_split(["all"]) == evaluated_split(["val", "all"]) == "all"


def test_a_label_with_too_few_patients_is_named_with_the_way_out() -> None:
    patients = np.repeat(np.arange(7), 2)
    message = r"'{}' has 2 training patients and 5 folds need at least 5; .*--folds"
    for labels, name in ((np.repeat([0, 1], [10, 4]), "pneumonia"), (np.repeat([1, 0], [10, 4]), "normal")):
        with pytest.raises(InputError, match=message.format(name)):
            grouped_folds(labels, patients, folds=5)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"bacterial": 6, "viral": 3, "fungal": 2}, {"bacterial": 6, "pneumonia": 5}),
        ({"bacterial": 6, "viral": 3, "pneumonia": 4}, {"bacterial": 6, "pneumonia": 7}),
        ({"bacterial": 6, "mycoplasma pneumonia": 7, "viral": 3}, {"bacterial": 6, "mycoplasma pneumonia": 10}),
        ({"viral": 3, "bacterial": 4}, {"pneumonia": 7}),
        ({"bacterial": 5, "viral": 5}, {"bacterial": 5, "viral": 5}),
    ],
)
def test_a_cause_of_fewer_patients_than_folds_is_split_with_the_rest_of_its_label(
    held: dict[str, int], expected: dict[str, int]
) -> None:
    names = np.repeat([*held, "normal"], [*held.values(), 8])
    labels, causes = diagnosed(names)
    patients = np.arange(len(names)).astype(str)
    named = strata(labels, patients, causes, folds=5)
    assert dict(zip(*np.unique(named, return_counts=True), strict=True)) == expected | {"normal": 8}
    fold_of = grouped_folds(labels, patients, causes=causes, folds=5, seed=3)
    assert set(fold_of[labels == 1]) == set(fold_of[labels == 0]) == set(range(5))


def test_fewer_folds_are_not_advised_where_all_images_are_one_patients() -> None:
    with pytest.raises(InputError, match=r"has 1 training patients .*; add images, or name the patients in column"):
        grouped_folds(np.repeat([0, 1], [10, 4]), np.repeat(["one", "two", "one"], [2, 8, 4]), folds=5)
