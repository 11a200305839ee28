import numpy as np
import pytest

from engine.metrics.multiplicity import holm


def test_holm_steps_down_through_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(, "holm")
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_a_question_without_an_answer_counts_as_one() -> None:
    assert holm([np.nan, 0.01]) == pytest.approx([np.nan, 0.02], nan_ok=True)
