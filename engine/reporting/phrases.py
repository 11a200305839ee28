"""Phrases that deny, hedge, date or affirm a finding, and what they do to those after and before them.

To add a phrase: one entry here. How far a phrase reaches and which of several wins is in `context`.
"""

from typing import Literal

Polarity = Literal["present", "absent", "uncertain", "historical", "hypothetical"]

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
