"""How good a report is: by its keywords as earlier tools counted them, by what it really says, and by its form."""

from engine.reporting.findings import read
from engine.reporting.prompts import PromptStrategy, answered
from engine.reporting.scores import claims, form, references
from engine.reporting.scores.keywords import keyword_alignment
from engine.reporting.scores.score import CaseFacts, Score
from engine.reporting.scores.stance import STANCE_VALUES, against_classifier, stance

VERSION = 4
"""Raised when the same report scores differently."""


def score(text: str, strategy: PromptStrategy, known: CaseFacts) -> list[Score]:
    """Every score of one report.

    stance: 1 pneumonia, .5 uncertain, 0 normal, None no position. stance_agreement: 1 where the stance is the label's,
    else 0, an uncertain or missing stance included; None where the label is unknown. The others say for themselves what
    they are.
    """
    said = answered(text, prompt=strategy.text)
    mentions = read(said)
    taken = stance(said)
    value = STANCE_VALUES[taken]
    return [
        keyword_alignment(text, known.label),
        Score("stance", value, {"stance": taken}),
        Score("stance_agreement", None if known.label is None else float(value == known.label)),
        *against_classifier(value, known.called),
        claims.unsupported(said, mentions, known),
        claims.contradictions(mentions),
        claims.laterality(mentions, known),
        form.asked_for(text, strategy),
        form.words(text),
        form.repetition(text),
        form.truncated(text, known),
        *(references.similarity(text, known.reference) if known.reference else []),
    ]
