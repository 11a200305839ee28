"""Known facts about images (label, cause, zones), and the sentences of several wordings that say them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.imaging.heat import LEVELS, SIDES, ZONES

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Facts:
    """Known facts about n images. labels: int (n,), 1 or 0, -1 if unknown. causes: str (n,), "" if unknown. zones: bool
    (n, 6), where more of the classifier's evidence lies than in most pneumonias (`engine.imaging.heat.prominent`)."""

    labels: NDArray[np.int64]
    causes: NDArray[np.str_]
    zones: Mask


NORMAL = (
    "normal chest radiograph", "a normal chest x-ray of a child", "no evidence of pneumonia", "no pneumonia",
    "the lungs are clear", "clear lung fields on both sides", "no consolidation", "no infiltrate", "no focal opacity",
    "no airspace disease", "healthy lungs without opacity", "unremarkable lungs", "negative for pneumonia",
    "no acute cardiopulmonary abnormality", "lungs without infiltrate or consolidation", "within normal limits",
    "the lungs are free of infection", "no sign of lung infection", "no abnormality is seen in the chest",
    "well aerated lungs, no opacity", "a healthy child without pneumonia", "absence of consolidation",
    "no opacity in the right lung", "no opacity in the left lung", "no opacity in the lower zones",
)  # fmt: skip
ILL = (
    "pneumonia", "a chest x-ray that shows pneumonia", "findings consistent with pneumonia", "signs of pneumonia",
    "a lung infection", "consolidation", "airspace opacity", "a pulmonary infiltrate", "an abnormal chest radiograph",
    "opacity in the lung", "patchy opacities", "airspace disease", "a child with pneumonia", "infected lungs",
    "pneumonic infiltrates", "positive for pneumonia", "shadowing in the lungs", "the lungs are not clear",
)  # fmt: skip
CAUSES = {
    "bacterial": (
        "a bacterial pneumonia", "pneumonia caused by bacteria", "a bacterial lung infection", "lobar pneumonia",
        "consolidation of bacterial origin", "pneumococcal pneumonia", "a child with bacterial pneumonia",
        "findings of a bacterial infection of the lung", "bacteria in the lungs",
    ),
    "viral": (
        "a viral pneumonia", "pneumonia caused by a virus", "a viral lung infection", "viral pneumonitis",
        "interstitial infiltrates of viral origin", "a child with viral pneumonia", "a virus infection of the lungs",
        "findings of a viral infection of the lung", "viral lower respiratory tract infection",
    ),
}  # fmt: skip
WHAT = ("an opacity", "consolidation", "infiltrate", "pneumonia", "airspace disease", "focal opacity", "shadowing")
PLACES = (
    "in the {side} {level} zone",
    "of the {side} {level} lung",
    "in the {side} {level} lobe",
    "{side} {level} zone",
)
BOTH = "bilateral"
ONE_SIDE = ("in the {side} lung", "on the {side} side", "{side}-sided")
ONE_LEVEL = ("in the {level} zones", "in the {level} lung fields", "{level} zone")


def described(facts: Facts) -> Iterator[tuple[str, Mask]]:
    """Sentences, each with the images it is true for: bool (n,). Images without known facts are in none."""
    holding = holding_for(facts)
    for wordings, concept in ((NORMAL, "normal"), (ILL, "pneumonia")):
        yield from ((text, holding[concept]) for text in wordings)
    for cause, caused in CAUSES.items():
        yield from ((text, holding[cause]) for text in caused)
    zone = {(side, level): holding[f"{side}_{level}"] for side in SIDES for level in LEVELS}
    both = holding[BOTH]
    for what in WHAT:
        for (side, level), holds in zone.items():
            yield from ((f"{what} {place.format(side=side, level=level)}", holds) for place in PLACES)
        for side in SIDES:
            holds = np.any([zone[side, level] for level in LEVELS], axis=0) & ~both
            yield from ((f"{what} {place.format(side=side)}", holds) for place in ONE_SIDE)
        for level in LEVELS:
            holds = zone["right", level] | zone["left", level]
            yield from ((f"{what} {place.format(level=level)}", holds) for place in ONE_LEVEL)
        yield from ((f"{what} {place}", both) for place in ("in both lungs", "on both sides", "bilateral"))
    for cause in CAUSES:
        for (side, level), holds in zone.items():
            yield f"{cause} pneumonia in the {side} {level} zone", holds & (facts.causes == cause)


def holding_for(facts: Facts) -> dict[str, Mask]:
    """The concepts used in the sentences, each with the images it is true for, bool (n,): normal, pneumonia, the causes
    and zones of pneumonia, and BOTH sides."""
    ill = facts.labels == 1
    zones = {zone: ill & facts.zones[:, column] for column, zone in enumerate(ZONES)}
    sides = [np.any([zones[f"{side}_{level}"] for level in LEVELS], axis=0) for side in SIDES]
    caused = {cause: ill & (facts.causes == cause) for cause in CAUSES}
    return {"normal": facts.labels == 0, "pneumonia": ill, **caused, **zones, BOTH: sides[0] & sides[1]}
