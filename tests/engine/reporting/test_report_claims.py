"""Scores of a report's claims and form agree with their definitions."""

import pytest

from engine.reporting.findings import read
from engine.reporting.prompts import STRATEGIES, PromptStrategy
from engine.reporting.scores import score
from engine.reporting.scores.claims import contradictions, laterality, unsupported
from engine.reporting.scores.form import asked_for, repetition, truncated
from engine.reporting.scores.references import METRICS
from engine.reporting.scores.score import CaseFacts

RIGHT = {"right_lower": 0.7, "right_upper": 0.1, "left_lower": 0.2}


def values(text: str, known: CaseFacts, strategy: PromptStrategy = STRATEGIES["basic"]) -> dict[str, float | None]:
    return {one.metric: one.value for one in score(text, strategy, known)}


@pytest.mark.parametrize(
    ("text", "known", "count"),
    [
        ("There is consolidation on the right.", CaseFacts(label=0), 1),
        ("There is consolidation on the right.", CaseFacts(label=1), 0),
        ("No consolidation.", CaseFacts(label=0), 0),
        ("A large effusion.", CaseFacts(label=0), 0),
        ("A large effusion.", CaseFacts(label=0, reference="The lungs are clear."), 1),
        ("A large effusion.", CaseFacts(label=0, reference="Left pleural effusion."), 0),
        ("Pneumonia is present.", CaseFacts(label=0, reference="Pneumonia on the left."), 0),
        ("Compared to the previous film the opacity is 2 cm larger in this 3-year-old.", CaseFacts(label=1), 3),
        ("Normal chest.", CaseFacts(label=1), 0),
        ("No prior radiograph is available for comparison.", CaseFacts(label=1), 0),
        ("No previous film.", CaseFacts(label=1), 0),
        ("No interval change.", CaseFacts(label=1), 1),
        ("No change since the prior study.", CaseFacts(label=1), 1),
    ],
)
def test_claims_that_rest_on_nothing_are_counted(text: str, known: CaseFacts, count: int) -> None:
    assert unsupported(text, read(text), known).value == count


def test_what_cannot_be_held_against_anything_is_listed_and_not_counted() -> None:
    text = "Small left effusion and cardiomegaly."
    found = unsupported(text, read(text), CaseFacts(label=0))
    assert found.value == 0 and found.detail["unverified"] == ["effusion", "cardiomegaly"]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("There is consolidation. There is no consolidation.", ["consolidation"]),
        ("Right consolidation. No consolidation on the left.", []),
        ("Bilateral opacities. No opacity on the left.", ["opacity"]),
        ("Opacity in the right lower zone. No opacity in the right upper zone.", []),
        ("History of pneumonia. No pneumonia.", []),
        ("Pneumonia is possible. No effusion.", []),
    ],
)
def test_a_finding_both_asserted_and_denied_in_one_place_is_a_contradiction(text: str, findings: list[str]) -> None:
    found = contradictions(read(text))
    assert (found.detail["findings"], found.value) == (findings, len(findings))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Right lower consolidation.", 1.0),
        ("Left lower consolidation.", 0.0),
        ("Right opacity and left consolidation.", 0.5),
        ("Bilateral infiltrates.", 0.0),
        ("Left effusion.", None),
        ("No consolidation on the left.", None),
        ("Consolidation.", None),
    ],
)
def test_a_sided_claim_is_held_against_the_heatmap(text: str, value: float | None) -> None:
    assert laterality(read(text), CaseFacts(zones=RIGHT)).value == value
    assert laterality(read(text), CaseFacts()).value is None


def test_a_bilateral_claim_fits_heat_on_both_sides() -> None:
    heat = {"right_lower": 0.6, "left_lower": 0.4}
    assert laterality(read("Bilateral infiltrates."), CaseFacts(zones=heat)).value == 1.0


def test_repetition_is_the_share_of_runs_of_four_words_that_came_before() -> None:
    assert repetition("one two three four five six").value == 0
    assert repetition("a b c d a b c d").value == pytest.approx(1 - 4 / 5)
    assert repetition("no " * 50).value == pytest.approx(1 - 1 / 47)
    assert repetition("").value == 0


@pytest.mark.parametrize(
    ("text", "cut", "value"),
    [
        ("The lungs are clear.", False, 0),
        ("The lungs are clear.", True, 1),
        ("The lungs are clear and the heart is of", False, 1),
        ("IMPRESSION:\nNo pneumonia", False, 0),
        ("Findings.\nno sign of pneumonia", False, 0),
        ("Findings.\nthere is no sign of", False, 1),
        ("", False, 0),
        ("a chest x-ray of a child with pneumonia", False, 0),
        ("a chest x-ray of a child with a", False, 1),
        ("IMPRESSION:\n- Consolidation in the right lower lobe\n- No pleural effusion or pneumothorax seen", False, 0),
        ("- There is consolidation on the right.\n- There is no pleural effusion or", False, 1),
        ("- There is consolidation on the right.\n- There is no large left pleural", False, 1),
        ("The lungs are clear. There is no large left pleural", False, 1),
        ('{"pneumonia": false, "confidence": 0.9, "side": "none"}', False, 0),
        ('{"pneumonia": false, "confidence": 0.9, "report": "There is no', False, 1),
        ("| Finding | Status |\n|---|---|\n| Pneumonia in the right lung | No |", False, 0),
    ],
)
def test_a_report_that_breaks_off_is_truncated(text: str, cut: bool, value: float) -> None:
    assert truncated(text, CaseFacts(cut=cut)).value == value


def test_the_form_is_the_share_of_what_was_asked_for_and_names_what_is_missing() -> None:
    found = asked_for("CARDIAC: normal.\nPLEURA: clear.\nIMPRESSION: normal.", STRATEGIES["clinical_structured"])
    assert (found.value, found.detail) == (0.75, {"missing": ["LUNG FIELDS"]})


def test_agreement_with_the_classifier_is_its_own_score() -> None:
    found = values("No pneumonia.", CaseFacts(label=1, called=False))
    assert (found["stance_agreement"], found["classifier_agreement"]) == (0.0, 1.0)
    assert values("No pneumonia.", CaseFacts(label=1))["classifier_agreement"] is None


@pytest.mark.parametrize(
    ("text", "called", "opposition"),
    [
        ("No pneumonia.", True, 1.0),
        ("Pneumonia.", False, 1.0),
        ("Pneumonia.", True, 0.0),
        ("Pneumonia is possible.", True, 0.5),
        ("Pneumonia is possible.", False, 0.5),
        ("A chest.", True, None),
        ("Pneumonia.", None, None),
    ],
)
def test_a_report_opposes_the_classifier_by_half_where_it_is_uncertain(
    text: str, called: bool | None, opposition: float | None
) -> None:
    assert values(text, CaseFacts(label=1, called=called))["classifier_opposition"] == opposition


def test_a_reference_report_gives_the_text_similarities_in_the_unit_interval() -> None:
    reference = "Consolidation in the right lower lobe. No pleural effusion."
    same, other = (values(text, CaseFacts(reference=reference)) for text in (reference, "A dog runs over the grass."))
    for metric in METRICS:
        assert same[metric] == pytest.approx(1.0) and 0 <= (other[metric] or 0) < 0.2
    assert not set(METRICS) & values(reference, CaseFacts()).keys()


def test_text_similarities_are_the_libraries_own() -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_bleu, sentence_chrf

    text, reference = "There is no effusion on the left.", "There is a small effusion on the left side."
    found = values(text, CaseFacts(reference=reference))
    assert found["chrf"] == pytest.approx(sentence_chrf(text, [reference]).score / 100)
    assert found["bleu"] == pytest.approx(sentence_bleu(text, [reference]).score / 100)
    rouge = RougeScorer(["rougeL"], use_stemmer=True).score(reference, text)["rougeL"]
    assert found["rouge_l"] == pytest.approx(rouge.fmeasure)
