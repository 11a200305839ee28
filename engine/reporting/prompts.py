"""What report models are asked: the prompt strategies, and what an answer to each must contain."""

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

    required: name of each element that the answer must contain -> regular expression, case-insensitive, that finds it.
    max_sentences: longest answer allowed, None for any length.
    """

    name: str
    purpose: str
    text: str
    required: tuple[tuple[str, str], ...]
    max_sentences: int | None = None

    @property
    def sha256(self) -> str:
        """Hash of the wording; reports are stored under it, so that a changed prompt is a new prompt."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def check(self, answer: str) -> dict[str, bool]:
        """Which of the demanded elements `answer` holds; length counts as one where it is limited."""
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
"""What a model that reasons writes before its answer, to the end where it never came to one; MedGemma's marks last."""


LEAST_REPEATED = 5
"""Words of a prompt's sentence from which on an answer that holds it repeats it; fewer may be said anyway."""
END = r"(?:(?<=[.!])|(?<=\S\?)|(?<=\w\s\?)(?=\s+[A-Z]))"
"""Where a sentence ends; in '? early pneumonia' the mark stands for a question about what follows."""
ABBREVIATED = r"(?<!\bvs\.)(?<!\bDr\.)(?<!e\.g\.)(?<!i\.e\.)"
"""Full stops that end no sentence."""


def sentences(text: str) -> list[str]:
    """The sentences of `text`: they end at . ? or ! before a space, or with the line; '0.97' is not split."""
    return [part.strip() for part in re.split(rf"{END}{ABBREVIATED}\s+|\n+", text) if part.strip()]


def heading(name: str) -> tuple[str, str]:
    """The requirement that a section called `name` opens a line and is not empty; Markdown marks are allowed."""
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
    """The text with spaces in the place of what its writer only thought, and of sentences repeated from the prompts
    above or from this one."""
    for pattern in (THOUGHT, _repeated(""), _repeated(prompt)):
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    return text


@lru_cache(maxsize=64)
def _repeated(prompt: str) -> re.Pattern[str]:
    """Any sentence of the prompt, or of those above where there is none, however its lines are broken."""
    asked = [prompt] if prompt else [strategy.text for strategy in STRATEGIES.values()]
    words = (re.findall(r"\S+", sentence) for text in asked for sentence in sentences(text))
    told = [r"\s+".join(map(re.escape, sentence)) for sentence in words if len(sentence) >= LEAST_REPEATED]
    return re.compile(rf"\b(?:{'|'.join(sorted(told, key=len, reverse=True)) or '(?!)'})", re.IGNORECASE)


def find(name: str, known: Mapping[str, PromptStrategy] = STRATEGIES) -> PromptStrategy:
    """The strategy called `name`. Raises InputError that lists the known ones."""
    try:
        return known[name]
    except KeyError:
        raise InputError(f"prompt strategy '{name}' is unknown; known: {', '.join(known)}") from None


def read_toml(path: Path) -> dict[str, PromptStrategy]:
    """The user's own strategies: a table for each, [strategies.NAME], with text and, where wanted, purpose, required
    (element -> regular expression) and max_sentences.

    Raises InputError that names the file, the line where TOML has one, and the reason.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")).get("strategies", {})
    except OSError as error:
        raise InputError(f"strategy file {path} cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"strategy file {path} is no TOML in UTF-8: {error}; correct it there") from error
    if not given or not isinstance(given, dict):
        raise InputError(f"strategy file {path}: no [strategies.NAME] table with a text")
    own = {name: _strategy(name, table, f"strategy file {path}, [strategies.{name}]") for name, table in given.items()}
    first = {strategy.sha256: name for name, strategy in STRATEGIES.items()}
    for name, strategy in own.items():
        other = first.setdefault(strategy.sha256, name)
        if other != name:
            raise InputError(f"strategy file {path}: '{name}' has the text of '{other}'; change it or leave it out")
    return own


def _strategy(name: str, table: object, where: str) -> PromptStrategy:
    known = {"text": str, "purpose": str, "required": dict, "max_sentences": int}
    if name in STRATEGIES:
        raise InputError(f"{where}: there is a strategy of that name already; choose another")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name):
        raise InputError(f"{where}: a name is small letters, digits and _, at most 60, a letter first")
    if not isinstance(table, dict) or not str(table.get("text", "")).strip():
        raise InputError(f"{where}: no text")
    for key, value in table.items():
        if key not in known:
            raise InputError(f"{where}: '{key}' is unknown; known: {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise InputError(f"{where}: '{key}' is to be a {known[key].__name__}")
    required = table.get("required", {})
    for element, pattern in required.items():
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise InputError(f"{where}: required '{element}' is no regular expression ({error})") from error
    if table.get("max_sentences", 1) < 1:
        raise InputError(f"{where}: max_sentences is to be 1 or more")
    return PromptStrategy(
        name, table.get("purpose", ""), table["text"].strip(), tuple(required.items()), table.get("max_sentences")
    )
