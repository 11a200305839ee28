"""What a review may say: its verdicts, and the limits of names, tags and notes."""

import unicodedata

VERDICTS = {"pneumonia": "Pneumonia", "normal": "Normal", "uncertain": "Uncertain", "unreadable": "Unreadable"}
"""What a reader can say of a film, and how it reads."""
CALLS = {"pneumonia": 1, "normal": 0}
"""Verdicts that can be held against a label."""
NAME_LENGTH = 100
TAG_LENGTH = 60
TAGS = 20
"""Tags of one review."""
NOTE_LENGTH = 2000
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the order of the text after them, so that it reads as what it is not."""


class RefusedError(ValueError):
    """A review cannot be stored as it is; the message says what is wrong with it, in one line."""


def verdict(given: str) -> str:
    """A key of VERDICTS. Raises RefusedError where it is none."""
    if given not in VERDICTS:
        raise RefusedError(f"'{given[:TAG_LENGTH]}' is no verdict; one of {', '.join(VERDICTS)} is")
    return given


def name(given: str) -> str:
    """A reviewer's name, spaces settled. Raises RefusedError where it is empty, too long or has control characters."""
    return _line(given, "the reviewer's name", NAME_LENGTH)


def tags(given: list[str]) -> list[str]:
    """Tags, spaces settled, each once, in order. Raises RefusedError where one of them or their number is too much."""
    settled = list(dict.fromkeys(_line(one, "a tag", TAG_LENGTH) for one in given if one.strip()))
    if len(settled) > TAGS:
        raise RefusedError(f"a review has {TAGS} tags at most; {len(settled)} were given")
    return settled


def note(given: str) -> str:
    """A note of any number of lines, or "". Raises RefusedError where it is too long or holds control characters."""
    text = unicodedata.normalize("NFC", given).replace("\r\n", "\n").replace("\r", "\n").strip()
    return _within(text, "the note", NOTE_LENGTH, allowed="\n\t")


def _line(given: str, what: str, limit: int) -> str:
    text = " ".join(part for part in unicodedata.normalize("NFC", given).split(" ") if part)
    if not text:
        raise RefusedError(f"{what} is empty")
    return _within(text, what, limit)


def _within(text: str, what: str, limit: int, allowed: str = "") -> str:
    if len(text) > limit:
        raise RefusedError(f"{what} has {len(text):,} characters; {limit:,} are allowed")
    for sign in text:
        if sign in DIRECTIONS or (unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") and sign not in allowed):
            raise RefusedError(f"{what} holds a control character (U+{ord(sign):04X}); take it out")
    return text
