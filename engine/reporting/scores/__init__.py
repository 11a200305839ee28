"""Report scores: keywords as in the original tool, what a report asserts, its form, and its similarity to a
reference."""

from engine.reporting.findings import read
from engine.reporting.prompts import PromptStrategy, answered
from engine.reporting.scores import claims, form, references
from engine.reporting.scores.keywords import keyword_alignment
from engine.reporting.scores.score import CaseFacts, Score
from engine.reporting.scores.stance import STANCE_VALUES, against_classifier, stance

VERSION = 5
"""Incremented when the same report gets other scores."""
OF_TEXT = frozenset({"stance", "contradictions", "format", "words", "repetition", "truncated"})
"""Scores of the report alone, which do not depend on facts about the image."""


def score(text: str, strategy: PromptStrategy, known: CaseFacts) -> list[Score]:
    """All scores of one report.

    stance: 1 pneumonia, .5 uncertain, 0 normal, None for no position. stance_agreement: 1 if the stance equals the
    label, else 0, also for an uncertain or missing stance; None if the label is unknown. For the others see the
    functions that compute them.
    """
    answer = answered(text, prompt=strategy.text)
    mentions = read(answer)
    taken = stance(answer)
    value = STANCE_VALUES[taken]
    return [
        keyword_alignment(text, known.label),
        Score("stance", value, {"stance": taken}),
        Score("stance_agreement", None if known.label is None else float(value == known.label)),
        *against_classifier(value, known.called),
        claims.unsupported(answer, mentions, known),
        claims.contradictions(mentions),
        claims.laterality(mentions, known),
        form.asked_for(text, strategy),
        form.words(text),
        form.repetition(text),
        form.truncated(text, known),
        *(references.similarity(text, known.reference) if known.reference else []),
    ]
