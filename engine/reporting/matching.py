"""Whether a report says what a search asks for: the words are there, but are they said of this image?"""

import re
from collections.abc import Callable

from engine.reporting.context import Polarity
from engine.reporting.findings import Mention, read

SATISFIED: dict[Polarity, tuple[Polarity, ...]] = {
    "present": ("present", "uncertain"),
    "hypothetical": ("present", "uncertain"),
    "absent": ("absent",),
    "uncertain": ("uncertain",),
    "historical": ("historical",),
}
"""What a search says of a finding -> what a report may say of it; a question asks for what is there."""


OTHERWISE = "deny what they name, only consider it, or place it elsewhere"
"""What texts that hold a query's words do where none of them passes."""


DENIAL = re.compile(r"\b(?:not?|without|neither|nor|never|non|\w+n[\u2019']t)\b", re.IGNORECASE)
"""What denies in a query."""


def ignored_denial(query: str) -> str | None:
    """In words, that a query denies something that is no finding, so that its denial counts for nothing; or None."""
    denial = DENIAL.search(query)
    if denial is None or any(mention.polarity == "absent" for mention in read(query)):
        return None
    return f"'{denial[0]}' denies no finding that is known here and is not heeded: hits may say the opposite"


def mention_matcher(query: str) -> Callable[[str], bool]:
    """A test for reports: whether they mention a finding that the query names, whatever they say of it; any does where
    it names none."""
    asked = {mention.finding for mention in read(query)}
    return lambda report: not asked or any(mention.finding in asked for mention in read(report))


def matcher(query: str) -> Callable[[str], bool]:
    """A test for reports, after the findings that the query names.

    A report passes where it says of at least one of them what the query says, on the side and in the zone that the
    query gives, and of none only something else. A query that names no finding lets every report pass.
    """
    asked = read(query)

    def passes(report: str) -> bool:
        said = read(report)
        met = 0
        for wanted in asked:
            of_it = [mention for mention in said if mention.finding == wanted.finding]
            satisfied = any(_satisfies(mention, wanted) for mention in of_it)
            if of_it and not satisfied:
                return False
            met += satisfied
        return met > 0

    return passes if asked else lambda _: True


def _satisfies(mention: Mention, wanted: Mention) -> bool:
    side = wanted.side is None or mention.side in (wanted.side, "bilateral")
    return mention.polarity in SATISFIED[wanted.polarity] and side and wanted.zone in (None, mention.zone)
