"""The prompt strategies: what report models are asked, and what each answer must contain."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.errors import InputError

VERDICT = r"pneumonia|normal|unremarkable|clear\b"


@dataclass(frozen=True)
class PromptStrategy:
    """One way of asking for a report.

    required: (name, case-insensitive regular expression) of each element that the answer must contain.
    max_sentences: maximum length of the answer, None for any length.
    """

    name: str
    purpose: str
    text: str
    required: tuple[tuple[str, str], ...]
    max_sentences: int | None = None

    @property
    def sha256(self) -> str:
        """Hash of the prompt; reports are stored under it, so that a changed prompt is a new one."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def check(self, answer: str) -> dict[str, bool]:
        """For each required element whether `answer` contains it; a length limit counts as an element."""
        found = {
            name: re.search(pattern, answer, re.IGNORECASE | re.MULTILINE) is not None
            for name, pattern in self.required
        }
        if self.max_sentences is not None:
            found[f"at most {self.max_sentences} sentences"] = len(sentences(answer)) <= self.max_sentences
        return found


THOUGHT = re.compile(
    r"\A.*?</think(?:ing)?>|<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)|<unused94>.*?(?:<unused95>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
"""A reasoning model's thoughts before its answer, or up to the end if there is none; MedGemma's marks come last."""


LEAST_REPEATED = 5
"""Minimum number of words for a sentence of the prompt to count as repeated; shorter ones may occur by chance."""
END = r"(?:(?<=[.!])|(?<=\S\?)|(?<=\w\s\?)(?=\s+[A-Z]))"
"""Where a sentence ends; in '? early pneumonia' the question mark belongs to what follows."""
ABBREVIATED = r"(?<!\bvs\.)(?<!\bDr\.)(?<!e\.g\.)(?<!i\.e\.)"
"""Full stops that do not end a sentence."""


def sentences(text: str) -> list[str]:
    """The sentences of `text`, which end at . ? or ! before white space, or with the line; '0.97' is not split."""
    return [part.strip() for part in re.split(rf"{END}{ABBREVIATED}\s+|\n+", text) if part.strip()]


def heading(name: str) -> tuple[str, str]:
    """The requirement that a section called `name` starts a line and is not empty; Markdown marks are allowed."""
    return name, rf"^[\s#*_]*{name}[\s*_]*:?[\s*_]*\S"


BASIC = PromptStrategy(
    name="basic",
    purpose="a short description in free text",
    text=(
        "Describe this frontal chest radiograph of a child in two to four sentences. Say whether it looks normal or "
        "shows pneumonia, and where any opacity lies. Describe only what can be seen in the image."
    ),
    required=(("verdict", VERDICT),),
)

CLINICAL_STRUCTURED = PromptStrategy(
    name="clinical_structured",
    purpose="a report in four fixed sections",
    text=(
        "You are a paediatric radiologist reporting a frontal chest radiograph. Write exactly four sections, each "
        "opened by its heading in capitals and a colon:\n"
        "LUNG FIELDS: aeration; any consolidation, interstitial change or opacity, with side and zone (upper, middle, "
        "lower).\n"
        "CARDIAC: heart size and mediastinal contour.\n"
        "PLEURA: effusion, thickening or pneumothorax on either side.\n"
        "IMPRESSION: one or two sentences that answer whether there is pneumonia, and how sure you are.\n"
        "Left and right are the patient's. Where something cannot be judged on this image, write that it was not "
        "assessed. Invent no history, no earlier studies and no measurements."
    ),
    required=(heading("LUNG FIELDS"), heading("CARDIAC"), heading("PLEURA"), heading("IMPRESSION")),
)

DIFFERENTIAL = PromptStrategy(
    name="differential",
    purpose="a ranked differential with the evidence for each entry",
    text=(
        "You are a paediatric radiologist. Give a differential for this frontal chest radiograph: a numbered list of "
        "two to four entries, the most likely first. A normal radiograph and pneumonia (bacterial or viral) must both "
        "be considered. For each entry name it, say how likely it is, and give what in the image supports it or speaks "
        "against it. Close with one line that begins 'Uncertainty:' and says what this image cannot settle."
    ),
    required=(
        ("first entry", r"^[\s*]*1[.)]\s*\S"),
        ("second entry", r"^[\s*]*2[.)]\s*\S"),
        ("support", r"support|because|consistent with|against|evidence"),
        ("uncertainty", r"^[\s*_]*uncertainty[\s*_]*:"),
    ),
)

CLINICAL_BRIEF = PromptStrategy(
    name="clinical_brief",
    purpose="a verdict in at most two sentences",
    text=(
        "Answer in at most two sentences, as you would by telephone to the clinician who asked for this chest "
        "radiograph: is there pneumonia, yes, no or uncertain, and on which side and in which zone. Add nothing else."
    ),
    required=(("verdict", VERDICT),),
    max_sentences=2,
)

STRATEGIES: dict[str, PromptStrategy] = {
    strategy.name: strategy for strategy in (BASIC, CLINICAL_STRUCTURED, DIFFERENTIAL, CLINICAL_BRIEF)
}


def answered(text: str, *, prompt: str = "") -> str:
    """The text, of the same length, with spaces in place of a model's reasoning and of sentences repeated from the
    built-in prompts or from `prompt`."""
    for pattern in (THOUGHT, _repeated(""), _repeated(prompt)):
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    return text


@lru_cache(maxsize=64)
def _repeated(prompt: str) -> re.Pattern[str]:
    """Any sentence of the prompt, or of the built-in prompts if it is empty, with any white space between words."""
    texts = [prompt] if prompt else [strategy.text for strategy in STRATEGIES.values()]
    words = (re.findall(r"\S+", sentence) for text in texts for sentence in sentences(text))
    patterns = [r"\s+".join(map(re.escape, sentence)) for sentence in words if len(sentence) >= LEAST_REPEATED]
    return re.compile(rf"\b(?:{'|'.join(sorted(patterns, key=len, reverse=True)) or '(?!)'})", re.IGNORECASE)


def find(name: str, known: Mapping[str, PromptStrategy] = STRATEGIES) -> PromptStrategy:
    """The strategy called `name`. Raises InputError that lists the known ones."""
    try:
        return known[name]
    except KeyError:
        raise InputError(f"prompt strategy '{name}' is unknown; known: {', '.join(known)}") from None


def read_toml(path: Path) -> dict[str, PromptStrategy]:
    """The user's own strategies: one table each, [strategies.NAME], with text and optionally purpose, required
    (element -> regular expression) and max_sentences.

    Raises InputError that names the file, the line of a syntax error, and the reason.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")).get("strategies", {})
    except OSError as error:
        raise InputError(f"strategy file {path} cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"strategy file {path} is not valid TOML in UTF-8: {error}; correct it there") from error
    if not given or not isinstance(given, dict):
        raise InputError(f"strategy file {path}: no [strategies.NAME] table with a text")
    own = {name: _strategy(name, table, f"strategy file {path}, [strategies.{name}]") for name, table in given.items()}
    first = {strategy.sha256: name for name, strategy in STRATEGIES.items()}
    for name, strategy in own.items():
        other = first.setdefault(strategy.sha256, name)
        if other != name:
            raise InputError(f"strategy file {path}: '{name}' has the same text as '{other}'; change it or remove it")
    return own


def _strategy(name: str, table: object, where: str) -> PromptStrategy:
    """The strategy in a TOML table. where: prefix of messages. Raises InputError for an invalid name or value."""
    known = {"text": str, "purpose": str, "required": dict, "max_sentences": int}
    if name in STRATEGIES:
        raise InputError(f"{where}: a strategy of that name already exists; choose another name")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name):
        raise InputError(
            f"{where}: a name consists of at most 60 lower-case letters, digits and _, and starts with a letter"
        )
    if not isinstance(table, dict) or not str(table.get("text", "")).strip():
        raise InputError(f"{where}: no text")
    for key, value in table.items():
        if key not in known:
            raise InputError(f"{where}: '{key}' is unknown; known: {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise InputError(f"{where}: '{key}' must be of type {known[key].__name__}")
    required = table.get("required", {})
    for element, pattern in required.items():
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise InputError(f"{where}: required '{element}' is not a regular expression ({error})") from error
    if table.get("max_sentences", 1) < 1:
        raise InputError(f"{where}: max_sentences must be at least 1")
    return PromptStrategy(
        name, table.get("purpose", ""), table["text"].strip(), tuple(required.items()), table.get("max_sentences")
    )
