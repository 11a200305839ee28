"""Whether a report asserts what a text query asks for, beyond containing its words."""

import re
from collections.abc import Callable

from engine.reporting.findings import Mention, read
from engine.reporting.phrases import Polarity

SATISFIED: dict[Polarity, tuple[Polarity, ...]] = {
    "present": ("present", "uncertain"),
    "hypothetical": ("present", "uncertain"),
    "absent": ("absent",),
    "uncertain": ("uncertain",),
    "historical": ("historical",),
}
"""Polarity of a finding in a query -> polarities that match it in a report; a question asks for present findings."""


OTHERWISE = "deny what they name, only consider it, or place it elsewhere"
"""A phrase for texts that contain a query's words but do not match it."""


DENIAL = re.compile(r"\b(?:not?|without|neither|nor|never|non|\w+n[\u2019']t)\b", re.IGNORECASE)
"""Negations in a query."""


def ignored_denial(query: str) -> str | None:
    """A warning that a query negates something that is not a known finding, so that its negation is ignored; or
    None."""
    denial = DENIAL.search(query)
    if denial is None or any(mention.polarity == "absent" for mention in read(query)):
        return None
    return f"'{denial[0]}' negates no known finding and is ignored: hits may say the opposite"


def mention_matcher(query: str) -> Callable[[str], bool]:
    """A test whether a report mentions a finding named in the query, in any polarity; if none is named, all pass."""
    asked = {mention.finding for mention in read(query)}
    return lambda report: not asked or any(mention.finding in asked for mention in read(report))


def matcher(query: str) -> Callable[[str], bool]:
    """A test whether a report matches the findings named in the query.

    A report passes if at least one of them has a matching mention (polarity, and side and zone if the query gives
    them), and none is mentioned only in other ways. If the query names no finding, every report passes.
    """
    asked = read(query)

    def passes(report: str) -> bool:
        mentions = read(report)
        matched = 0
        for wanted in asked:
            candidates = [mention for mention in mentions if mention.finding == wanted.finding]
            satisfied = any(_satisfies(mention, wanted) for mention in candidates)
            if candidates and not satisfied:
                return False
            matched += satisfied
        return matched > 0

    return passes if asked else lambda _: True


def _satisfies(mention: Mention, wanted: Mention) -> bool:
    side = wanted.side is None or mention.side in (wanted.side, "bilateral")
    return mention.polarity in SATISFIED[wanted.polarity] and side and wanted.zone in (None, mention.zone)
