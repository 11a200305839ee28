import numpy as np
import pytest

from engine.classification.calibration import even_odds, fit_temperature, probabilities
from engine.errors import InputError


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found_again(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, size=40_000)
    labels = (rng.random(40_000) < probabilities(honest)).astype(int)
    assert fit_temperature(labels, honest * true_temperature) == pytest.approx(true_temperature, rel=0.05)


def test_separable_logits_get_the_lowest_temperature_and_no_overflow() -> None:
    labels = np.array([0, 1] * 10)
    temperature = fit_temperature(labels, np.where(labels == 1, 5.0, -5.0))
    assert 0.05 <= temperature < 0.1
    assert np.isfinite(probabilities(np.array([-1e6, 1e6]), temperature=temperature)).all()


def test_even_odds_lie_halfway_between_two_classes_of_one_spread_and_need_a_classifier_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 4000)
    logits = rng.normal(1.0 + 2.0 * labels, 1.0)
    assert even_odds(labels, logits) == pytest.approx(2.0, abs=0.08)
    assert even_odds(labels, 3 * logits - 1) == pytest.approx(3 * even_odds(labels, logits) - 1, abs=1e-3)
    assert 0 < even_odds(np.array([0, 1]), np.array([-1.0, 3.0])) < 2, "separated without an overlap"
    with pytest.raises(InputError, match="no better than chance"):
        even_odds(labels, -logits)
