"""Which part of a report a sentence stands in, by the headings that reports open their parts with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.reporting.prompts import ABBREVIATED, END

HEADINGS = {
    "lung fields": r"lung fields?|lungs?(?: and airways?)?|pulmonary|(?:lung )?parenchyma",
    "cardiac": r"cardiac(?: silhouette)?|heart(?: size)?(?: and mediastinum)?|cardio-?mediastin\w+(?: silhouette)?"
    r"|mediastinum(?: and heart)?|cardiovascular",
    "pleura": r"pleurae?|pleural (?:spaces?|cavit(?:y|ies)|findings)",
    "impression": r"(?:overall |final )?(?:impression|conclusions?|assessment|summary|opinion|diagnosis|verdict)"
    r"|final answer",
    "request": r"indication|clinical (?:history|details|information|question|indication)|history|request"
    r"|reason for (?:the )?(?:exam\w*|study)",
    "comparison": r"comparison",
    "other": r"findings|technique|bones?(?: and soft tissues?)?|soft tissues?|diaphragm"
    r"|recommendations?|uncertainty|limitations?|(?-i:[A-Z][A-Z ]{2,30})(?=[*_ ]*:)",
}
"""Part -> how its heading is worded, anything in capitals before a colon included. A new wording is added here."""

HEADING = re.compile(
    r"(?:^|(?<=[.?!;]\s)|(?=\"\w))[ \t>#*_\-•{\"]*(?:\d+[.)][ \t]*)?[*_]*(?:"
    + "|".join(f"(?P<{part.replace(' ', '_')}>{words})" for part, words in HEADINGS.items())
    + r")[*_\" \t]*(?::[*_]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A heading opens a line, follows a sentence or is a key of JSON, and ends in a colon or with its line."""


ASIDE = ("request", "comparison")
"""Parts that say nothing of this film."""
UNTIL = re.compile(r"(?<=\S)[ \t]*\n[ \t]*\n|\"\s*[,}]")
"""Where the request and the comparison end at the latest: at an empty line, or as a value of JSON."""
LINES = re.compile(r".*(?:\n[ \t>]*[-*•].*)*")
"""A line with the list that follows it."""
SENTENCE_END = re.compile(rf"{END}{ABBREVIATED}\s")


@dataclass(frozen=True)
class Section:
    """One part of a report: its name, a key of HEADINGS, where its heading starts, and where its text does and ends."""

    name: str
    start: int
    body: int
    end: int


def sections(text: str) -> list[Section]:
    """The parts of `text` in order; what stands before the first heading belongs to none, nor what `_aside` leaves."""
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found = []
    for heading, end in zip(headings, ends, strict=False):  # no heading, no part
        name = str(heading.lastgroup).replace("_", " ")
        until = _aside(text, heading.end(), end) if name in ASIDE else end
        found.append(Section(name, heading.start(), heading.end(), until))
    return found


def _aside(text: str, body: int, end: int) -> int:
    """Where a request or a comparison ends whose text begins at `body` and the next heading at `end`: where UNTIL says,
    or, without a next heading, with its line or list, or within a single line with its first sentence."""
    begins = end - len(text[body:end].lstrip())
    if over := UNTIL.search(text, begins, end):
        return over.start()
    if end < len(text):
        return end
    lines = LINES.match(text, begins, end)
    sentence = SENTENCE_END.search(text, begins, end)
    return lines.end() if lines and lines.end() < end else sentence.start() if sentence else end


def part_at(parts: Sequence[Section], place: int) -> str | None:
    """The name of the part that holds the character at `place`, None before the first heading."""
    return next((part.name for part in parts if part.start <= place < part.end), None)
