"""Text search: sentences land near the images they describe, and warnings name what was not learnt."""

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import InputError
from engine.imaging.heat import ZONES, prominent
from engine.retrieval.index.centring import uncentred
from engine.retrieval.text import alignment, sentences
from engine.retrieval.text.caveats import caveat
from engine.retrieval.text.facts import Facts, described
from engine.retrieval.text.written_queries import QUERIES, answering


def collection(count: int = 240) -> tuple[np.ndarray, np.ndarray, Facts]:
    """Images with features that encode label and cause, and last entries that encode the zone: raw, centred, facts."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3 > 0
    causes = np.where(labels, np.where(np.arange(count) % 3 == 1, "bacterial", "viral"), "")
    zone = rng.integers(6, size=count)
    features = rng.normal(0, 0.3, (count, 12))
    features[:, 0] += 2 * labels
    features[:, 1] += np.where(causes == "viral", 1.5, -1.5) * labels
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    shares = np.full((count, 6), 0.1)
    shares[np.arange(count), zone] = 0.5
    raw = np.concatenate([features, labels[:, None] * (shares - 1 / 6)], axis=1)
    raw = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    placed = raw - raw.mean(axis=0)
    placed /= np.linalg.norm(placed, axis=1, keepdims=True)
    zones = prominent(alignment.zone_evidence(raw), labels)
    facts = Facts(labels.astype(np.int64), causes, zones)
    return raw, placed.astype(np.float32), facts


def test_prominent_zones_are_read_back_from_the_vectors() -> None:
    raw, placed, facts = collection()
    again = uncentred(placed, raw.mean(axis=0))
    np.testing.assert_allclose(again, raw, atol=1e-5)
    assert (facts.zones[facts.labels == 1].sum(axis=1) >= 1).mean() > 0.9
    assert not facts.zones[facts.labels == 0].any()


def test_queries_in_new_words_find_what_they_ask_for() -> None:
    _, placed, facts = collection()
    words = alignment.fit(placed, facts)
    assert words.shape == (sentences.DIMENSION + 1, placed.shape[1])
    found: dict[str, list[float]] = {}
    for query in QUERIES:
        vector = alignment.mapped(words, sentences.embedded([query.text]))
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        best = np.argsort(-(placed @ vector[0]))[:10]
        found.setdefault(query.kind, []).append(answering(query, facts)[best].mean())
    precision = {kind: np.mean(values) for kind, values in found.items()}
    assert precision["normal"] > 0.7
    assert precision["pneumonia"] > 0.85
    assert precision["cause"] > 0.85
    assert precision["zone"] > 0.6


def test_no_written_query_is_a_sentence_that_was_taught() -> None:
    _, _, facts = collection(30)
    taught = {text.lower() for text, _ in described(facts)}
    assert len(QUERIES) == len({query.text for query in QUERIES}) == 40
    assert not taught & {query.text.lower() for query in QUERIES}


def test_a_query_asks_for_label_cause_side_and_level_together() -> None:
    facts = Facts(
        np.array([0, 1, 1, 1, -1]),
        np.array(["", "viral", "bacterial", "", ""]),
        np.array([[zone == name for zone in ZONES] for name in ("", "right_lower", "left_lower", "", "right_lower")]),
    )
    by_text = {query.text: query for query in QUERIES}
    for text, expected in {
        "normal chest": [0],
        "pneumonia present": [1, 2, 3],
        "viral pneumonia": [1],
        "opacity in the right lower zone": [1],
        "pneumonia in the lower lung": [1, 2],
        "left-sided consolidation": [2],
    }.items():
        assert np.flatnonzero(answering(by_text[text], facts)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bacterial pneumonia", None),
        ("no opacity on either side", None),
        ("not viral", "'not' negates no known finding and is ignored"),
        ("the chest is not normal", "the negation of 'normal' is ignored"),
        ("left pleural effusion", "cannot tell effusion"),
        ("pneumothorax and cardiomegaly", "cannot tell cardiomegaly, pneumothorax"),
        ("the quarterly report of a bank", "unlike everything this embedder was taught"),
        ("normal", None),
        ("Normal.", None),
        ("healthy", None),
        ("a normal film", None),
        ("healthy food", "unlike everything this embedder was taught"),
        ("not normal", "unlike everything this embedder was taught"),
        ("right", "unlike everything this embedder was taught"),
        ("a normal film with an effusion", "cannot tell effusion"),
    ],
)
def test_what_was_not_taught_is_said(text: str, expected: str | None) -> None:
    said = caveat(text)
    assert said is None if expected is None else expected in (said or "")


@pytest.mark.parametrize(
    ("text", "lacking", "named"),
    [
        ("bacterial pneumonia", "causes", "not taught bacterial pneumonia, which fewer than 5"),
        ("a lung infection due to a virus", "causes", "not taught viral pneumonia, which"),
        ("consolidation at the right base", "zones", "not taught pneumonia of the right lower zone, which"),
        ("left-sided consolidation", "zones", "not taught pneumonia of the left lung, which"),
        ("bilateral pneumonia", "zones", "not taught pneumonia of both lungs, which"),
        ("upper lobe", "zones", "not taught pneumonia of the upper zone, which"),
        ("normal chest", "normal", "not taught normal images, which"),
        ("no pneumonia seen on this x-ray", "normal", "not taught normal images, which"),
        ("healthy", "normal", "not taught normal images, which"),
        ("there is nothing wrong with this chest film", "normal", "not taught normal images, which"),
        ("pneumonia present", "pneumonia", "not taught pneumonia, which"),
    ],
)
def test_words_for_what_no_training_image_shows_are_answered_with_a_caveat(text: str, lacking: str, named: str) -> None:
    _, _, facts = collection()
    nothing = {
        "causes": replace(facts, causes=np.full_like(facts.causes, "")),
        "zones": replace(facts, zones=np.zeros_like(facts.zones)),
        "normal": replace(facts, labels=np.where(facts.labels == 0, -1, facts.labels)),
        "pneumonia": replace(facts, labels=np.where(facts.labels == 1, -1, facts.labels)),
    }
    assert named in (caveat(text, known=alignment.known_from(nothing[lacking])) or "")
    assert caveat(text, known=alignment.known_from(facts)) is None
    assert caveat(text) is None  # an index of before, which does not tell
    other = next(name for name in nothing if name not in (lacking, "pneumonia"))
    assert named not in (caveat(text, known=alignment.known_from(nothing[other])) or "")


def test_the_written_queries_are_unwarned_where_everything_is_known() -> None:
    known = alignment.known_from(collection()[2])
    assert {query.text: caveat(query.text, known=known) for query in QUERIES} == {
        query.text: caveat(query.text) for query in QUERIES
    }


@pytest.mark.parametrize(
    "text",
    ["bacterial but not viral pneumonia", "no opacity in the right lower zone", "opacity without consolidation"],
)
def test_a_text_that_denies_only_a_part_is_not_understood_and_says_so(text: str) -> None:
    assert "was not taught what" in (caveat(text) or "")
    for whole in ("no pneumonia", "no consolidation or opacity", "viral pneumonia"):
        assert caveat(whole) is None


def test_a_caveat_does_not_claim_what_the_index_was_not_taught() -> None:
    _, _, facts = collection()
    known = alignment.known_from(replace(facts, causes=np.full_like(facts.causes, "")))
    assert "was taught normal images, pneumonia and its zone; it cannot tell effusion" in (
        caveat("effusion", known=known) or ""
    )


def test_nothing_known_is_one_clear_error() -> None:
    _, placed, _ = collection(30)
    unknown = Facts(np.full(30, -1), np.full(30, ""), np.zeros((30, 6), dtype=bool))
    with pytest.raises(InputError, match="words cannot be aligned with images: nothing is known of 5"):
        alignment.fit(placed, unknown)


@pytest.mark.parametrize("text", ["opacity in the right lower zone " * 300, "x" * 10_000, "1 " * 300])
def test_a_text_longer_than_is_read_says_that_only_its_beginning_counts(text: str) -> None:
    assert (caveat(text) or "").startswith("only the beginning of these words counts")
    assert "beginning" not in (caveat("opacity in the right lower zone " * 20) or "")
