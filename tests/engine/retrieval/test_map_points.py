"""Map points: the sample drawn is stable and complete if it fits, and boxes agree with a plain loop."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from db.queries.cases import outcome
from engine.retrieval.map.points import OUTCOMES, Points, drawn, inside, most_wrong


def points(count: int, *, seed: int = 0, threshold: float | None = 0.5) -> Points:
    draw = np.random.default_rng(seed)
    probabilities = draw.random(count)
    probabilities[draw.random(count) < 0.2] = np.nan
    places = draw.normal(size=(count, 2)).astype(np.float32)
    labels = draw.integers(-1, 2, count).astype(np.int8)
    ids = draw.permutation(10 * count)[:count].astype(np.int64)
    return Points(ids, places, labels, probabilities, threshold, draw.integers(1, 4, count).astype(np.int16))


@given(count=st.integers(0, 60), seed=st.integers(0, 99), threshold=st.sampled_from([None, 0.0, 0.5, 1.0]))
def test_outcomes_are_those_of_the_lists(count: int, seed: int, threshold: float | None) -> None:
    made = points(count, seed=seed, threshold=threshold)
    made.probabilities[:1] = math.nan if threshold is None else threshold
    for label, probability, code in zip(made.labels, made.probabilities, made.outcomes, strict=True):
        known = None if math.isnan(probability) else float(probability)
        expected = outcome(None if label < 0 else int(label), known, threshold)
        assert OUTCOMES[code] == (expected or "no outcome")
    assert made.failures.tolist() == [OUTCOMES[code] in ("FN", "FP") for code in made.outcomes]


@given(count=st.integers(0, 300), most=st.integers(1, 80), failures=st.integers(0, 80))
def test_a_chart_shows_failures_first_and_as_many_as_it_may(count: int, most: int, failures: int) -> None:
    made = points(count)
    rows = drawn(made, most=most, failures=failures)
    assert len(rows) == len(set(rows.tolist())) and (np.diff(rows) > 0).all()
    if count <= most:
        assert len(rows) == count
        return
    wrong = int(made.failures.sum())
    assert made.failures[rows].sum() == min(failures, most, wrong)
    assert len(rows) == min(most, min(failures, most, wrong) + count - wrong)


def test_the_same_images_are_drawn_whatever_their_order() -> None:
    made = points(500)
    order = np.random.default_rng(1).permutation(500)
    turned = Points(
        made.ids[order], made.places[order], made.labels[order], made.probabilities[order], made.threshold, None
    )
    assert set(made.ids[drawn(made, most=50, failures=20)]) == set(turned.ids[drawn(turned, most=50, failures=20)])


def test_what_is_drawn_does_not_follow_the_order_of_ingest() -> None:
    made = points(4000)
    made = Points(np.arange(1, 4001), made.places, made.labels, made.probabilities, None)
    parts = np.histogram(drawn(made, most=1000, failures=0), bins=4, range=(0, 4000))[0]
    assert parts.min() > 200


@given(edges=st.lists(st.floats(-2, 2), min_size=4, max_size=4), limit=st.integers(1, 30))
def test_a_box_holds_what_a_loop_finds_the_most_wrong_first(edges: list[float], limit: int) -> None:
    made = points(200)
    left, right, low, high = edges
    rows = inside(made, (left, right, low, high))
    expected = [at for at, (x, y) in enumerate(made.places) if left <= x <= right and low <= y <= high]
    assert rows.tolist() == expected

    def error(at: int) -> float:
        value = abs(made.probabilities[at] - made.labels[at])
        return -1.0 if made.labels[at] < 0 or math.isnan(value) else float(value)

    ordered = sorted(expected, key=lambda at: (not made.failures[at], -error(at), made.ids[at]))
    assert most_wrong(made, rows, limit=limit).tolist() == ordered[:limit]


def test_a_box_that_is_one_images_place_holds_it() -> None:
    made = points(20)
    x, y = made.places[7].tolist()
    assert inside(made, (x, x, y, y)).tolist() == [7]


def test_counts_are_of_all_images_and_leave_out_what_none_has() -> None:
    made = points(50, threshold=None)
    assert made.counts("outcome") == {"no outcome": 50}
    assert sum(made.counts("label").values()) == sum(made.counts("cluster").values()) == 50
    rows = np.arange(50)
    for name in ("label", "outcome", "cluster"):
        names, found = np.unique(made.column(name, rows), return_counts=True)
        assert dict(zip(names.tolist(), found.tolist(), strict=True)) == made.counts(name)
