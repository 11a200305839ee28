"""Which attributes of a film results are told apart by: sex, age group, view and the like, spelled in one way.

An attribute never names a patient: ages are kept as groups.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from engine.errors import InputError

Attributes = tuple[tuple[str, str], ...]
"""(name, value) pairs of one film, in the order of names; what is unknown is left out."""

KNOWN = ("age", "device", "sex", "site", "view")
"""Columns of a label sheet that are attributes without being asked for."""
NUMBERING = "numbering"
"""How the file name of a normal film of the Kaggle set begins: IM or NORMAL2-IM."""
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male", "o": "other", "other": "other"}
UNKNOWN = frozenset({"", "unknown", "u", "n/a", "na", "none", "null", "nan"})
"""Values, in small letters, that tell nothing."""
AGE = re.compile(r"(\d{1,3})(?:\.\d*)?\+?\s*([ymwd]?)", re.IGNORECASE)
"""Years, 90+ among them, or as DICOM writes them: 045Y, 018M, 006W, 010D."""
PER_YEAR = {"": 1.0, "y": 1.0, "m": 12.0, "w": 365.25 / 7, "d": 365.25}
GROUPS = {2: "under 2", 12: "2 to 11", 18: "12 to 17", 40: "18 to 39", 60: "40 to 59", 80: "60 to 79"}
"""Age groups by the age in years at which the next begins: those of paediatric trials below 18 (ICH E11), then by
twenty years."""
OLDEST, MOST_YEARS = "80 and over", 130
NAME = re.compile(r"[a-z][a-z0-9 _-]{0,16}")
LONGEST = 60
"""Characters of a value."""


def counted(films: Iterable[Attributes]) -> dict[str, dict[str, int]]:
    """How many films have each value of each attribute, both in the order of their names."""
    pairs = Counter(pair for known in films for pair in known)
    found: dict[str, dict[str, int]] = {}
    for (name, value), films_with in sorted(pairs.items()):
        found.setdefault(name, {})[value] = films_with
    return found


def attributes_of(given: Mapping[str, str]) -> Attributes:
    """The pairs that are known of a film, in their one spelling. given: text by attribute name.

    Raises InputError where a value is none of its attribute.
    """
    pairs = ((name, standard(name, value)) for name, value in given.items())
    return tuple(sorted((name, value) for name, value in pairs if value is not None))


def standard(name: str, value: str) -> str | None:
    """An attribute's value in its one spelling: "F" is female, "045Y" is "40 to 59"; None where it tells nothing.

    Raises InputError where it is none of that attribute, is longer than LONGEST or cannot be printed.
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
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{name} '{text[:LONGEST]}' is no value of at most {LONGEST} printable characters")
    return text.upper() if name == "view" else text


def age_group(age: str) -> str:
    """The group of an age in years, or with DICOM's letter for years, months, weeks or days.

    Raises InputError for anything else.
    """
    found = AGE.fullmatch(age)
    years = int(found[1]) / PER_YEAR[found[2].lower()] if found else MOST_YEARS
    if years >= MOST_YEARS:
        raise InputError(f"age '{age}' is no number of years, such as 45 or 045Y; keep groups in a column of their own")
    return next((group for below, group in GROUPS.items() if years < below), OLDEST)


def merged(*sources: Attributes) -> Attributes:
    """The pairs of all sources; of an attribute that several tell, the first's."""
    known: dict[str, str] = {}
    for name, value in (pair for source in sources for pair in source):
        known.setdefault(name, value)
    return tuple(sorted(known.items()))


def of_file_name(patient_key: str | None, label: int | None) -> Attributes:
    """The NUMBERING of a normal film of the Kaggle set, by its patient's key; of other films nothing."""
    if label != 0 or patient_key is None or "IM-" not in patient_key:
        return ()
    return ((NUMBERING, patient_key.rpartition("-")[0]),)
