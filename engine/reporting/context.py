"""The polarity of a finding from its context: how far trigger phrases reach, and which of them wins.

After NegEx (Chapman et al. 2001, J Biomed Inform 34:301) and ConText (Harkema et al. 2009, J Biomed Inform 42:839): a
trigger governs the terms after or before it, up to the end of the clause; the longest trigger wins, so that 'cannot
exclude' is not read as 'exclude' and 'no increase in' negates nothing. The phrases themselves are in `phrases`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.reporting.phrases import AHEAD, BEHIND, Polarity

PRECEDENCE: tuple[Polarity, ...] = ("hypothetical", "uncertain", "absent", "present", "historical")
"""Priority, highest first, if several triggers govern one term: in 'the old effusion persists' it is present."""

NEAR = re.compile(r"versus|vs\.?", re.IGNORECASE)
"""Triggers that govern only the nearest term."""
BARE = re.compile(
    r"(?:very |highly |rather )?(?:possible|probable|questionable|uncertain|doubtful|equivocal|unclear|suspected|absent"
    r"|(?:un|less |not )likely|(?:im|less |not )probable|(?:(?:completely|fully|now) )*resolved)",
    re.IGNORECASE,
)
"""Triggers that, without a verb, govern only the nearest preceding term and those listed with it."""
LINK = re.compile(r"(?:[\s,/]|\b(?:or|and|nor|versus|vs\.?|focal|pleural|any|early|small|\w+ly)\b)*", re.IGNORECASE)
"""What may stand between the members of a list of findings."""

_VERB = r"is|are|was|were|appears?|shows?|looks|(?<!all )(?<!can )look|seems?|remains?"
STOP = re.compile(
    "|".join(
        (
            r"[;]|(?<!\d)\)",
            r"\((?!\w+\))(?!\s*(?:very |most )?(?:possible|(?:less |un)?likely|doubtful|(?:im)?probable"
            r"|not favou?red|low|moderate|high|right|left)\b)",
            r"\bdespite\b", r",\s*(?=with\b)", r",\s*so\b",
            rf",?\s*\band\b(?=\s+(?:the|there|this|these|today's|both|an?)\b[^,;.]*?\b(?:{_VERB})\b)",
            r",?\s*\band\b(?=\s+an?\s+(?:new|large|small|focal|patchy|dense|subtle|mild|moderate|right|left)\b)",
            r"\bbut\b(?!\s+(?:(?:is|are|was|were) not|non-?zero)\b)", r"\bhowever\b", r"\balthough\b", r"\bthough\b",
            r"\bexcept\b",
            r"\bapart from\b", r"\bother than\b(?=\s+(?:an?|the|mild|minor|small|old|some)\b)", r"\byet\b",
            r"\bwhich\b(?!\s+(?:has|have) (?:\w+ ){0,2}(?:resolved|cleared|disappeared|healed)\b)",
            r"\bwhile\b", r"\bwhereas\b", r"\bsecondary to\b",
            r"\bsince\b(?=[^.]*,)",
            r"(?<!not )(?<!be )\bdue to\b",
            r"(?<!nothing )\b(?=(?:suggests|suggesting|indicates|favou?rs|argues against)\b)",
            r",(?!\s*(?:or|nor|and|which)\b)(?![^,;]*\b(?:or|nor)\b[^,;]*\b(?:is|are|was|were)\b)"
            rf"(?=[^,;]*\b(?:{_VERB}|there|has|have|seen|noted|in the|at the|within the|no|now)\b)",
            r",(?=\s*(?:an? )?(?:trace|tiny|small|mild|minimal|slight|subtle|patchy)\b[^,;]*$)(?![^,;]*\b(?:or|nor)\b)",
            r",(?=\s*(?:clear|normal|unremarkable|healthy)\b)", r",?\s*\bbecause\b(?: of)?", r",\s*(?=since\b)",
        )
    ),
    re.IGNORECASE,
)  # fmt: skip
"""Where a trigger's scope ends; a comma ends it only if a new clause follows, not within a list."""

DENIED = re.compile(r"\b(?:no|nothing|neither|without)\b(?:(?!\b(?:but|and|is|are|was|were)\b)[^,:;])*$", re.IGNORECASE)
"""A negation that still governs the end of a clause."""
INTERPRETED = re.compile(r"\s*(?:which\s+)?(?:suggests|suggesting|indicates|indicating|favou?rs)\b", re.IGNORECASE)
"""What a sign is said to mean."""


def stops(sentence: str) -> list[re.Match[str]]:
    """Where scopes end in the sentence: at each STOP, unless a negated sign is interpreted there, which negates what it
    is interpreted as ('no opacity suggesting pneumonia')."""
    kept: list[re.Match[str]] = []
    for stop in STOP.finditer(sentence):
        begun = kept[-1].end() if kept else 0
        if not (INTERPRETED.match(sentence, stop.start()) and DENIED.search(sentence[begun : stop.start()])):
            kept.append(stop)
    return kept


BARRIER = re.compile(
    r"\b(?:is|are|was|were|seen|noted|present|persists?)\b.*(?:,|\band\b)"
    r"|\b(?:seen|visible|noted|identified)\s+(?:within|in|through|behind|beneath|adjacent to|overlying)\s+the\b",
    re.IGNORECASE,
)
"""Text between a trigger and a term which shows that the trigger's statement is complete and another has begun."""

TAKEN_FOR = re.compile(
    r"(?:concerning|suspicious|worrisome) for|(?:suspicion|concern|suggestion) (?:for|of|about)", re.IGNORECASE
)
DENIAL = re.compile(r"\w*not?|nothing|without|neither|nor|never", re.IGNORECASE)
"""Negating a sign also negates what it is interpreted as: 'no opacity suspicious for pneumonia' negates both."""
LISTING = re.compile(r"[,:]|\band\b", re.IGNORECASE)

STACKED_WORDS = 3
"""A trigger at most this many words after another combines with it; one further on replaces it."""


@dataclass(frozen=True)
class Trigger:
    """A trigger phrase in a clause. start, end: its span. ahead, behind: the polarity it gives to terms after and
    before it, None if it does not govern them. near: whether it governs only the nearest term."""

    start: int
    end: int
    ahead: Polarity | None
    behind: Polarity | None
    near: bool


CONTRACTED = re.compile(r"\b(is|are|was|were|does|do|did|has|have|had|would|should|could)n't\b", re.IGNORECASE)
SPACE_BEFORE_NOT = re.compile(r" (?=(?:\)\??)?not\b)")
"""Where a phrase may be contracted: 'is not' also matches 'isnot', which replaces "isn't" at the same length."""


def _compiled(table: dict[Polarity, tuple[str, ...]]) -> list[tuple[Polarity, re.Pattern[str]]]:
    return [
        (polarity, re.compile(rf"(?<![\w-])(?:{phrase})(?:(?<=\?)|(?!\w))", re.IGNORECASE))
        for polarity, phrases in table.items()
        for phrase in (SPACE_BEFORE_NOT.sub(r"\\s*", phrase).replace(" ", r"\s+") for phrase in phrases)
    ]


_AHEAD, _BEHIND = _compiled(AHEAD), _compiled(BEHIND)
EXPLETIVE = re.compile(
    r"\W*(?:there|this|that|it|these|those|the (?:\w+ )?(?:diagnosis|impression|answer|conclusion))\s+", re.IGNORECASE
)
"""A subject whose finding follows the verb: in 'there is possible pneumonia' the hedge governs what is ahead of it."""


def triggers(clause: str) -> list[Trigger]:
    """The clause's triggers in order; of overlapping ones the longest."""
    clause = CONTRACTED.sub(r"\1not", clause.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    ahead = {match.span(): polarity for polarity, pattern in _AHEAD for match in pattern.finditer(clause)}
    behind = {match.span(): polarity for polarity, pattern in _BEHIND for match in pattern.finditer(clause)}
    kept: list[Trigger] = []
    taken = bytearray(len(clause))
    for start, end in sorted({*ahead, *behind}, key=lambda span: (span[0] - span[1], span)):
        if not any(taken[start:end]):
            taken[start:end] = b"x" * (end - start)
            near = NEAR.fullmatch(clause, start, end) is not None
            given = ahead.get((start, end))
            if given is None and EXPLETIVE.fullmatch(clause, 0, start):
                given = next((polarity for (at, to), polarity in ahead.items() if start < at and to == end), None)
            kept.append(Trigger(start, end, given, behind.get((start, end)), near))
    return sorted(kept, key=lambda trigger: trigger.start)


def polarity(clause: str, spans: Sequence[tuple[int, int]], index: int, found: Sequence[Trigger]) -> Polarity:
    """The polarity of the term at spans[index]; present if no trigger governs it.

    spans: (start, end) of all terms in the clause, in order. found: the clause's triggers, see `triggers`.
    """
    start, end = spans[index]
    governing = {trigger.ahead for trigger in found if start <= trigger.start and trigger.end <= end}
    governing |= set(_governing_ahead(clause, spans, index, found))
    for trigger in found:
        if trigger.start < end or trigger.behind is None:
            continue
        others = any(end <= other < trigger.start for other, _ in spans)
        between = clause[end : trigger.start]
        if BARRIER.search(between) or (
            others and (":" in between or "," in between) and not _listed(clause, spans, index, trigger.start)
        ):
            break
        if trigger.near and others:
            continue
        if BARE.fullmatch(clause, trigger.start, trigger.end) and not _listed(clause, spans, index, trigger.start):
            continue
        governing.add(trigger.behind)
    return next((name for name in PRECEDENCE if name in governing), "present")


def _listed(clause: str, spans: Sequence[tuple[int, int]], index: int, until: int) -> bool:
    """Whether the term and the terms after it, up to `until`, form a list, with only links between them."""
    row = [span for span in spans[index:] if span[0] < until]
    return all(LINK.fullmatch(clause, one[1], other[0]) for one, other in pairwise(row))


def _governing_ahead(
    clause: str, spans: Sequence[tuple[int, int]], index: int, found: Sequence[Trigger]
) -> Iterator[Polarity]:
    """The polarities from the nearest trigger before the term, and from those directly before that trigger."""
    edge = spans[index][0]
    nearest = True
    before = [one for one in found if one.end <= edge and one.ahead is not None]
    while len(before) > 1 and _handed_on(clause, *before[-2:]):
        before.pop()
    for trigger in reversed(before):
        between = clause[trigger.end : edge]
        passed = any(trigger.end <= other < edge for other, _ in spans)
        if nearest and (":" in between or BARRIER.search(between) or (trigger.near and passed)):
            return
        if not nearest and (passed or "," in between or len(between.split()) > STACKED_WORDS):
            return
        if trigger.ahead is not None:
            yield trigger.ahead
        edge, nearest = trigger.start, False


def _handed_on(clause: str, denial: Trigger, trigger: Trigger) -> bool:
    """Whether `denial` extends over `trigger` to what the negated sign is interpreted as; see DENIAL."""
    pair = (DENIAL, denial), (TAKEN_FOR, trigger)
    between = clause[denial.end : trigger.start]
    words = all(pattern.fullmatch(clause, one.start, one.end) for pattern, one in pair)
    return words and not (LISTING.search(between) or BARRIER.search(between))
