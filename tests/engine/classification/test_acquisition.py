import numpy as np
import pytest

from engine.classification import acquisition
from engine.errors import InputError

RNG = np.random.default_rng(0)
LABELS = np.tile([0, 1], 60)
PATIENTS = np.array([f"p{row // 2}-{row % 2}" for row in range(120)])


def films(count: int, *, contrast: float, level: float = 120.0) -> np.ndarray:
    return np.clip(RNG.normal(level, contrast, (count, 64, 64)), 0, 255).astype(np.uint8)


def test_statistics_tell_contrast_sharpness_and_borders_apart() -> None:
    flat, rough = films(3, contrast=5), films(3, contrast=40)
    framed = films(3, contrast=5)
    framed[:, :6] = 0
    described = acquisition.statistics(np.concatenate([flat, rough, framed]))
    assert described.shape == (9, 21) and np.isfinite(described).all()
    assert described[3:6, :8].min() > described[:3, :8].max()  # more power in every band
    assert described[6:, 12].max() < 0.01 < 0.4 < described[:3, 12].min()  # the upper border is black
    assert acquisition.statistics(np.empty((0, 64, 64), np.uint8)).shape == (0, 21)


def test_statistics_of_one_film_do_not_depend_on_the_others() -> None:
    some = films(5, contrast=20)
    assert acquisition.statistics(some)[3] == pytest.approx(acquisition.statistics(some[3:4])[0])


def test_looks_that_go_with_the_label_give_it_away_and_others_do_not() -> None:
    telling = LABELS[:, None] + RNG.normal(0, 0.2, (120, 1))
    silent = RNG.normal(0, 1, (120, 1))
    said = acquisition.propensity(telling, LABELS, PATIENTS)
    assert said[LABELS == 1].min() > 0.5 > said[LABELS == 0].max()
    assert abs(acquisition.propensity(silent, LABELS, PATIENTS) - 0.5).max() < 0.2
    with pytest.raises(InputError, match="has 2 training patients and 5 folds need at least 5"):
        acquisition.propensity(telling[:4], LABELS[:4], PATIENTS[:4])


def test_contradicting_films_are_the_fifth_of_each_class_that_looks_most_like_the_other() -> None:
    given_away = np.linspace(0, 1, 120)
    chosen = acquisition.contradicting(given_away, LABELS)
    assert chosen.sum() == 24 and chosen[LABELS == 0].sum() == 12
    assert given_away[chosen & (LABELS == 0)].min() > 0.75 and given_away[chosen & (LABELS == 1)].max() < 0.25
    held_out = acquisition.with_patients(chosen, np.repeat(np.arange(60), 2))
    assert held_out[chosen].all() and held_out.sum() == 48


def test_clusters_find_films_that_look_alike() -> None:
    described = acquisition.statistics(np.concatenate([films(10, contrast=4), films(10, contrast=50, level=60)]))
    found = acquisition.clusters(described, count=2)
    assert len(set(found[:10])) == 1 == len(set(found[10:])) and found[0] != found[-1]
