"""Metrics under stress, on calls whose changes are known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.errors import InputError
from engine.metrics.classification import Sample
from engine.metrics.evaluation import Measured
from engine.metrics.robustness import UNALTERED, robustness

DRAW = np.random.default_rng(3)
LABELS = np.repeat([0, 1], [40, 60])
PATIENTS = np.arange(100) // 2
PLAIN = np.clip(0.3 + 0.4 * LABELS + DRAW.normal(0, 0.15, 100), 0, 1)


def measured(**altered: np.ndarray) -> dict[tuple[str, str], Measured]:
    sample = Sample.of(LABELS, PLAIN, threshold=0.5)
    found = robustness(sample, altered, PATIENTS, seed=0, replicates=200)
    return {(one.name, one.slice): one for one in found}


def test_values_and_differences_are_those_of_the_altered_images() -> None:
    darker, noise = PLAIN - 0.1, np.clip(PLAIN + DRAW.normal(0, 0.3, 100), 0, 1)
    found = {key: one.interval for key, one in measured(darker=darker, noisy=noise).items()}
    assert found["stress_auc", UNALTERED].value == pytest.approx(roc_auc_score(LABELS, PLAIN))
    assert found["stress_auc", "noisy"].value == pytest.approx(roc_auc_score(LABELS, noise))
    lost = found["stress_auc_difference", "noisy"]
    assert lost.value == pytest.approx(roc_auc_score(LABELS, noise) - roc_auc_score(LABELS, PLAIN))
    assert lost.low < lost.value < lost.high < 0
    for name, label in (("recall", 1), ("specificity", 0)):
        right, before = ((given >= 0.5)[label == LABELS] == label for given in (darker, PLAIN))
        assert found[f"stress_{name}", "darker"].value == pytest.approx(right.mean())
        assert found[f"stress_{name}_difference", "darker"].value == pytest.approx(right.mean() - before.mean())
        assert found[f"stress_{name}", "darker"].n == np.count_nonzero(label == LABELS)
    assert found["stress_recall_difference", "darker"].high < 0 <= found["stress_specificity_difference", "darker"].low
    changed = ((noise >= 0.5) != (PLAIN >= 0.5)).mean()
    assert found["stress_changed", "noisy"].value == pytest.approx(changed)


def test_what_changes_nothing_has_no_difference_and_no_interval_of_one() -> None:
    found = {key: one.interval for key, one in measured(same=PLAIN.copy()).items()}
    for name in ("auc", "recall", "specificity"):
        apart = found[f"stress_{name}_difference", "same"]
        assert apart.value == 0 and np.isnan(apart.low) and np.isnan(apart.high)
        assert found[f"stress_{name}", "same"] == found[f"stress_{name}", UNALTERED]
    none = found["stress_changed", "same"]
    assert none.value == 0 and none.low == 0 and 0 < none.high < 0.1, "of 50 patients"


def test_a_collapse_has_its_interval_and_a_perfect_area_has_none() -> None:
    sample = Sample.of(LABELS, 0.1 + 0.8 * LABELS, threshold=0.5)
    altered = {"framed": np.full(100, 0.95)}
    found = {(one.name, one.slice): one.interval for one in robustness(sample, altered, np.arange(100), seed=0)}
    assert found["stress_auc", UNALTERED].value == 1 and np.isnan(found["stress_auc", UNALTERED].low)
    for name, value in {"auc": -0.5, "specificity": -1.0}.items():
        apart = found[f"stress_{name}_difference", "framed"]
        assert (apart.value, apart.low, apart.high) == (value, value, value)


def test_one_class_has_calls_but_no_area() -> None:
    sample = Sample.of(np.ones(4), [0.9, 0.8, 0.7, 0.2], threshold=0.5)
    altered = {"noisy": np.array([0.9, 0.1, 0.7, 0.2])}
    found = {(one.name, one.slice): one.interval.value for one in robustness(sample, altered, list("abcd"), seed=0)}
    assert np.isnan(found["stress_auc", "noisy"]) and ("stress_specificity", "noisy") not in found
    assert (found["stress_recall", "noisy"], found["stress_changed", "noisy"]) == (0.5, 0.25)


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        measured(torn=np.full(100, np.nan))
