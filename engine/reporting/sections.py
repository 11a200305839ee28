"""Which part of a report a sentence stands in, by the headings that reports open their parts with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    r"(?:^|(?<=[.?!;]\s))[ \t>#*_\-•]*(?:\d+[.)][ \t]*)?[*_]*(?:"
    + "|".join(f"(?P<{part.replace(' ', '_')}>{words})" for part, words in HEADINGS.items())
    + r")[*_ \t]*(?::[*_]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A heading opens a line or follows a sentence, and ends in a colon or with its line."""


@dataclass(frozen=True)
class Section:
    """One part of a report: its name, a key of HEADINGS, where its heading starts, and where its text does and ends."""

    name: str
    start: int
    body: int
    end: int


def sections(text: str) -> list[Section]:
    """The parts of `text` in order; what stands before the first heading belongs to none."""
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        Section(str(heading.lastgroup).replace("_", " "), heading.start(), heading.end(), end)
        for heading, end in zip(headings, ends, strict=False)  # no heading, no part
    ]


def part_at(parts: Sequence[Section], place: int) -> str | None:
    """The name of the part that holds the character at `place`, None before the first heading."""
    return next((part.name for part in parts if part.start <= place < part.end), None)
