"""Lung zones in which a heatmap's evidence is prominent."""

import numpy as np
import pytest

from engine.imaging.heat import evidence, prominent


def test_a_film_without_evidence_is_of_no_zone_and_few_films_tell_none() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(6, 3), size=100)
    probabilities = np.where(np.arange(100) < 5, 0.02, 0.95)
    found = evidence(shares, probabilities)
    zones = prominent(found, np.ones(100, dtype=bool))
    assert not zones[:5].any()
    assert zones[5:].mean() == pytest.approx(0.2, abs=0.03)
    assert not prominent(found[:4], np.ones(4, dtype=bool)).any()
    assert not prominent(np.full((9, 6), np.nan), np.ones(9, dtype=bool)).any()
