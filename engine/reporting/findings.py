"""Reading a report: each finding it mentions, with polarity and location."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.reporting.context import LINK, polarity, stops, triggers
from engine.reporting.phrases import Polarity
from engine.reporting.prompts import answered, sentences
from engine.reporting.sections import part_at, sections
from engine.reporting.vocabulary import FINDINGS, SIDES, TERM, ZONES, Tier


@dataclass(frozen=True)
class Mention:
    """One mention of a finding in a report."""

    finding: str
    """A key of `vocabulary.FINDINGS`."""
    term: str
    """The report's wording."""
    polarity: Polarity
    side: str | None
    """right, left, bilateral, or None if the report does not say."""
    zone: str | None
    """upper, middle, lower, or None."""
    start: int
    end: int
    """The term's span in the report's text."""
    section: str | None = None
    """The section of the report it is in, a key of `sections.HEADINGS`, or None before the first heading."""

    @property
    def tier(self) -> Tier:
        """The finding's relation to pneumonia."""
        return FINDINGS[self.finding][0]


MARKS = re.compile(r"[*`\"\u201c\u201d]+|(?<![^\W_])_+|_+(?![^\W_])")
"""Markdown marks and quotation marks around words, which are ignored: '_no_ pneumonia', '**Pneumonia:** No', '"no"'."""
WRITTEN = str.maketrans("_|}", " :;")
"""Replacements for marks within and between words: right_lower_lobe, | Pneumonia | No |, {"pneumonia": false}; a
closing brace ends a clause."""
_OPTION = "(?:yes|no|y|n|true|false|present|absent|uncertain)"
OPTIONS = re.compile(rf"\({_OPTION}(?:\s?(?:/|,|\bor\b)\s?{_OPTION}){{1,3}}\)", re.IGNORECASE)
"""Answer options repeated from a form: 'Pneumonia (yes/no): no'."""

PIECE = re.compile(r".{1,600}(?!\S)|\S{1,600}", re.DOTALL)
"""Longer sentences are read in pieces, so that text without full stops takes time linear in its length."""


ANSWER = re.compile(
    r"(?:(?:answer|a)\s*:)?[\s*-]*(?:(?P<present>yes)|(?P<absent>no|none)|(?P<uncertain>perhaps|possibly|maybe|uncertain))\b",
    re.IGNORECASE,
)
"""An answer that some models give after repeating the question."""


REQUEST = re.compile(
    r"[\s*#_]*(?:indication|request|query|reason for (?:the )?(?:exam\w*|study)|clinical (?:question|details))\b",
    re.IGNORECASE,
)
"""The beginning of a line that says why the image was requested."""
GENERAL = re.compile(
    r"[\s*#_-]*(?:please\b|\[\s?\]|(?:is|are) there\b"
    r"|(?:(?:an?|the|single|plain|chest) )*(?:x-?ray|radiograph|film|image)s? (?:alone|by (?:itself|themselves)) can"
    r"|(?:describe|assess|evaluate|say|state|explain|list|determine|provide|options|answer (?:the|in|with))\b"
    r"|(?:on|in) an? (?:chest )?(?:x-?ray|radiograph|film)s?, \w+ (?:typically|usually|often|commonly)\b"
    r"|(?:note: )?\w+ (?:would |can )?(?:typically|usually|often|commonly)"
    r" (?:presents?|appears?|shows?|manifests?|causes?)\b"
    r"|signs? to look for\b|only an? \w+ can\b"
    r"|in (?:patients|children|adults|infants|general)\b|(?:the )?treatment of\b|(?:doctors|physicians|clinicians)\b"
    r"|(?:typical|common|classic) (?:features|signs|findings|symptoms|causes) of\b"
    r"|\w+ is an? (?:common|serious|lung|type|form|condition|disease|infection|inflammat\w+)\b"
    r"|(?:an? )?(?:ultrasound|ct|mri|lateral (?:view|film))(?: scan)? (?:can|could|would|may|might|is|should)\b)",
    re.IGNORECASE,
)
"""The beginning of a sentence that repeats the prompt, or is about the disease in general and not this image."""

INTERPRETS = re.compile(
    r"[^.;]*\b(?:represent\w*|reflect\w*|suggest\w*|indicat\w*|(?:consistent|compatible) with|in keeping with"
    r"|(?:suspicious|concerning|worrisome|concern|suspicion) for|due to|caused by|(?:could|may|might) be|favou?r\w*"
    r"|characteristic of|typical of|likely)\b[^.;]*|[^.;,]*\b(?:with|contains) (?:an? |visible |some )?",
    re.IGNORECASE,
)
"""Text between a sign and the disease it is interpreted as; the disease is located where the sign is."""
BESIDE = re.compile(r"\b(?:parapneumonic|adjacent|associated|ipsilateral)\b", re.IGNORECASE)
"""Words for an effusion or collapse on the side of the preceding sign."""
LUNG = re.compile(r"[\W\d]*(?P<side>right|left) (?:lung|hemithorax|side)\s?(?=[*:-])", re.IGNORECASE)
"""The beginning of a sentence about one lung."""
WHERE = re.compile(r"\W*(?:\w+ly )?(?:in|at|on|within|over|behind)\b(?:\s+[\w-]+){1,5}\W*", re.IGNORECASE)
"""A clause that only gives a location."""
OPENS = re.compile(r"[\W\d]*(?:(?:any|focal|evidence of|signs? of|presence of)\s+){0,2}", re.IGNORECASE)
SAYS = re.compile(r"(?:\s+(?:status|present|findings?))?\s*:(?P<said>.*)", re.IGNORECASE | re.DOTALL)
"""Text before (OPENS) and after (SAYS) a finding that is the topic of its line: '- Evidence of consolidation: none'."""
DENIES = re.compile(
    r"\s*(?:there (?:is|are|was|were) )?(?:no|none|without)\b"
    r"(?! (?:\w+ )?(?:longer|larger|smaller|bigger|better|worse|doubt|new"
    r"|(?:chang|increas|decreas|progress|improv|worsen|resol|clear)\w*)\b)",
    re.IGNORECASE,
)
"""The beginning of a statement that negates the topic of its line, whether or not the topic is named again."""
TURNS = re.compile(r"\b(?:but|however|although|though|and|no|not|without)\b", re.IGNORECASE)


def read(text: str) -> list[Mention]:
    """Every mention in `text`, in order; a model's reasoning before its answer is ignored."""
    found: list[Mention] = []
    asked: list[Mention] = []
    at = 0
    spoken = answered(text)
    bare, places = _unmarked(spoken)
    for sentence in [piece for whole in sentences(bare) for piece in PIECE.findall(whole)]:
        at = bare.index(sentence, at)
        answer = ANSWER.match(sentence)
        if asked and answer:
            taken: Polarity = "present" if answer["present"] else "absent" if answer["absent"] else "uncertain"
            found[-len(asked) :] = [replace(mention, polarity=taken) for mention in asked]
        mentions = [replace(one, start=at + one.start, end=at + one.end) for one in _remembered(sentence)]
        found += mentions
        asked = mentions if sentence.endswith("?") else []
        at += len(sentence)
    parts = sections(spoken)
    there = (replace(one, start=places[one.start], end=places[one.end - 1] + 1) for one in found)
    whole = (replace(one, term=text[one.start : one.end]) for one in there)
    return [_in_part(mention, part_at(parts, mention.start)) for mention in whole]


def _unmarked(text: str) -> tuple[str, list[int]]:
    """The text without marks and answer options, and for each of its characters the position in `text`."""
    text = OPTIONS.sub(lambda found: " " * len(found[0]), text)
    kept: list[str] = []
    places: list[int] = []
    at = 0
    for start, end in [*(mark.span() for mark in MARKS.finditer(text)), (len(text), len(text))]:
        kept.append(text[at:start])
        places += range(at, start)
        at = end
    return "".join(kept).translate(WRITTEN), places


def _in_part(mention: Mention, part: str | None) -> Mention:
    """The mention with its section. A mention in the request becomes hypothetical, a present one in the comparison
    historical."""
    polarity = mention.polarity
    if part == "request" and polarity != "historical":
        polarity = "hypothetical"
    if part == "comparison" and polarity == "present":
        polarity = "historical"
    return replace(mention, section=part, polarity=polarity)


@lru_cache(maxsize=4096)
def _remembered(sentence: str) -> tuple[Mention, ...]:
    """The mentions of one sentence, with positions relative to its start; cached because reports repeat sentences."""
    return tuple(_sentence(sentence))


def _sentence(sentence: str) -> Iterator[Mention]:
    """The mentions of one sentence; all hypothetical if it is a question, a request or a general statement."""
    asked = sentence.endswith("?") or REQUEST.match(sentence) is not None or GENERAL.match(sentence) is not None
    lung = LUNG.match(sentence)
    found: list[Mention] = []
    start = 0
    for stop in [*stops(sentence), None]:
        end = len(sentence) if stop is None else stop.start()
        clause = sentence[start:end]
        for mention in _clause(clause, start, asked=asked):
            placed = _where_the_sign_is(mention, found[-1], sentence) if found else mention
            found.append(replace(placed, side=lung["side"].lower()) if lung and not placed.side else placed)
        if found and not (found[-1].side or found[-1].zone) and WHERE.fullmatch(clause) and not TERM.search(clause):
            last = found[-1]
            sides, zones = _placed(clause, [(0, 0)], SIDE), _placed(clause, [(0, 0)], ZONE)
            found[-1] = replace(last, side=next(iter(sides[0]), None), zone=next(iter(zones[0]), None))
        start = end if stop is None else stop.end()
    yield from _without_topic(found, sentence)


def _without_topic(found: list[Mention], sentence: str) -> list[Mention]:
    """The mentions, with the first one adjusted if it is the topic of its line: absent if what follows begins with a
    negation or only says that all is normal, hypothetical if what follows names it again."""
    if not found or found[0].polarity != "present" or not OPENS.fullmatch(sentence, 0, found[0].start):
        return found
    first, *rest = found
    says = SAYS.match(sentence, first.end)
    if says is None:
        return found
    if any(other.finding == first.finding and other.polarity != "hypothetical" for other in rest):
        return [replace(first, polarity="hypothetical"), *rest]
    beside = any(other.tier == "other" or other.finding == "air_bronchogram" for other in rest)
    denied = DENIES.match(says["said"]) and not beside
    well = rest and all((other.tier, other.polarity) == ("normality", "present") for other in rest)
    return [replace(first, polarity="absent"), *rest] if denied or well else found


def _where_the_sign_is(mention: Mention, sign: Mention, sentence: str) -> Mention:
    """The mention with the location of the preceding sign, if it has none and the sentence interprets that sign as
    it."""
    if mention.side or mention.zone or not (sign.side or sign.zone) or sign.polarity == "absent":
        return mention
    between = sentence[sign.end : mention.start]
    if mention.tier == "other" and BESIDE.search(between + mention.term) and not TURNS.search(between):
        return replace(mention, side=sign.side)
    part_of_it = mention.finding == "air_bronchogram" or mention.tier in ("diagnosis", "sign")
    if not part_of_it or TURNS.search(between) or not INTERPRETS.fullmatch(between):
        return mention
    return replace(mention, side=sign.side, zone=sign.zone)


def _clause(clause: str, offset: int, *, asked: bool) -> Iterator[Mention]:
    """The mentions of one clause, each with its polarity from the clause's triggers."""
    terms = list(TERM.finditer(clause))
    spans = [term.span() for term in terms]
    governing = triggers(clause)
    sides, zones = _placed(clause, spans, SIDE), _placed(clause, spans, ZONE)
    for index, term in enumerate(terms):
        taken: Polarity = "hypothetical" if asked else polarity(clause, spans, index, governing)
        side = "bilateral" if len(sides[index]) > 1 else next(iter(sides[index]), None)
        zone = next(iter(zones[index]), None)
        yield Mention(str(term.lastgroup), term[0], taken, side, zone, offset + term.start(), offset + term.end())


def _words(table: dict[str, str]) -> re.Pattern[str]:
    return re.compile(
        "|".join(rf"(?P<{name}>(?<!\w)(?:{words})(?!\w))" for name, words in table.items()), re.IGNORECASE
    )


SIDE, ZONE = _words(SIDES), _words(ZONES)


APART = re.compile(r"\b(?:with|without|no|none)\b", re.IGNORECASE)
SUBJECT = re.compile(r"\b(?:shows?|demonstrates?|contains?|has|have)\b", re.IGNORECASE)
"""Between a location and a list of findings: the location applies to all of them."""
FAR = 1000


def _gap(clause: str, span: tuple[int, int], word: tuple[int, int]) -> int:
    """Characters between a term and a location word, with a penalty if the text between changes the subject."""
    first, second = sorted((span, word))
    between = clause[first[1] : second[0]]
    turned = APART.search(between)
    return len(between) + (0 if turned is None else FAR if turned[0].lower() == "none" else 100)


def _placed(clause: str, spans: Sequence[tuple[int, int]], words: re.Pattern[str]) -> list[dict[str, None]]:
    """For each term its locations in the clause, in order (a dict as an ordered set): each location word belongs to the
    nearest term, and one after a list of terms to the whole list."""
    places: list[dict[str, None]] = [{} for _ in spans]
    for word in words.finditer(clause):
        if not spans:
            break
        gaps = [_gap(clause, span, word.span()) for span in spans]
        if min(gaps) >= FAR:
            continue
        index = min(range(len(spans)), key=lambda i: (gaps[i], -i))
        places[index][str(word.lastgroup)] = None
        after, last = word.start() >= spans[index][1], index
        while after and index and LINK.fullmatch(clause, spans[index - 1][1], spans[index][0]):
            index -= 1
            places[index].setdefault(str(word.lastgroup))
        if after or not SUBJECT.search(clause, word.end(), spans[last][0]):
            continue
        while last + 1 < len(spans) and LINK.fullmatch(clause, spans[last][1], spans[last + 1][0]):
            last += 1
            places[last].setdefault(str(word.lastgroup))
    return places
