import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.classification.training import linear
from engine.errors import InputError

RNG = np.random.default_rng(0)
LABELS = np.tile([0, 1, 1], 20)
ROWS = (RNG.normal(size=(60, 7)) + LABELS[:, None] * np.linspace(0, 1, 7)).astype(np.float32)


def test_a_fit_is_scikit_learns_logistic_regression_on_standardised_rows() -> None:
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=200))
    reference.fit(ROWS, LABELS)
    found = linear.fit([ROWS], LABELS, penalty=10.0)
    assert found(ROWS) == pytest.approx(reference.decision_function(ROWS), abs=1e-3)


def test_the_same_view_twice_changes_nothing() -> None:
    once, twice = (linear.fit([ROWS] * times, LABELS, penalty=10.0) for times in (1, 2))
    assert twice(ROWS) == pytest.approx(once(ROWS), abs=1e-2)


def test_an_average_of_linear_models_scores_the_average_of_their_scores() -> None:
    models = [linear.fit([ROWS], np.roll(LABELS, shift), penalty=10.0) for shift in range(3)]
    assert linear.average(models)(ROWS) == pytest.approx(np.mean([m(ROWS) for m in models], axis=0), abs=1e-4)


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="all of one class"):
        linear.fit([ROWS], np.ones(60, dtype=int), penalty=10.0)


def test_damaged_statistics_are_refused_before_they_become_a_model() -> None:
    broken = ROWS.copy()
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match=r"statistics .* are not finite; .* the folder cache in the artifact folder"):
        linear.fit([ROWS, broken], LABELS, penalty=10.0)
