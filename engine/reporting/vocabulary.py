"""The findings that reports are read for, and the words that name them."""

import re
from typing import Literal

Tier = Literal["diagnosis", "sign", "other", "abnormality", "normality"]

VERDICTS = "|".join(
    f"(?<={word}{mark})"
    for word in (
        *("verdict", "impression", "conclusion", "diagnosis", "classification", "answer", "label", "prediction"),
        *("result", "assessment", "summary", "overall"),
    )
    for mark in (": ", " is ", " is: ")
)
"""Lookbehinds for the text directly before a one-word verdict."""

FINDINGS: dict[str, tuple[Tier, str]] = {
    "pneumonia": (
        "diagnosis",
        r"(?:broncho)?pneumonias?|pneumonic|(?:lung |pulmonary |chest )?infections?"
        r"|(?<!non-)infecti(?:ve|ous)(?: process)?|LRTI|PNA",
    ),
    "consolidation": ("sign", r"consolidat(?:ions?|ed|ive)"),
    "infiltrate": ("sign", r"infiltrat(?:es?|ions?)"),
    "air_bronchogram": ("sign", r"air[- ]bronchograms?"),
    "opacity": (
        "sign",
        r"opacit(?:y|ies)|opacification|opacified|white-?out|shadowing"
        r"|air-?\s?space (?:disease|shadowing)|increased (?:density|whiteness)",
    ),
    "interstitial": (
        "other",
        r"(?:interstitial|reticular|reticulonodular) (?:markings?|changes?|patterns?|thickening|prominence|shadowing)",
    ),
    "bronchial_thickening": (
        "other",
        r"(?:peribronchial|bronchial(?: wall)?) (?:wall )?(?:thickening|cuffing)"
        r"|thickened (?:bronchial walls?|airways?)",
    ),
    "effusion": (
        "other",
        r"(?:pleural |parapneumonic )?effusions?|(?:free )?pleural fluid|fluid around the (?:\w+ )?lungs?|ha?emothorax"
        r"|fluid (?:(?:is|was|seen|noted|visible) ){0,2}"
        r"in the (?:\w+ )?(?:pleural space|minor fissure|major fissure|costophrenic angle)"
        r"|blunting of the (?:\w+ )?(?:costophrenic|CP) angles?"
        r"|(?:costophrenic|CP) angles?(?: is| are)?(?: not| mildly)? blunted",
    ),
    "pneumothorax": ("other", r"pneumothora(?:x|ces)|ptx"),
    "atelectasis": ("other", r"atelecta(?:sis|ses|tic)|(?<!vascular )collapsed?"),
    "cardiomegaly": (
        "other",
        r"cardiomegaly|enlarged (?:heart|cardiac silhouette)|enlargement of the (?:heart|cardiac silhouette)"
        r"|(?:heart|cardiac) enlargement|(?:heart|cardiac silhouette)(?: size)?\s?[:*-]*(?:\s+\w+){0,4}?\s+enlarged",
    ),
    "edema": ("other", r"(?:pulmonary |interstitial |alveolar )?o?edema|(?:(?:pulmonary|venous|vascular) )+congestion"),
    "hyperinflation": ("other", r"hyper-?(?:inflat|expan)\w+|air trapping"),
    "nodule": ("other", r"nodules?|mass(?:es)?"),
    "cavity": ("other", r"cavit(?:y|ies|ary|ations?)|cavitat(?:ing|ed)"),
    "lymphadenopathy": (
        "other",
        r"lymph\s?adenopathy|adenopathy|nodal enlargement|enlarged (?:\w+ )?(?:lymph )?nodes?"
        r"|lymph nodes?[:*]*(?: (?:are|is))?(?: not)? enlarged|lymph node enlargement",
    ),
    "pleural_thickening": ("other", r"pleural thickening"),
    "scarring": ("other", r"scar(?:s|ring)?|fibrosis|fibrotic changes?"),
    "fracture": ("other", r"(?:rib )?fractur(?:es?|ed)"),
    "abnormality": (
        "abnormality",
        r"(?:acute |active |significant |focal )*(?:(?:cardio)?(?:pulmonary|thoracic|lung|chest) )?"
        r"(?:abnormalit(?:y|ies)|abnormal findings?)|abnormal"
        r"|(?:(?:active|acute|focal) )+(?:(?:lung|pulmonary) )?lesions?"
        r"|patholog(?:y|ies)\b|pathological (?:findings?|changes?)"
        r"|(?:(?:acute|active|significant|focal|(?:cardio)?(?:pulmonary|thoracic)|CP|lung|chest) )+"
        r"(?:disease|process|patholog(?:y|ies))|(?:(?<=\bno )|(?<=\bof ))disease",
    ),
    "normal": (
        "normality",
        r"(?:lungs?(?! volumes?\b)|lung fields?|chest(?! wall\b)|radiograph|x-?ray|study|examination|image)\b"
        r"(?:(?!\b(?:heart|cardiac|mediastin\w*|abnormal|quality|technique|exposure)\b)[^.;,]){0,40}?"
        r"\b(?:clear(?! of\b| and of [\w ]{0,20}quality\b)"
        r"|(?:normal|unremarkable|healthy)"
        r"(?! (?:heart|cardiac|mediastin\w*|size|quality|(?:in )?technique|exposure)\b))"
        r"|(?:clear|normal|unremarkable|healthy)\s+(?:\w+\s+){0,2}?"
        r"(?:lungs?(?! volumes?\b)|lung fields?|chest(?! wall\b)(?: x-?ray| radiograph)?|radiograph|x-?ray|study)"
        r"|(?:(?<=lung fields: )|(?<=lungs: ))clear"
        rf"|(?:^|{VERDICTS})normal(?=\s*(?:[.,;(]|$))|(?-i:NAD)",
    ),
}
"""Finding -> (tier, pattern of its names). Tiers: diagnosis, the disease in question; sign, suggests it; other,
unrelated to it; abnormality and normality, words for disease in general and for health. If two patterns match at the
same word, the earlier entry wins."""

TERM = re.compile("|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, (_, words) in FINDINGS.items()), re.IGNORECASE)

SIDES = {
    "right": r"(?<!(?:ed|ft) to the )(?<!than )right(?:-sided)?(?! clinical)|R[ULM][LZ]|(?-i:R)(?!/O)",
    "left": r"(?<!(?:ed|ft) to the )(?<!than )left(?:-sided)?|L[ULM][LZ]|lingular?|(?-i:L)",
    "bilateral": r"bilat(?:eral(?:ly)?)?|both|either (?:side|lung)|bi(?:basal|basilar|apical)",
}
ZONES = {
    "upper": r"upper(?! respiratory)|apex|apical|apices|biapical|[RL]?UZ|[RL]UL",
    "middle": r"middle|mid(?:-?zone)?|peri-?hilar|lingular?|RML|[RL]?MZ",
    "lower": r"lower(?! respiratory| the)|bases?|basal|basilar|bibas(?:al|ilar)|[RL]LL|[RL]?LZ",
}
"""Words that locate a finding; sides are the patient's, a zone is a third of the lung's height."""
