"""Rules for reviews: allowed verdicts, and limits of names, tags and notes."""

import unicodedata

VERDICTS = {"pneumonia": "Pneumonia", "normal": "Normal", "uncertain": "Uncertain", "unreadable": "Unreadable"}
"""Allowed verdicts, and how they are displayed."""
CALLS = {"pneumonia": 1, "normal": 0}
"""Verdicts that can be compared with a label."""
NAME_LENGTH = 100
TAG_LENGTH = 60
TAGS = 20
"""Maximum number of tags in a review."""
NOTE_LENGTH = 2000
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidirectional control characters, which can disguise text by changing its order."""


class RefusedError(ValueError):
    """A review that cannot be stored; the message is one line that says why."""


def verdict(given: str) -> str:
    """The verdict, if it is a key of VERDICTS. Raises RefusedError otherwise."""
    if given not in VERDICTS:
        raise RefusedError(f"'{given[:TAG_LENGTH]}' is not a verdict; expected one of {', '.join(VERDICTS)}")
    return given


def name(given: str) -> str:
    """A reviewer's name with normalised spaces. Raises RefusedError if it is empty, too long or has control
    characters."""
    return _line(given, "the reviewer's name", NAME_LENGTH)


def tags(given: list[str]) -> list[str]:
    """Distinct tags with normalised spaces, in order. Raises RefusedError for too many tags, or one that is too long or
    has control characters."""
    settled = list(dict.fromkeys(_line(one, "a tag", TAG_LENGTH) for one in given if one.strip()))
    if len(settled) > TAGS:
        raise RefusedError(f"a review may have {TAGS} tags at most; {len(settled)} were given")
    return settled


def note(given: str) -> str:
    """A note of any number of lines, or "". Raises RefusedError if it is too long or has control characters."""
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
            raise RefusedError(f"{what} contains a control character (U+{ord(sign):04X}); remove it")
    return text
