"""Sentence embeddings: the same for the same text, however long it is and whoever else asks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from engine.retrieval.text import sentences


def test_a_text_asked_for_again_has_the_same_vector_and_is_the_callers_own() -> None:
    first = sentences.embedded(["viral pneumonia"])
    kept = first.copy()
    first[:] = 0.0
    np.testing.assert_array_equal(sentences.embedded(["viral pneumonia"]), kept)
    np.testing.assert_allclose(sentences.embedded(["viral pneumonia", "normal"])[0], kept[0], atol=1e-5)


def test_a_text_of_ten_thousand_characters_is_read_from_its_start() -> None:
    long = "pneumonia in the right lung. " * 400
    np.testing.assert_allclose(sentences.embedded([long]), sentences.embedded([long[:2000]]), atol=1e-6)
    assert sentences.embedded([]).shape == (0, sentences.DIMENSION)
    assert np.linalg.norm(sentences.embedded([""])) == pytest.approx(1, abs=1e-4)


def test_readers_who_ask_at_once_get_what_each_gets_alone() -> None:
    text = "opacity in the right lower zone and " * 50
    alone = sentences._many([text])
    done = Event()

    def counts() -> bool:
        whole = False
        while not done.is_set():
            whole |= sentences.read_whole(text)
        return whole

    with ThreadPoolExecutor(2) as readers:
        counted = [readers.submit(counts) for _ in range(2)]
        try:
            made = [sentences._many([text]) for _ in range(30)]
        finally:
            done.set()
    assert not any(one.result() for one in counted)
    for one in made:
        np.testing.assert_allclose(one, alone, atol=1e-5)
