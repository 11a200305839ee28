import numpy as np
import pytest

from engine.classification.stresses import STRESSES, stressed

FILMS = np.random.default_rng(0).integers(30, 220, size=(3, 64, 64), dtype=np.uint8)


def test_every_stress_says_what_it_does() -> None:
    assert all(stress.what for stress in STRESSES.values())


@pytest.mark.parametrize("name", STRESSES)
def test_every_stress_changes_every_film_alike_each_time_and_keeps_its_type(name: str) -> None:
    made = stressed(FILMS, name)
    assert made.dtype == np.uint8 and made.shape == FILMS.shape
    assert all((one != film).any() for one, film in zip(made, FILMS, strict=True))
    assert np.array_equal(made, stressed(FILMS, name))
    assert np.array_equal(made[1:2], stressed(FILMS[1:2], name))


def test_stresses_do_what_they_are_called() -> None:
    plain = FILMS.astype(float)
    assert stressed(FILMS, "blurred").std() < plain.std() < stressed(FILMS, "high-contrast").std()
    assert stressed(FILMS, "low-contrast").std() < plain.std()
    assert stressed(FILMS, "darker").mean() < plain.mean() < stressed(FILMS, "lighter").mean()
    assert stressed(FILMS, "framed")[:, :3].max() == 0
    assert stressed(FILMS, "smaller")[:, 0, 0].max() == 0
    assert stressed(FILMS, "squeezed")[:, :, :6].max() == 0
