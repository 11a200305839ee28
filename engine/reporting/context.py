"""The polarity of a finding from its context: trigger phrases, their scope, and which of them wins.

After NegEx (Chapman et al. 2001, J Biomed Inform 34:301) and ConText (Harkema et al. 2009, J Biomed Inform 42:839): a
trigger governs the terms after or before it, up to the end of the clause; the longest trigger wins, so that 'cannot
exclude' is not read as 'exclude' and 'no increase in' negates nothing. To add a phrase: one entry here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Polarity = Literal["present", "absent", "uncertain", "historical", "hypothetical"]

PRECEDENCE: tuple[Polarity, ...] = ("hypothetical", "uncertain", "absent", "present", "historical")
"""Priority, highest first, if several triggers govern one term: in 'the old effusion persists' it is present."""

_CANNOT = r"(?:cannot|can not|can't|could not)"
_UNABLE = rf"(?:{_CANNOT}|(?:am |is |are )?(?:unable|not able) to|do not|not possible to)"
_EXCLUDE = r"(?:exclude|rule out|rule(?= [^.,;]{1,60} out\b))"
_EXCLUDED = r"(?:excluded|ruled out|dismissed)"
_IS = r"(?:is|are|was|were|seems?|appears?|looks?|remains?|be|been)"
_SEEN = (
    r"(?:seen|present|identified|evident|visible|visuali[sz]ed|detected|demonstrated|noted|appreciated|apparent"
    r"|found)"
)
_THAN = r"(?:compared (?:with|to)|since|from|than|unlike|relative to|as on|comparison (?:with|to))"
_EARLIER = r"(?:previous|previously|prior|earlier|old|former|past)"
_STUDY = r"(?:study|films?|radiographs?|examination|exam|images?|x-?rays?|comparison)"
_LOW = r"(?:low|small|minimal|remote|slim|negligible|weak|slight|little)"
_MIDDLING = r"(?:moderate|intermediate|uncertain|unclear)"
_HIGH = r"(?:high|strong|great|considerable)"
_GRADE = rf"(?:{_LOW}|{_MIDDLING}|{_HIGH})"
_CHANCE = r"(?:suspicion|concern|probability|likelihood|chance|possibility|odds|risk)"
_OF = r"(?:of|for|that|in)(?: an?)?(?: diagnosis of)?"
_KIND = r"(?:(?:clinical|radiographic|radiological?|diagnostic|overall|(?:index|degree|level) of|but non-?zero)\s+)*"
_SCANT = r"(?:insufficient|inadequate|scant|sparse|weak|lacking|limited(?! to\b)|(?:un|not )convincing)"
_EVIDENCE = r"(?:evidence|support|proof|suggestion|indication|basis)"
_TO = r"(?:of|for|to (?!exclude|rule)\w+)(?: an?)?(?: diagnosis of| that)?"


def _said(word: str) -> str:
    """`word` as a predicate of what comes before: after a verb or at the end of a clause, not in 'with possible
    effusion'."""
    return rf"{_IS}(?: (?!not\b)\w+)? {word}|(?:very |highly |rather )?{word}(?=\s*(?:[.,;:()]|$|\bon\b|\bin\b|\bat\b))"


def _graded(chance: str, grade: str) -> str:
    """`chance` of what follows, with a grade before or after it: 'low suspicion of ...', 'the odds of ... are low'."""
    return rf"{grade} {_KIND}{chance} {_OF}|{chance} {_OF}(?={_later(grade)})"


def _later(words: str) -> str:
    """`words` later in the same clause, for a lookahead."""
    return rf" [^.,;:]{{1,80}}?(?: {_IS} (?:(?!not )\w+ ){{0,2}}| as (?:very )?|: (?:very )?){words}\b"


AHEAD: dict[Polarity, tuple[str, ...]] = {
    "absent": (
        r"no(?!,)", "(?:is|are|was|were|does|do|did|has|have|had|would)?not", "without", "neither", "nor", "never",
        "nothing", "nil", "denies", "rather than", "against",
        r"free (?:of|from)", "clear of", "instead of", r"lack(?:s|ing)?",
        r"failure to (?:show|demonstrate|identify|reveal)",
        r"(?:cannot|can not|can't|could not|do not|did not|unable to|not able to) "
        r"(?:\w+ly )?(?:see|find|identify|detect|appreciate|discern|make out)",
        "neg(?:ative)? for", "absence of", "lack of", "rul(?:es|ed|ing) out", "excludes?",
        "excluding", "wrong to (?:say|state) that", "far from", "anything but", "mimics?", "mimicking", "simulating",
        r"(?:does|do|did) not (?:show|suggest|support|represent)", r"fails? to show", "no history of",
        "(?:very |highly |seems? |appears? )?unlikely(?: to be| that)?", "less likely", "probably not",
        rf"(?:{_IS} )?(?:\w+ )?unlikely to (?:be (?:due to|caused by)|represent|reflect|indicate|signify|suggest|show)",
        r"(?:seems|appears|is) unlikely that (?:the|this|these) [^,;.]{1,60}? (?:represents?|reflects?)",
        rf"(?:{_IS} )?not (?:\w+ )?(?:likely|probable) that", rf"{_IS} (?:\w+ )?improbable that", "improbable",
        "(?:probably|presumably|likely) (?:does|do|did|is|are) not", "would not (?:diagnose|call)",
        rf"{_IS} (?:\w+ )?unlikely(?= (?:pneumonia|consolidation|infecti))", "none of",
        r"least likely(?: \w+)? (?:is|would be|includes?)",
        r"^[\W\d]*(?:(?:less|least) likely|unlikely|not favou?red|excluded|ruled out):",
        r"more (?:likely|probable|in keeping with|consistent with|compatible with|suggestive of|typical of|like)"
        r"(?: [^,;.]{1,60}?)? than(?: of| with)?", r"better explained by [^,;.]{1,60}? than(?: by)?",
        "(?:inconsistent|incompatible|at odds|out of keeping) with", "contradicts?(?: a diagnosis of)?",
        "(?:I|we) doubt(?: that)?", "devoid of", "falls? short of", "(?:hardly|scarcely|barely) any",
        _graded(_CHANCE, _LOW), rf"{_CHANCE} {_OF}(?={_later(rf'not (?:very )?{_HIGH}')})",
        rf"(?:reduces?|lowers?|decreases?|diminish(?:es)?) the {_CHANCE} (?:of|for|that)",
        rf"(?:little|minimal|not enough|not sufficient|no convincing|{_SCANT}) {_KIND}{_EVIDENCE} {_TO}",
        rf"(?:insufficient|not sufficient|not enough)(?: (?:findings|features|signs))? {_TO}",
        rf"(?:{_EVIDENCE} (?:of|for|that)|case for)(?={_later(_SCANT)})", "little to (?:suggest|support|indicate)",
        r"no (?:radiographic |definite |convincing )?(?:evidence|signs?|suggestion|indication) (?:of|for)",
        r"no findings? to (?:support|suggest)(?: a diagnosis of)?", r"not (?:consistent with|suggestive of|due to)",
        r"over(?= (?:pneumonia|atelectasis|consolidation|infecti\w+|infiltrates?)\b)",
    ),
    "uncertain": (
        "possibl[ey]", "probabl[ey]", "presumed", "presumably", "suspected", "suspicious (?:for|of)",
        rf"suspicion (?:of|for)(?!{_later(_GRADE)})",
        "(?:may|might) not (?:be|represent|reflect|indicate)", "may (?:be|represent|reflect|indicate)", "may have",
        "might", "could", "maybe", "perhaps", "potential(?:ly)?",
        rf"{_CANNOT} (?:\w+ly )?{_EXCLUDE}", rf"(?:(?:does|do) )?not {_EXCLUDE}",
        rf"(?:difficult|hard|impossible|no way) to {_EXCLUDE}", "worrisome for", "worry for",
        rf"{_CANNOT} (?:\w+ly )?(?:confirm|establish)",
        "unable to (?:exclude|rule out)",
        r"(?:neither|not) (?:confirm|establish) n?or (?:exclude|rule out)", r"\?(?=\s?\w)",
        "question of", "suggestion of", "questionable", "equivocal", "indeterminate", "uncertain(?: whether)?",
        rf"(?:{_IS} )?(?:equivocal|indeterminate|inconclusive|non-?specific"
        r"|not (?:diagnostic|specific|definitive|conclusive)) (?:for|of)",
        _graded(_CHANCE, _MIDDLING), _graded("confidence", _LOW),
        "not possible to (?:say|state|tell|exclude)(?: that)?(?: there is no)?", "(?:is )?(?:possible|probable) that",
        rf"possibility (?:of|that)(?!{_later(_LOW)})", "(?:does|do) not mean(?: that)?",
        rf"{_CANNOT} (?:say|tell|determine|be certain)(?: for (?:certain|sure))?(?: whether| if)?",
        "unclear (?:whether|if)", r"too \w+ to (?:tell|say|judge|see)(?: whether| if)?",
        r"(?:difficult|hard|impossible) to (?:say|tell|know|determine)(?: whether| if)?",
        r"(?:difficult|hard|impossible) to (?:say|tell|know|determine) (?:whether|if) (?:the|this|these) [^,;.]{1,60}?"
        r"\b(?:represents?|reflects?)",
        r"(?:possible|potential) (?:causes?|diagnos[ei]s|explanations?)(?: [\w ]{0,40})?:",
        "undecided", "concerning for",
        rf"concern (?:for|about|of)(?!{_later(_LOW)})", rf"(?:increases?|raises?) the {_CHANCE} (?:of|for|that)",
        rf"(?:insufficient|not sufficient|not enough)(?: evidence)? to {_EXCLUDE}",
        "versus", r"vs\.?", "whether there is", "consider(?:ing)?",
        r"differential (?:includes|would include|diagnosis includes)",
        r"not (?:convinced|sure|certain) (?:that )?there is no",
        rf"(?:{_CANNOT}|would not) (?:say|state|claim)(?: \w+){{0,2}} (?:that )?there is no", "doubtful",
    ),
    "historical": (
        r"(?:past |previous |prior )?(?:medical )?(?:history|hx) of", _EARLIER,
        r"(?:previously|formerly) (?:seen|noted|described|known)",
        "known previous", "status post", r"s/p", "had", "healed", "resolved", "recent(?:ly)? resolved", "treated for",
        r"(?:interval |complete )*(?:resolution|clearing|clearance) of", "no longer (?:any|an?)",
        rf"in (?:the|an) {_EARLIER} {_STUDY}(?: there was)?",
    ),
    "hypothetical": (
        r"(?:please )?(?:check|look|look there|looked|evaluate|assess|evaluation|assessment|screening?) for",
        "(?:tests?|testing) for",
        r"(?:assess|evaluate|examine|review|inspect|check) [^,;.]{1,40}? for", "asked (?:whether|if|about|for)",
        r"(?:sensitive|specific|useful|helpful|better|needed|required) for",
        r"helps?(?: to)? (?:detect|identify|find|show|confirm|exclude)",
        r"(?:definitive|firm|final|formal|confident|clinical|definite) diagnosis of", "diagnos(?:e|es|ing)",
        rf"{_UNABLE} (?:provide|give|offer|make|render) (?:an? )?(?:\w+ )?(?:diagnosis|interpretation|opinion)"
        r" (?:of|on)",
        rf"{_UNABLE} (?:interpret|analy[sz]e|read|examine) [^,;:]{{1,80}}? for",
        rf"^\W*clinical (?:concern|suspicion) (?:for|of)(?!{_later(_GRADE)})",
        "to (?:exclude|rule out|confirm|refute)(?: or (?:exclude|rule out|confirm|refute))?",
        "please (?:exclude|rule out)", "query", "rule out", "r/o",
        "(?:ensure|document|confirm|verify|establish|monitor) (?:\\w+ )?(?:resolution|clearing|clearance) of",
        "(?:determine|decide|assess|know|see|tell) (?:whether|if)", "if",
        rf"(?:probability|likelihood|chance|odds) of(?!{_later(rf'(?:not (?:very )?)?{_GRADE}')})",
        rf"risk of(?!{_later(_LOW)})",
        "(?:conditions?|diseases?|findings) such as", rf"{_UNABLE} (?:comment on|assess|evaluate|judge)",
        r"other causes of", r"(?:known )?causes? of", "tell",
        rf"signs? of(?= \w+ (?:include|are)\b(?! (?:\w+ )?(?:not|absent|lacking|{_SEEN})\b))",
        "correlation for", "to ensure(?: that)?(?: there is)?(?: no)?", "only .{1,20} can (?:confirm|exclude|diagnose)",
        "(?:confirm|exclude) or (?:confirm|exclude|refute)",
        "supporting", "in case of", "should", r"to assess (?:for )?", "indication:", "clinical question:",
    ),
    "present": (
        r"(?:not true|not the case|wrong to (?:say|state)) that (?:there is )?no", "no reason to doubt",
        "no absence of", "not without", "positive for",
        r"(?:cannot|can not|can't) be denied(?: that)?",
        r"no (?:(?:significant|interval|appreciable|relevant) )*(?:change|increase|decrease|reduction|improvement) in"
        r"(?! (?:the )?(?:interstitial|bronchovascular) markings)",
        r"no (?:\w+ )?(?:progression|worsening|resolution|clearing) of",
        r"not (?:\w+ly |quite )?(?:free|clear) (?:of|from)",
        r"(?:cannot|can not|can't) be (?:said|stated|called|considered) (?:to be )?(?:free|clear) (?:of|from)",
        r"(?:incomplete|partial|slow|gradual|near(?:ly)?[- ]complete|almost complete) (?:interval )?"
        r"(?:resolution|clearing|resorption) of",
        _graded("(?:suspicion|probability|likelihood|chance|odds)", _HIGH), "more likely than not(?: that)?",
        "no doubt", "not only", "without (?:interval )?change(?: in)?", "without (?:any )?doubt", "not necessarily",
        "no larger", "no smaller", "no longer(?= than)", r"partial(?:ly)? (?:resolution|clearing|resolved)(?: of)?",
        r"(?:viral|bacterial) rather than(?= (?:viral|bacterial))",
        rf"{_THAN} (?:the |an? )?(?:{_EARLIER}|last) {_STUDY}",
    ),
}  # fmt: skip
"""Triggers that govern what follows. Those of `present` are pseudo-triggers: they only look like triggers."""

BEHIND: dict[Polarity, tuple[str, ...]] = {
    "absent": (
        _said("unlikely"), _said("less likely"), _said("less probable"), _said("the least likely"), _said("improbable"),
        _said("disfavou?red"), _said("absent"), _said(_EXCLUDED),
        _said(r"not (?:\w+ )?(?:likely|probable|suspected|favou?red|expected|indicated)"),
        rf"(?:(?<=[:=-]\s)|(?<==))(?:no|none|negative|nil|absent|false|0(?:\.0+)?(?![.\d]))(?: {_SEEN})?"
        r"(?=\s*(?:[.,;:]|$))",
        rf"(?:{_IS} )?not (?:\w+ly |well )?(?:{_SEEN}|supported|suggested)", rf"(?:has|have) not been {_SEEN}",
        rf"(?:has|have) been {_EXCLUDED}", rf"{_CANNOT} be (?:\w+ly )?{_SEEN}",
        r"(?:is|are|was|were) not(?=\s*(?:[.;]|$))",
        rf"(?:does|do|did) not (?:appear|seem|look)(?: to be)? (?:\w+ )?(?:likely|probable|{_SEEN})",
        r"(?:is|are|was|were) not (?:the|an?) (?!only|sole)(?:\w+ ){0,2}"
        r"(?:diagnosis|consideration|concern|possibility|explanation|finding|feature)",
        "an? (?:unlikely|improbable) (?:diagnosis|explanation|cause|consideration|possibility)",
        "(?:does|do) not (?:need to|have to) be considered",
        rf"(?:(?:has|have|carries) an? )?(?:very )?{_LOW} {_CHANCE}(?! (?:of|for|that))",
        rf"{_CHANCE}: (?:very )?{_LOW}",
        "(?:is|remains|ranks) (?:very )?(?:low|lower|at the bottom) (?:on|in|of) the (?:list|differential)",
        "(?:has|have) not (?:developed|appeared|occurred)", rf"{_IS} nowhere {_SEEN}",
    ),
    "uncertain": (
        _said("possible"), _said("probable"), "(?:is|remains) a (?:possibility|consideration)", _said("questionable"),
        "(?:is|are|remains?|stays?) (?:in|on) the differential", r"neither confirmed nor (?:excluded|ruled out)",
        rf"(?:(?:has|have|carries) an? )?{_MIDDLING} {_CHANCE}(?! (?:of|for|that))", rf"{_CHANCE}: {_MIDDLING}",
        "(?:is|remains|ranks) (?:very )?(?:high|higher|at the top) (?:on|in|of) the (?:list|differential)",
        rf"(?:has|have) not been (?:\w+ly )?{_EXCLUDED}",
        _said("uncertain"), _said("doubtful"), _said("equivocal"),
        _said("unclear"),
        rf"(?<=[:=-]\s)(?:{_CANNOT} {_EXCLUDE}|not {_EXCLUDED})",
        _said("suspected"), r"(?:must|should|may) (?:\w+ )?be considered", "(?:must|should) be (?:excluded|ruled out)",
        "(?:difficult|hard|impossible) to (?:exclude|rule out)", _said("not certain"),
        rf"(?:{_IS} )?not (?:\w+ly )?{_EXCLUDED}",
        rf"(?:{_CANNOT}|not) be (?:\w+ly )?(?:{_EXCLUDED}|assured|confirmed|diagnosed)", rf"may be {_SEEN}",
        "versus", r"vs\.?",
        r"(?:could|may|might|can|would)(?: \w+)? (?:give|cause|explain|account for|produce|look like|be responsible)",
    ),
    "historical": (
        r"(?:has|have|had) (?:\w+ly |since |now |all )*(?:resolved|cleared|disappeared|closed|healed|gone)",
        rf"{_IS} no longer {_SEEN}",
        r"\w+ (?:years?|months?|weeks?) ago", r"last (?:year|winter|summer|spring|autumn|month|week)", "in the past",
        r"(?:(?:completely|fully|now) )*resolved(?=\s*(?:[.,;]|$))",
        "(?:previously|formerly) (?:seen|noted|described|known|reported)",
    ),
    "hypothetical": (
        _said("not (?:assessed|evaluated|looked for)"), rf"{_CANNOT} be (?:assessed|evaluated|judged)",
        "not be (?:assessed|evaluated|judged)", r"(?:can|could|may) be missed",
        rf"{_CANNOT} be told apart", "develops?",
        rf"(?<=\w\s)(?<!with\s)(?<!\ba\s)(?:{_CHANCE}|confidence)(?: score| level)?\s?[:=]\s?\d[\d.]*",
        r"(?<=[:=-]\s)(?:[0-4]?\d(?:\.\d+)?\s?%|0?\.[0-4]\d*(?!\w))",
    ),
    "present": (
        "persists?", "persisting", "unchanged", rf"{_IS} (?:not absent|stable)",
        f"still {_SEEN}", r"(?:has|have) not (?:changed|resolved|cleared)",
        "partially resolved",
    ),
}  # fmt: skip
"""Triggers that govern what precedes."""

NEAR = re.compile(r"versus|vs\.?", re.IGNORECASE)
"""Triggers that govern only the nearest term."""
BARE = re.compile(
    r"(?:very |highly |rather )?(?:possible|probable|questionable|uncertain|doubtful|equivocal|unclear|suspected|absent"
    r"|(?:un|less |not )likely|(?:im|less |not )probable|(?:(?:completely|fully|now) )*resolved)",
    re.IGNORECASE,
)
"""Triggers that, without a verb, govern only the nearest preceding term and those listed with it."""
LINK = re.compile(r"(?:[\s,/]|\b(?:or|and|nor|versus|vs\.?|focal|pleural|any|early|small|\w+ly)\b)*", re.IGNORECASE)
"""What may stand between the members of a list of findings."""

_VERB = r"is|are|was|were|appears?|shows?|looks|(?<!all )(?<!can )look|seems?|remains?"
STOP = re.compile(
    "|".join(
        (
            r"[;]|(?<!\d)\)",
            r"\((?!\w+\))(?!\s*(?:very |most )?(?:possible|(?:less |un)?likely|doubtful|(?:im)?probable"
            r"|not favou?red|low|moderate|high|right|left)\b)",
            r"\bdespite\b", r",\s*(?=with\b)", r",\s*so\b",
            rf",?\s*\band\b(?=\s+(?:the|there|this|these|today's|both|an?)\b[^,;.]*?\b(?:{_VERB})\b)",
            r",?\s*\band\b(?=\s+an?\s+(?:new|large|small|focal|patchy|dense|subtle|mild|moderate|right|left)\b)",
            r"\bbut\b(?!\s+(?:(?:is|are|was|were) not|non-?zero)\b)", r"\bhowever\b", r"\balthough\b", r"\bthough\b",
            r"\bexcept\b",
            r"\bapart from\b", r"\bother than\b(?=\s+(?:an?|the|mild|minor|small|old|some)\b)", r"\byet\b",
            r"\bwhich\b(?!\s+(?:has|have) (?:\w+ ){0,2}(?:resolved|cleared|disappeared|healed)\b)",
            r"\bwhile\b", r"\bwhereas\b", r"\bsecondary to\b",
            r"\bsince\b(?=[^.]*,)",
            r"(?<!not )(?<!be )\bdue to\b",
            r"(?<!nothing )\b(?=(?:suggests|suggesting|indicates|favou?rs|argues against)\b)",
            r",(?!\s*(?:or|nor|and|which)\b)(?![^,;]*\b(?:or|nor)\b[^,;]*\b(?:is|are|was|were)\b)"
            rf"(?=[^,;]*\b(?:{_VERB}|there|has|have|seen|noted|in the|at the|within the|no|now)\b)",
            r",(?=\s*(?:an? )?(?:trace|tiny|small|mild|minimal|slight|subtle|patchy)\b[^,;]*$)(?![^,;]*\b(?:or|nor)\b)",
            r",(?=\s*(?:clear|normal|unremarkable|healthy)\b)", r",?\s*\bbecause\b(?: of)?", r",\s*(?=since\b)",
        )
    ),
    re.IGNORECASE,
)  # fmt: skip
"""Where a trigger's scope ends; a comma ends it only if a new clause follows, not within a list."""

DENIED = re.compile(r"\b(?:no|nothing|neither|without)\b(?:(?!\b(?:but|and|is|are|was|were)\b)[^,:;])*", re.IGNORECASE)
INTERPRETED = re.compile(r"\s*(?:which\s+)?(?:suggests|suggesting|indicates|indicating|favou?rs)\b", re.IGNORECASE)


def stops(sentence: str) -> list[re.Match[str]]:
    """Where scopes end in the sentence: at each STOP, unless a negated sign is interpreted there, which negates what it
    is interpreted as ('no opacity suggesting pneumonia')."""
    kept: list[re.Match[str]] = []
    for stop in STOP.finditer(sentence):
        clause = sentence[kept[-1].end() if kept else 0 : stop.start()]
        denial = DENIED.search(clause)
        if not (INTERPRETED.match(sentence, stop.start()) and denial and denial.end() == len(clause)):
            kept.append(stop)
    return kept


BARRIER = re.compile(
    r"\b(?:is|are|was|were|seen|noted|present|persists?)\b.*(?:,|\band\b)"
    r"|\b(?:seen|visible|noted|identified)\s+(?:within|in|through|behind|beneath|adjacent to|overlying)\s+the\b",
    re.IGNORECASE,
)
"""Text between a trigger and a term which shows that the trigger's statement is complete and another has begun."""

TAKEN_FOR = re.compile(
    r"(?:concerning|suspicious|worrisome) for|(?:suspicion|concern|suggestion) (?:for|of|about)", re.IGNORECASE
)
DENIAL = re.compile(r"\w*not?|nothing|without|neither|nor|never", re.IGNORECASE)
"""Negating a sign also negates what it is interpreted as: 'no opacity suspicious for pneumonia' negates both."""
LISTING = re.compile(r"[,:]|\band\b", re.IGNORECASE)

STACKED_WORDS = 3
"""A trigger at most this many words after another combines with it; one further on replaces it."""


@dataclass(frozen=True)
class Trigger:
    """A trigger phrase in a clause. start, end: its span. ahead, behind: the polarity it gives to terms after and
    before it, None if it does not govern them. near: whether it governs only the nearest term."""

    start: int
    end: int
    ahead: Polarity | None
    behind: Polarity | None
    near: bool


CONTRACTED = re.compile(r"\b(is|are|was|were|does|do|did|has|have|had|would|should|could)n't\b", re.IGNORECASE)
SPACE_BEFORE_NOT = re.compile(r" (?=(?:\)\??)?not\b)")
"""Where a phrase may be contracted: 'is not' also matches 'isnot', which replaces "isn't" at the same length."""


def _compiled(table: dict[Polarity, tuple[str, ...]]) -> list[tuple[Polarity, re.Pattern[str]]]:
    return [
        (polarity, re.compile(rf"(?<![\w-])(?:{phrase})(?:(?<=\?)|(?!\w))", re.IGNORECASE))
        for polarity, phrases in table.items()
        for phrase in (SPACE_BEFORE_NOT.sub(r"\\s*", phrase).replace(" ", r"\s+") for phrase in phrases)
    ]


_AHEAD, _BEHIND = _compiled(AHEAD), _compiled(BEHIND)
EXPLETIVE = re.compile(
    r"\W*(?:there|this|that|it|these|those|the (?:\w+ )?(?:diagnosis|impression|answer|conclusion))\s+", re.IGNORECASE
)
"""A subject whose finding follows the verb: in 'there is possible pneumonia' the hedge governs what is ahead of it."""


def triggers(clause: str) -> list[Trigger]:
    """The clause's triggers in order; of overlapping ones the longest."""
    clause = CONTRACTED.sub(r"\1not", clause.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    ahead = {match.span(): polarity for polarity, pattern in _AHEAD for match in pattern.finditer(clause)}
    behind = {match.span(): polarity for polarity, pattern in _BEHIND for match in pattern.finditer(clause)}
    kept: list[Trigger] = []
    taken = bytearray(len(clause))
    for start, end in sorted({*ahead, *behind}, key=lambda span: (span[0] - span[1], span)):
        if not any(taken[start:end]):
            taken[start:end] = b"x" * (end - start)
            near = NEAR.fullmatch(clause, start, end) is not None
            given = ahead.get((start, end))
            if given is None and EXPLETIVE.fullmatch(clause, 0, start):
                given = next((polarity for (at, to), polarity in ahead.items() if start < at and to == end), None)
            kept.append(Trigger(start, end, given, behind.get((start, end)), near))
    return sorted(kept, key=lambda trigger: trigger.start)


def polarity(clause: str, spans: Sequence[tuple[int, int]], index: int, found: Sequence[Trigger]) -> Polarity:
    """The polarity of the term at spans[index]; present if no trigger governs it.

    spans: (start, end) of all terms in the clause, in order. found: the clause's triggers, see `triggers`.
    """
    start, end = spans[index]
    governing = {trigger.ahead for trigger in found if start <= trigger.start and trigger.end <= end}
    governing |= set(_governing_ahead(clause, spans, index, found))
    for trigger in found:
        if trigger.start < end or trigger.behind is None:
            continue
        others = any(end <= other < trigger.start for other, _ in spans)
        between = clause[end : trigger.start]
        if BARRIER.search(between) or (
            others and (":" in between or "," in between) and not _listed(clause, spans, index, trigger.start)
        ):
            break
        if trigger.near and others:
            continue
        if BARE.fullmatch(clause, trigger.start, trigger.end) and not _listed(clause, spans, index, trigger.start):
            continue
        governing.add(trigger.behind)
    return next((name for name in PRECEDENCE if name in governing), "present")


def _listed(clause: str, spans: Sequence[tuple[int, int]], index: int, until: int) -> bool:
    """Whether the term and the terms after it, up to `until`, form a list, with only links between them."""
    row = [span for span in spans[index:] if span[0] < until]
    return all(LINK.fullmatch(clause, one[1], other[0]) for one, other in pairwise(row))


def _governing_ahead(
    clause: str, spans: Sequence[tuple[int, int]], index: int, found: Sequence[Trigger]
) -> Iterator[Polarity]:
    """The polarities from the nearest trigger before the term, and from those directly before that trigger."""
    edge = spans[index][0]
    nearest = True
    before = [one for one in found if one.end <= edge and one.ahead is not None]
    while len(before) > 1 and _handed_on(clause, *before[-2:]):
        before.pop()
    for trigger in reversed(before):
        between = clause[trigger.end : edge]
        passed = any(trigger.end <= other < edge for other, _ in spans)
        if nearest and (":" in between or BARRIER.search(between) or (trigger.near and passed)):
            return
        if not nearest and (passed or "," in between or len(between.split()) > STACKED_WORDS):
            return
        if trigger.ahead is not None:
            yield trigger.ahead
        edge, nearest = trigger.start, False


def _handed_on(clause: str, denial: Trigger, trigger: Trigger) -> bool:
    """Whether `denial` extends over `trigger` to what the negated sign is interpreted as; see DENIAL."""
    pair = (DENIAL, denial), (TAKEN_FOR, trigger)
    between = clause[denial.end : trigger.start]
    words = all(pattern.fullmatch(clause, one.start, one.end) for pattern, one in pair)
    return words and not (LISTING.search(between) or BARRIER.search(between))
