"""The template generator says what the classifier knows, and nothing that it cannot know."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.reporting.findings import read
from engine.reporting.generators import Case, Generated, load, template
from engine.reporting.prompts import STRATEGIES, PromptStrategy
from engine.reporting.scores.stance import stance
from tests.generated import in_order

ZONE_NAMES = ("right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower")
ZONES = st.lists(st.floats(0, 1), min_size=6, max_size=6).map(
    lambda heat: {n: h / sum(heat) for n, h in zip(ZONE_NAMES, heat, strict=True)} if sum(heat) > 1e-6 else {}
)
UNIT = st.floats(0, 1)
CASES = st.builds(Case, UNIT, UNIT, st.none() | UNIT, ZONES)


def report(case: Case, strategy: str) -> str:
    return texts([case], STRATEGIES[strategy])[0]


def texts(cases: Sequence[Case], strategy: PromptStrategy) -> list[str]:
    made = in_order(load("template").generate(cases, strategy))
    return [one.text for one in made if isinstance(one, Generated)]


@given(case=CASES, strategy=st.sampled_from(list(STRATEGIES)))
def test_every_report_holds_all_that_its_prompt_demands(case: Case, strategy: str) -> None:
    assert all(STRATEGIES[strategy].check(report(case, strategy)).values())


@given(case=CASES, strategy=st.sampled_from(list(STRATEGIES)))
def test_the_stance_that_a_reader_takes_away_is_the_classifiers(case: Case, strategy: str) -> None:
    points = [case.threshold, 0.5, *([] if case.high_recall_threshold is None else [case.high_recall_threshold])]
    expected = "pneumonia" if case.probability >= max(points) else "uncertain"
    expected = "normal" if case.probability < min(points) else expected
    assert stance(report(case, strategy)) == expected


@given(case=CASES, strategy=st.sampled_from(list(STRATEGIES)))
def test_no_sign_is_claimed_as_seen_and_heart_and_pleura_are_left_unjudged(case: Case, strategy: str) -> None:
    text = report(case, strategy)
    assert not [mention for mention in read(text) if mention.tier == "sign" and mention.polarity != "hypothetical"]
    assert not re.search(r"effusion|cardiomegaly|heart size|enlarged|pneumothorax", text, re.IGNORECASE)
    assert "ot assessed by this model" in text


@given(case=CASES, strategy=st.sampled_from(list(STRATEGIES)))
def test_the_probability_is_stated_and_never_as_a_certainty(case: Case, strategy: str) -> None:
    text = report(case, strategy)
    stated = {"below 0.01", "above 0.99"} if not 0.01 <= case.probability <= 0.99 else {f"{case.probability:.2f}"}
    assert any(f"probability {number}" in text or f"pneumonia {number}" in text for number in stated)
    assert not re.search(r"probability (0\.00|1\.00)", text)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_zones_that_drove_a_positive_case_are_named_heaviest_first(strategy: str) -> None:
    zones = {"left_middle": 0.25, "right_lower": 0.6, "left_upper": 0.15}
    text = report(Case(0.95, 0.5, 0.3, zones), strategy)
    assert "the right lower zone (60%) and the left middle zone (25%)" in text
    assert "left upper" not in text


def test_the_more_likely_class_leads_the_differential() -> None:
    for probability, first in ((0.95, "Pneumonia"), (0.45, "Normal radiograph"), (0.55, "Pneumonia"), (0.05, "Normal")):
        assert f"1. {first}" in report(Case(probability, 0.6, 0.3), "differential")


def test_between_the_operating_points_every_strategy_hedges() -> None:
    for strategy in STRATEGIES:
        assert "possible" in report(Case(0.45, 0.6, 0.3), strategy)
        assert "possible" not in report(Case(0.65, 0.6, 0.3), strategy)


def test_same_cases_in_any_batches_give_the_same_texts() -> None:
    strategy = STRATEGIES["basic"]
    whole = texts(template.PROBES, strategy)
    single = [text for case in template.PROBES for text in texts([case], strategy)]
    assert whole == single
    assert len(set(whole)) > 15


def test_the_revision_follows_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load("template").revision
    assert load("template").revision == before
    monkeypatch.setattr(template, "REST", "Heart and pleura: not assessed.")
    changed = load("template").revision
    monkeypatch.setattr(template, "SURE", 0.97)
    assert len({before, changed, load("template").revision}) == 3


def test_a_strategy_of_the_users_own_gets_the_basic_wording() -> None:
    own = PromptStrategy("own", "a test", "Report.", required=(("verdict", "pneumonia"),))
    assert texts([Case(0.9, 0.5)], own)[0] == report(Case(0.9, 0.5), "basic")


def test_an_unknown_generator_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match="'gpt' is unknown; known: template"):
        load("gpt")
