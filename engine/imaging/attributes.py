"""The image attributes that define subgroups (sex, age group, view and the like), in one standard spelling.

An attribute never identifies a patient: ages are stored as groups.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from engine.errors import InputError

Attributes = tuple[tuple[str, str], ...]
"""(name, value) pairs of one image, sorted by name; unknown attributes are left out."""

KNOWN = ("age", "device", "sex", "site", "view")
"""Columns of a label sheet that are attributes by default."""
NUMBERING = "numbering"
"""Attribute for the file-name prefix of a normal image of the Kaggle set: IM or NORMAL2-IM."""
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male", "o": "other", "other": "other"}
UNKNOWN = frozenset({"", "unknown", "u", "n/a", "na", "none", "null", "nan"})
"""Lower-case values that mean unknown."""
AGE = re.compile(r"(\d{1,3})(?:\.\d*)?\+?\s*([ymwd]?)", re.IGNORECASE)
"""An age in years (90+ included) or in DICOM notation: 045Y, 018M, 006W, 010D."""
PER_YEAR = {"": 1.0, "y": 1.0, "m": 12.0, "w": 365.25 / 7, "d": 365.25}
GROUPS = {2: "under 2", 12: "2 to 11", 18: "12 to 17", 40: "18 to 39", 60: "40 to 59", 80: "60 to 79"}
"""Age groups by their upper limit in years (exclusive): paediatric groups below 18 (after ICH E11), then about twenty
years each."""
OLDEST, MOST_YEARS = "80 and over", 130
NAME = re.compile(r"[a-z][a-z0-9 _-]{0,16}")
LONGEST = 60
"""Maximum length of a value, in characters."""


def counted(films: Iterable[Attributes]) -> dict[str, dict[str, int]]:
    """The number of images with each value of each attribute; attributes and values in alphabetical order."""
    pairs = Counter(pair for known in films for pair in known)
    found: dict[str, dict[str, int]] = {}
    for (name, value), films_with in sorted(pairs.items()):
        found.setdefault(name, {})[value] = films_with
    return found


def attributes_of(given: Mapping[str, str]) -> Attributes:
    """The known attributes of an image in their standard spelling. given: raw text by attribute name.

    Raises InputError for a value that is not valid for its attribute; see `standard`.
    """
    pairs = ((name, standard(name, value)) for name, value in given.items())
    return tuple(sorted((name, value) for name, value in pairs if value is not None))


def standard(name: str, value: str) -> str | None:
    """An attribute's value in its standard spelling: "F" is female, "045Y" is "40 to 59"; None if it means unknown.

    Raises InputError if the value is not valid for the attribute, longer than LONGEST or not printable.
    """
    text = " ".join(value.split())
    if text.lower() in UNKNOWN:
        return None
    if name == "sex":
        if text.lower() not in SEXES:
            raise InputError(f"sex '{text}' is unknown; expected female, male, other or nothing")
        return SEXES[text.lower()]
    if name == "age":
        return age_group(text)
    text = text.upper() if name == "view" else text
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{name} '{text[:LONGEST]}' is not a value of at most {LONGEST} printable characters")
    return text


def age_group(age: str) -> str:
    """The age group of an age in years, or of a DICOM age with its letter for years, months, weeks or days.

    Raises InputError for anything else, and from MOST_YEARS on.
    """
    found = AGE.fullmatch(age)
    years = int(found[1]) / PER_YEAR[found[2].lower()] if found else MOST_YEARS
    if years >= MOST_YEARS:
        raise InputError(f"age '{age}' is not an age such as 45 or 045Y; put age groups in a column of another name")
    return next((group for below, group in GROUPS.items() if years < below), OLDEST)


def merged(*sources: Attributes) -> Attributes:
    """The attributes of all sources; where several give the same attribute, the first one wins."""
    known: dict[str, str] = {}
    for name, value in (pair for source in sources for pair in source):
        known.setdefault(name, value)
    return tuple(sorted(known.items()))


def of_file_name(patient_key: str | None, label: int | None) -> Attributes:
    """The NUMBERING attribute of a normal image of the Kaggle set, from its patient key; () for any other image."""
    if label != 0 or patient_key is None or "IM-" not in patient_key:
        return ()
    return ((NUMBERING, patient_key.rpartition("-")[0]),)
