"""The sections of a report, found by their headings."""

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
"""Section -> wordings of its heading; `other` includes anything in capitals before a colon. Add new wordings here."""

HEADING = re.compile(
    r"(?:^|(?<=[.?!;]\s)|(?=\"\w))[ \t>#*_\-•{\"]*(?:\d+[.)][ \t]*)?[*_]*(?:"
    + "|".join(f"(?P<{part.replace(' ', '_')}>{words})" for part, words in HEADINGS.items())
    + r")[*_\" \t]*(?::[*_]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A heading starts a line, follows a sentence or is a JSON key, and ends in a colon or with its line."""


ASIDE = ("request", "comparison")
"""Sections that are not about this image."""
UNTIL = re.compile(r"(?<=\S)[ \t]*\n[ \t]*\n|\"\s*[,}]")
"""The latest end of such a section: an empty line, or the end of a JSON value."""
LINES = re.compile(r".*(?:\n[ \t>]*[-*•].*)*")
"""A line and the list that follows it."""
SENTENCE_END = re.compile(rf"{END}{ABBREVIATED}\s")


@dataclass(frozen=True)
class Section:
    """One section of a report. name: a key of HEADINGS. start: of its heading; body, end: of its text."""

    name: str
    start: int
    body: int
    end: int


def sections(text: str) -> list[Section]:
    """The sections of `text` in order; text before the first heading, and after the end of an ASIDE one, is in none."""
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found = []
    for heading, end in zip(headings, ends, strict=False):  # no heading, no part
        name = str(heading.lastgroup).replace("_", " ")
        until = _aside(text, heading.end(), end) if name in ASIDE else end
        found.append(Section(name, heading.start(), heading.end(), until))
    return found


def _aside(text: str, body: int, end: int) -> int:
    """The end of a request or comparison whose text starts at `body`, with the next heading at `end`.

    It ends where UNTIL matches, else at the next heading; without one, after its line and list, or after its first
    sentence if all is in one line.
    """
    begins = end - len(text[body:end].lstrip())
    if over := UNTIL.search(text, begins, end):
        return over.start()
    if end < len(text):
        return end
    lines = LINES.match(text, begins, end)
    sentence = SENTENCE_END.search(text, begins, end)
    return lines.end() if lines and lines.end() < end else sentence.start() if sentence else end


def part_at(parts: Sequence[Section], place: int) -> str | None:
    """The name of the section with the character at `place`, None if it is in none."""
    return next((part.name for part in parts if part.start <= place < part.end), None)
