"""Similarity of a report to a reference report: BLEU, ROUGE-L and chrF, by their standard libraries."""

from functools import cache
from typing import Any

from engine.reporting.scores.score import Score

METRICS = ("bleu", "rouge_l", "chrf")


@cache
def _measures() -> tuple[Any, Any, Any]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU(effective_order=True), RougeScorer(["rougeL"], use_stemmer=True), CHRF()


def similarity(text: str, reference: str) -> list[Score]:
    """BLEU (sacrebleu, sentence level, effective order), ROUGE-L (F, stemmed) and chrF, each in [0, 1]."""
    bleu, rouge, chrf = _measures()
    values = (
        bleu.sentence_score(text, [reference]).score / 100,
        rouge.score(reference, text)["rougeL"].fmeasure,
        chrf.sentence_score(text, [reference]).score / 100,
    )
    return [Score(metric, float(value)) for metric, value in zip(METRICS, values, strict=True)]
