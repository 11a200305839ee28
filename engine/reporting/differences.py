"""Differences between two reports on one image: word by word for similar sentences, and in findings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.reporting.findings import Mention
from engine.reporting.prompts import sentences

ALIKE = 0.6
"""Minimum similarity (Ratcliff and Obershelp's ratio over words) for two sentences to be compared word by word."""
WORD = re.compile(r"\s+|[\w'-]+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A part of a report. own: whether it is missing from the other report."""

    text: str
    own: bool


def compare(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """Both reports as pieces; the pieces of each, joined, are its text.

    Each sentence is compared with the most similar sentence of the other report that is not matched yet; one without a
    match is entirely `own`. Case and white space are ignored.
    """
    if _alike(first) == _alike(second):  # where sentences end depends on case
        return _merged([Piece(first, False)]), _merged([Piece(second, False)])
    ours, theirs = _cut(first), _cut(second)
    partner: dict[int, int] = {}
    for place, sentence in enumerate(ours):
        free = [other for other in range(len(theirs)) if other not in partner.values()]
        likeness = {other: _likeness(sentence, theirs[other]) for other in free}
        best = max(free, key=lambda other: (likeness[other], -other), default=None)
        if best is not None and likeness[best] >= ALIKE:
            partner[place] = best
    left: list[Piece] = []
    right: dict[int, list[Piece]] = {other: [Piece(text, bool(text.strip()))] for other, text in enumerate(theirs)}
    for place, sentence in enumerate(ours):
        if place not in partner:
            left.append(Piece(sentence, bool(sentence.strip())))
            continue
        words_here, words_there = _words(sentence), _words(theirs[partner[place]])
        right[partner[place]] = []
        for kind, a, b, c, d in _match(sentence, theirs[partner[place]]).get_opcodes():
            for words, start, end, pieces in ((words_here, a, b, left), (words_there, c, d, right[partner[place]])):
                text = "".join(words[start:end])
                if text:
                    pieces.append(Piece(text, kind != "equal" and bool(text.strip())))
    return _merged(left), _merged([piece for other in sorted(right) for piece in right[other]])


def findings_apart(first: Sequence[Mention], second: Sequence[Mention]) -> list[tuple[str, list[str], list[str]]]:
    """The findings on which the reports differ: (name, statements of the first report, statements of the second).

    A statement is a polarity with side and zone, such as "present right lower"; a report that does not mention the
    finding makes none.
    """
    names = list(dict.fromkeys(mention.finding for mention in [*first, *second]))
    statements = [(name, _statements(name, first), _statements(name, second)) for name in names]
    return [(name, one, other) for name, one, other in statements if one != other]


def _statements(finding: str, mentions: Sequence[Mention]) -> list[str]:
    statements = (
        " ".join(filter(None, (m.polarity, m.side, m.zone)))
        for m in mentions
        if m.finding == finding and m.polarity != "hypothetical"
    )
    return sorted(set(statements))


def _cut(text: str) -> list[str]:
    """The sentences, each with the white space before it, the last also with that after it."""
    parts, at = [], 0
    for sentence in sentences(text):
        end = text.index(sentence, at) + len(sentence)
        parts.append(text[at:end])
        at = end
    if parts and at < len(text):
        parts[-1] += text[at:]
    return parts or ([text] if text else [])


def _words(text: str) -> list[str]:
    return WORD.findall(text)


def _alike(text: str) -> list[str]:
    """Words and spaces without case and the kind of white space."""
    return [" " if word.isspace() else word.casefold() for word in _words(text)]


def _match(one: str, other: str) -> SequenceMatcher[str]:
    """A matcher over words and spaces, see `_alike`."""
    return SequenceMatcher(None, _alike(one), _alike(other), autojunk=False)


def _likeness(one: str, other: str) -> float:
    """The ratio, or 0 if a cheap upper bound is already below ALIKE."""
    match = _match(one, other)
    close = match.real_quick_ratio() >= ALIKE and match.quick_ratio() >= ALIKE
    return match.ratio() if close else 0.0


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces with adjacent ones of the same kind joined."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].own == piece.own:
            merged[-1] = Piece(merged[-1].text + piece.text, piece.own)
        else:
            merged.append(piece)
    return merged
