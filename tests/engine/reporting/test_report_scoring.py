"""Reports are scored by what they assert, with negation taken into account."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from engine.metrics.reports import ScoredReport, by_label, kappa, mean_scores, paired_differences
from engine.reporting.findings import read
from engine.reporting.prompts import STRATEGIES, PromptStrategy
from engine.reporting.scores import OF_TEXT, score
from engine.reporting.scores.keywords import KEYWORDS, keyword_alignment
from engine.reporting.scores.score import CaseFacts
from engine.reporting.scores.stance import stance

POLARITIES = [
    ("There is consolidation in the right lower zone.", ["present"]),
    ("No evidence of consolidation.", ["absent"]),
    ("Lungs without effusion or infiltrate or opacity.", ["absent", "absent"]),
    ("No effusion, consolidation, or opacity is seen.", ["absent", "absent"]),
    ("Pneumonia cannot be excluded.", ["uncertain"]),
    ("We cannot exclude pneumonia.", ["uncertain"]),
    ("Pneumonia is unlikely.", ["absent"]),
    ("Pneumonia is very likely.", ["present"]),
    ("No pneumothorax, possible pneumonia.", ["uncertain"]),
    ("No effusion, but a patchy opacity persists.", ["present"]),
    ("No effusion; the known consolidation persists.", ["present"]),
    ("No effusion is seen, and consolidation fills the left base.", ["present"]),
    ("No pneumothorax. Infiltrate on the left.", ["present"]),
    ("Pneumonia is present, effusion is unlikely.", ["present"]),
    ("No increase in the opacity.", ["present"]),
    ("Evaluate for pneumonia.", ["hypothetical"]),
    ("Film taken to rule out pneumonia.", ["hypothetical"]),
    ("Pneumonia has been ruled out: pneumonia is ruled out.", ["absent", "absent"]),
    ("This rules out pneumonia.", ["absent"]),
    ("History of pneumonia.", ["historical"]),
    ("The probability of pneumonia is 0.97.", ["hypothetical"]),
    ("There is no doubt about the consolidation.", ["present"]),
    ("Consolidation is not seen, nor infiltrates.", ["absent", "absent"]),
    ("Opacity may represent pneumonia.", ["present", "uncertain"]),
    ("NO PNEUMONIA", ["absent"]),
    ("Findings are inconsistent with pneumonia.", ["absent"]),
    ("Low suspicion for pneumonia.", ["absent"]),
    ("The likelihood of pneumonia is low.", ["absent"]),
    ("There is insufficient evidence of pneumonia.", ["absent"]),
    ("There is insufficient evidence to exclude pneumonia.", ["uncertain"]),
    ("Pneumonia isn't favored.", ["absent"]),
    ("No opacity suspicious for pneumonia.", ["absent", "absent"]),
    ("Lack of aeration is suspicious for pneumonia.", ["uncertain"]),
    ("High suspicion for pneumonia.", ["present"]),
]


@pytest.mark.parametrize(("sentence", "polarities"), POLARITIES)
def test_each_mention_has_the_polarity_that_its_sentence_gives_it(sentence: str, polarities: list[str]) -> None:
    mentions = [m for m in read(sentence) if m.tier in ("diagnosis", "sign")]
    assert [m.polarity for m in mentions] == polarities
    assert all(sentence[m.start : m.end] == m.term for m in mentions)


STANCES = [
    ("Findings are in keeping with pneumonia.", "pneumonia"),
    ("There is no pneumonia.", "normal"),
    ("No acute cardiopulmonary abnormality.", "normal"),
    ("The lungs are clear.", "normal"),
    ("The lungs are not clear.", "none"),
    ("Normal chest radiograph.", "normal"),
    ("Abnormal chest.", "none"),
    ("A chest x-ray of a child.", "none"),
    ("", "none"),
    ("Pneumonia is possible.", "uncertain"),
    ("Dense opacity in the left lung.", "pneumonia"),
    ("Opacity from atelectasis; no pneumonia.", "normal"),
    ("Right lung is clear. Left lower consolidation.", "pneumonia"),
    ("There is pneumonia. There is no pneumonia.", "uncertain"),
    ("LUNG FIELDS: Opacity on the left.\nIMPRESSION: No pneumonia.\nNOTE: pneumonia was queried.", "normal"),
    ("**Impression:** Pneumonia.", "pneumonia"),
    ("Differential:\n1. Normal radiograph\n2. Pneumonia\nUncertainty: early disease", "normal"),
    ("Differential:\n1. Viral pneumonia\n2. Normal radiograph", "pneumonia"),
    ("Opacities could be pneumonia or crowding.\nFinal answer: normal", "normal"),
    ("**Final answer:** pneumonia", "pneumonia"),
    ("Interval resolution of right lower lobe pneumonia.", "normal"),
    ("History of pneumonia. The effusion has resolved.", "none"),
    ("Findings\n1. Normal heart\n2. Right consolidation", "pneumonia"),
]


@pytest.mark.parametrize(("text", "expected"), STANCES)
def test_the_stance_is_what_the_report_concludes(text: str, expected: str) -> None:
    assert stance(text) == expected


OWN = PromptStrategy("own", "", "Tell whether a dense consolidation hides behind the heart.", ())


@pytest.mark.parametrize("strategy", [*STRATEGIES.values(), OWN], ids=lambda strategy: strategy.name)
def test_a_prompt_that_is_repeated_says_nothing_and_the_answer_behind_it_speaks(strategy: PromptStrategy) -> None:
    answers = {"": None, "The lungs are clear.": 0.0, "Pneumonia on the right.": 1.0}
    for answer, said in answers.items():
        for form in ("{prompt}\n{answer}", "Question: {prompt} Answer: {answer}"):
            text = form.format(prompt=strategy.text, answer=answer)
            values = {one.metric: one.value for one in score(text, strategy, CaseFacts(label=0))}
            assert (values["stance"], values["contradictions"]) == (said, 0)
            assert strategy is OWN or stance(text) == {None: "none", 0.0: "normal", 1.0: "pneumonia"}[said]


@given(text=st.text(alphabet="no pneumonia.,;:\n1)(is clear impression cannot exclude", max_size=200))
def test_any_text_is_read_without_failing_and_mentions_lie_where_they_say(text: str) -> None:
    assert all(text[mention.start : mention.end] == mention.term for mention in read(text))
    assert stance(text) in {"pneumonia", "normal", "uncertain", "none"}


WORDS = st.sampled_from(["pneumonia", "opacity", "normal", "clear", "abnormal", "unclear", "heart", "infiltrates"])


@given(words=st.lists(WORDS, max_size=8), label=st.integers(0, 1))
def test_keyword_alignment_is_the_suiting_share_of_the_distinct_keywords_found(words: list[str], label: int) -> None:
    side = {"pneumonia": 1, "opacity": 1, "infiltrates": 1, "normal": 0, "clear": 0}
    found = [side[word] for word in set(words) if word in side]
    value = keyword_alignment(" ".join(words), label).value
    assert value == (found.count(label) / len(found) if found else None)


def test_keyword_alignment_counts_a_denied_pneumonia_as_pneumonia_and_stance_does_not() -> None:
    text = "No pneumonia."
    assert keyword_alignment(text, 1).value == 1.0
    values = {s.metric: s.value for s in score(text, STRATEGIES["basic"], CaseFacts(label=1))}
    assert (values["stance"], values["stance_agreement"]) == (0.0, 0.0)


def test_each_keyword_is_found_by_its_own_name() -> None:
    for label, keywords in KEYWORDS.items():
        for name, _ in keywords:
            assert name in keyword_alignment(f"Here: {name}.", label).detail["suiting"]


def test_scores_without_a_label_are_unknown_and_not_zero() -> None:
    values = {s.metric: s.value for s in score("No pneumonia.", STRATEGIES["clinical_brief"], CaseFacts())}
    unknown = {name for name, value in values.items() if value is None}
    assert unknown == {
        "keyword_alignment",
        "stance_agreement",
        "classifier_agreement",
        "classifier_opposition",
        "laterality",
    }
    assert (values["stance"], values["format"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "agreement"),
    [("Pneumonia.", 1.0), ("No pneumonia.", 0.0), ("Pneumonia is possible.", 0.0), ("A chest.", 0.0)],
)
def test_only_the_labels_own_stance_agrees(text: str, agreement: float) -> None:
    values = {s.metric: s.value for s in score(text, STRATEGIES["basic"], CaseFacts(label=1))}
    assert values["stance_agreement"] == agreement


def test_mean_scores_group_by_model_strategy_and_metric_and_leave_unknown_ones_out() -> None:
    def rows(strategy: str, values: list[float | None]) -> list[ScoredReport]:
        return [ScoredReport("m", strategy, "stance_agreement", f"p{i // 2}", v) for i, v in enumerate(values)]

    a, b = mean_scores(rows("b", [1.0] * 8) + rows("a", [1.0, 0.0, None, 1.0, 0.0, 0.0]) + rows("c", [None]), seed=0)
    assert (a.strategy, a.interval.value, a.interval.n) == ("a", 0.4, 5)
    assert a.interval.low < 0.4 < a.interval.high
    assert (b.strategy, b.interval.value, b.interval.high) == ("b", 1.0, 1.0) and 0.5 < b.interval.low < 0.52


def test_strategies_are_compared_on_the_images_that_both_describe() -> None:
    def row(strategy: str, image: int, value: float | None) -> ScoredReport:
        return ScoredReport("m", strategy, "format", f"p{image // 2}", value, str(image))

    first = [row("a", image, float(image % 2)) for image in range(8)]
    second = [row("b", image, 1.0) for image in range(4, 10)] + [row("c", 20, 1.0), row("b", 0, None)]
    (found,) = paired_differences(first + second, seed=0)
    assert (found.strategy, found.metric, found.interval.n) == ("a - b", "format", 4)
    assert found.interval.value == pytest.approx(-0.5)
    assert found.interval.low == found.interval.high == pytest.approx(-0.5)  # each patient has one of each


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.5, 1.0, float("nan")])), min_size=2, max_size=30))
def test_kappa_is_scikit_learns(rows: list[tuple[int, float]]) -> None:
    labels, stances = (np.array(column) for column in zip(*rows, strict=True))
    found = kappa(labels, stances, [str(n) for n in range(len(rows))], seed=0, replicates=10).value
    said = np.where(np.isnan(stances), 3, stances * 2).astype(int)
    expected = cohen_kappa_score(labels * 2, said, labels=[0, 1, 2, 3])
    assert found == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.5, 1.0, float("nan")])), min_size=1, max_size=30))
def test_recall_and_specificity_of_the_stance_add_up_to_its_agreement(rows: list[tuple[int, float]]) -> None:
    labels, stances = (np.array(column) for column in zip(*rows, strict=True))
    found = by_label(labels, stances, [str(n) for n in range(len(rows))], seed=0, replicates=10)
    assert ("stance_recall" in found, "stance_specificity" in found) == ((labels == 1).any(), (labels == 0).any())
    right = sum(one.value * one.n for name, one in found.items() if name != "stance_undecided")
    assert right / len(rows) == pytest.approx((labels == stances).mean())
    assert found["stance_undecided"].value == pytest.approx(1 - np.isin(stances, (0, 1)).mean())
    assert found["stance_undecided"].n == len(rows)


def test_scores_of_the_text_alone_are_those_that_no_label_call_heatmap_or_reference_changes() -> None:
    text = "FINDINGS: Opacity in the right lower zone. IMPRESSION: Pneumonia."
    left = {"left_lower": 1.0}
    first = score(
        text, STRATEGIES["basic"], CaseFacts(label=1, called=True, zones={"right_lower": 1.0}, reference=text)
    )
    second = score(text, STRATEGIES["basic"], CaseFacts(label=0, called=False, zones=left, reference="Clear lungs."))
    same = {one.metric for one, other in zip(first, second, strict=True) if one == other}
    assert same == OF_TEXT
