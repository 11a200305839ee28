"""Whether a report says what a search asks for: the words are there, but are they said of this image?"""

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
