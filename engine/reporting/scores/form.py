"""Scores of a report's form: required elements, length, repetition and truncation."""

import re

from engine.reporting.prompts import PromptStrategy
from engine.reporting.scores.score import CaseFacts, Score

GRAM = 4
"""Length in words of the n-grams that repetition is measured by."""
ENDS = re.compile(r"[.?!:;)\]}|*_`\"'’”]\s*$")
STOPPED = re.compile(r"(?<!\d)[.?!](?:\s|$)")
ITEM = re.compile(r"[\s>]*(?:[-*•–]|\d+[.)])\s")
LINKING = re.compile(
    r"(?:,|\b(?:a|an|the|and|or|nor|but|of|in|on|at|to|for|from|by|with|without|no|not|is|are|was|were|be|may|that|which"
    r"|as|than|its?|this|these))\s*$",
    re.IGNORECASE,
)
"""A last word that a complete sentence does not end with."""


def asked_for(text: str, strategy: PromptStrategy) -> Score:
    """The proportion of the prompt's required elements (sections, entries, verdict, length) that the answer contains,
    in [0, 1]; None if nothing is required."""
    held = strategy.check(text)
    missing = [name for name, here in held.items() if not here]
    return Score("format", sum(held.values()) / len(held) if held else None, {"missing": missing})


def words(text: str) -> Score:
    """Length in words."""
    return Score("words", float(len(text.split())))


def repetition(text: str) -> Score:
    """The proportion of 4-grams of words that occurred earlier in the report, in [0, 1)."""
    spoken = re.findall(r"\w+", text.lower())
    runs = [tuple(spoken[at : at + GRAM]) for at in range(len(spoken) - GRAM + 1)]
    return Score("repetition", 1 - len(set(runs)) / len(runs) if runs else 0.0)


def truncated(text: str, known: CaseFacts) -> Score:
    """1 if the generator stopped at its length limit or the text breaks off in mid-sentence, else 0.

    A last line of up to four words, such as a heading or a bare verdict, needs no full stop. Unless it ends in a
    linking word, neither does one in a text without full stops elsewhere, or in a list whose items have none.
    """
    return Score("truncated", float(known.cut or _breaks_off(text.rstrip())))


def _breaks_off(text: str) -> bool:
    before, _, last = text.rpartition("\n")
    if not last or ENDS.search(last) or len(last.split()) <= 4:
        return False
    if LINKING.search(last) or STOPPED.search(last):
        return True
    items = [line for line in before.splitlines() if ITEM.match(line)]
    if items and ITEM.match(last):
        return ENDS.search(items[-1]) is not None
    return STOPPED.search(before) is not None
