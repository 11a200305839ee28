import numpy as np
import pytest

from engine.classification.calibration import fit_temperature, probabilities


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
