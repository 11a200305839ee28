"""What a report asserts: mentions of lung disease, each present, absent, uncertain or merely talked about.

A small table-driven reader after NegEx (Chapman et al. 2001, J Biomed Inform 34:301) and ConText (Harkema et al. 2009,
J Biomed Inform 42:839): trigger phrases govern the terms after or before them, up to the clause's end; the longest
trigger wins, so that 'cannot exclude' is not read as 'exclude' and 'no increase in' negates nothing.
"""

import re
from dataclasses import dataclass
from typing import Literal

from engine.reporting.prompts import sentences

Polarity = Literal["present", "absent", "uncertain", "ignored"]
Tier = Literal["diagnosis", "sign", "abnormality", "normality"]

AHEAD: dict[Polarity, tuple[str, ...]] = {
    "absent": (
        "no", "not", "without", "no evidence of", "no evidence for", "no sign of", "no signs of", "no definite",
        "no radiographic evidence of", "free of", "negative for", "absence of", "lack of", "rules out", "excludes",
        "does not show", "do not show", "fails to show", "rather than", "nor", "neither", "never", "denies",
        "no suggestion of", "not consistent with", "not suggestive of", "less likely", "unlikely to be", "unlikely",
    ),
    "uncertain": (
        "possible", "possibly", "may be", "may represent", "may reflect", "might", "could", "cannot exclude",
        "can not exclude", "cannot rule out", "can not rule out", "not exclude", "not rule out", "questionable",
        "equivocal for", "indeterminate for", "uncertain", "unclear whether", "undecided", "suspicious for",
        "suspicion of", "concern for", "concerning for", "versus", "maybe", "perhaps", "whether there is",
    ),
    "ignored": (
        "check for", "look for", "look there for", "looked for", "evaluate for", "assess for", "to exclude",
        "to rule out", "if", "history of", "risk of", "probability of", "likelihood of", "question of", "such as",
        "other causes of", "cause of", "known causes of", "tell", "treated for",
    ),
}  # fmt: skip
"""Triggers that govern what follows."""

BEHIND: dict[Polarity, tuple[str, ...]] = {
    "absent": (
        "unlikely", "is unlikely", "less likely", "not likely", "is absent", "are absent", "absent", "not seen",
        "not present", "not identified", "not evident", "not visible", "not detected", "is excluded", "are excluded",
        "is ruled out", "was ruled out", "has resolved", "have resolved", "not demonstrated",
    ),
    "uncertain": (
        "possible", "is possible", "cannot be excluded", "can not be excluded", "not excluded", "cannot be ruled out",
        "can not be ruled out", "not be excluded", "not ruled out", "is questionable", "is uncertain", "not certain",
    ),
    "ignored": ("not assessed", "not evaluated", "was not looked for", "can be missed"),
}  # fmt: skip
"""Triggers that govern what comes before."""

PSEUDO = (
    "no increase in", "no change in", "no significant change in", "no interval change in", "not only",
    "no doubt", "without change in", "without doubt", "not necessarily",
)  # fmt: skip
"""Phrases that look like negations and are none."""

STOPS = (
    r"[;()]", r"\bbut\b", r"\bhowever\b", r"\balthough\b", r"\bthough\b", r"\bexcept\b", r"\bapart from\b",
    r"\byet\b", r"\bwhich\b", r"\bsecondary to\b", r"\bdue to\b",
    r",(?!\s*(?:or|nor|and)\b)(?=[^,;]*\b(?:is|are|was|were|there|seen|noted|in the|at the|within the)\b)",
)  # fmt: skip
"""Where a trigger's reach ends; a comma ends it only where a new clause follows, not within a list."""

TERMS: dict[Tier, str] = {
    "diagnosis": r"(?:broncho)?pneumonias?|pneumonic|lung infections?|pulmonary infections?|chest infections?",
    "sign": (
        r"consolidat(?:ions?|ed|ive)|opacit(?:y|ies)|opacifications?|infiltrat(?:es?|ions?)|air-?\s?space disease"
        r"|air bronchograms?"
    ),
    "abnormality": (
        r"(?:acute |significant |focal )*(?:(?:cardio)?(?:pulmonary|thoracic|lung|chest) )?"
        r"(?:abnormalit(?:y|ies)|disease|process|patholog(?:y|ies)|abnormal findings?)"
    ),
    "normality": (
        r"(?:lungs?|lung fields?|chest|radiograph|x-?ray|study|examination|image)\b"
        r"(?:(?!\b(?:not|no|never|less)\b)[^.;]){0,40}?"
        r"\b(?:clear|normal|unremarkable|healthy)"
        r"|(?:clear|normal|unremarkable|healthy)\s+(?:\w+\s+){0,2}?(?:lungs?|lung fields?|chest|radiograph|x-?ray)"
    ),
}
"""The terms read, by tier: the disease, signs that suggest it, disease in general, and words for health."""


@dataclass(frozen=True)
class Mention:
    """One term as the report puts it. start, end: its place in the report's text."""

    term: str
    tier: Tier
    polarity: Polarity
    start: int
    end: int


def _trigger_table() -> tuple[re.Pattern[str], dict[str, tuple[Polarity | None, Polarity | None]]]:
    """One pattern, the longest phrase first, and what each phrase does to the terms after and before it."""
    table: dict[str, tuple[Polarity | None, Polarity | None]] = dict.fromkeys(PSEUDO, (None, None))
    for polarity, phrases in AHEAD.items():
        table |= dict.fromkeys(phrases, (polarity, None))
    for polarity, phrases in BEHIND.items():
        table |= {phrase: (table.get(phrase, (None, None))[0], polarity) for phrase in phrases}
    ordered = sorted(table, key=len, reverse=True)
    spaced = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in ordered)
    return re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE), table


TRIGGER, MEANING = _trigger_table()
TERM = re.compile("|".join(rf"(?P<{tier}>\b(?:{words})\b)" for tier, words in TERMS.items()), re.IGNORECASE)
STOP = re.compile("|".join(STOPS), re.IGNORECASE)
BARRIER = re.compile(r"\b(?:is|are|was|were|seen|noted|present|persists?)\b.*(?:,|\band\b)", re.IGNORECASE)
"""Between trigger and term: the trigger's own statement is complete, and another has begun."""
PRECEDENCE: tuple[Polarity, ...] = ("ignored", "uncertain", "absent")
"""Where several triggers govern a term: 'no effusion, possible pneumonia' leaves the pneumonia uncertain."""


def read(text: str) -> list[Mention]:
    """Every mention in `text`, in order."""
    found: list[Mention] = []
    at = 0
    for sentence in sentences(text):
        at = text.index(sentence, at)
        start = 0
        for stop in [*STOP.finditer(sentence), None]:
            end = len(sentence) if stop is None else stop.start()
            found += _clause(sentence[start:end], at + start)
            start = end if stop is None else stop.end()
        at += len(sentence)
    return found


def _clause(clause: str, offset: int) -> list[Mention]:
    """The mentions of one clause, each with the polarity that the clause's triggers give it."""
    triggers = [(match.span(), MEANING[" ".join(match[0].lower().split())]) for match in TRIGGER.finditer(clause)]
    found = []
    for match in TERM.finditer(clause):
        governing = {
            ahead
            for (_, end), (ahead, _) in triggers
            if end <= match.start() and not BARRIER.search(clause, end, match.start())
        } | {
            behind
            for (start, _), (_, behind) in triggers
            if start >= match.end() and not BARRIER.search(clause, match.end(), start)
        }
        polarity: Polarity = next((name for name in PRECEDENCE if name in governing), "present")
        tier: Tier = match.lastgroup  # type: ignore[assignment]  # the groups are named after the tiers
        found.append(Mention(match[0], tier, polarity, offset + match.start(), offset + match.end()))
    return found
