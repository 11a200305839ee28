"""The model card of a trained classifier (Mitchell et al. 2019), written from stored results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.audit.verdicts import SEPARATED
from engine.datasets.splits import OUT_OF_FOLD, UNSPLIT
from engine.documents.markdown_reports import (
    BANNER,
    CLASSIFICATION,
    INTERVALS,
    OOF_NOTE,
    causes_of,
    coverage_table,
    subgroup_table,
)
from engine.metrics.bootstrap import Interval
from engine.metrics.evaluation import BY_PATIENT, UNSCALED, Measured
from engine.metrics.names import NAMES, subgroup_of
from engine.tables import markdown_table, number, plain, span, times

INTENDED = """
For research on chest radiographs: to study how such a classifier works and fails. It answers one question, pneumonia
against normal, about frontal radiographs like those it was trained on. **Not a medical device**; not for diagnosis,
triage or any decision about a patient.
"""
THRESHOLDS = {
    "all": "current threshold",
    "recall97": "threshold for a recall of .97",
    "youden": "Youden's threshold",
    "half": "probability of one half",
}
"""Slices of the metrics that depend on a threshold, and how a card names them."""
AT_THRESHOLD = ("recall", "specificity", "precision", "accuracy", "f1")
FREE = ("auc", "average_precision", "recall_at_specificity_90", "recall_at_specificity_95")
CALIBRATION = ("brier", "ece", "ece_by_chance", "calibration_intercept", "calibration_slope")
SPLITS = {OUT_OF_FOLD: "out of fold", UNSPLIT: "images without a split"}
"""Names for splits whose stored name is a code."""


@dataclass(frozen=True)
class Holding:
    """Numbers of images, files and patients of one split and label. label: normal, pneumonia or unknown."""

    split: str
    label: str
    images: int
    files: int
    patients: int


@dataclass(frozen=True)
class Holdings:
    """The contents of a dataset, or of a part of it."""

    dataset: str
    counts: Sequence[Holding]


@dataclass(frozen=True)
class Card:
    """The contents of a card. values: metrics by split, OUT_OF_FOLD and the split that the classifier is judged on."""

    name: str
    synthetic: bool
    details: Mapping[str, object]
    recipe: Mapping[str, object]
    backbones: Sequence[tuple[str, str, str]]
    """Name, pretrained weights, licence."""
    training: Holdings
    evaluation: Holdings
    judged: str
    """The split that the classifier is judged on, UNSPLIT if the evaluation data has no splits."""
    protocol: Mapping[str, object]
    openings: int
    """The number of times the evaluation data was scored."""
    values: Mapping[str, Sequence[Measured]]
    verdicts: Mapping[str, str]
    """The audit's verdict on each question, {} if there was no audit."""
    slices: Sequence[tuple[str, str, str]]
    """Name, failures with rate and interval, what is different; worst first."""
    replicates: int
    commands: Sequence[str]


def model_card(card: Card) -> str:
    """The card as Markdown."""
    sections = {
        "Model details": [_pairs(card.details), _backbones(card)],
        "Intended use": [INTENDED.strip()],
        "Factors": [_factors(card)],
        "Training data": [_holdings(card.training)],
        "Evaluation data": [_holdings(card.evaluation), _opened(card)],
        "Protocol": [_pairs(card.protocol), _pairs(card.recipe)],
        "Metrics": [CLASSIFICATION.strip(), INTERVALS.format(replicates=card.replicates, unit="patients")],
        "Quantitative analyses": _analyses(card),
        "Audit": _audit(card),
        "Caveats and recommendations": [_caveats(card)],
        "How to repeat it": ["```\n" + "\n".join(card.commands) + "\n```"],
    }
    parts = [f"# Model card: {plain(card.name)}{' (SYNTHETIC)' if card.synthetic else ''}"]
    if card.synthetic:
        parts.append(BANNER)
    for title, blocks in sections.items():
        parts += [f"## {title}", *(block for block in blocks if block)]
    return "\n\n".join(parts) + "\n"


def _pairs(facts: Mapping[str, object]) -> str:
    rows = [(plain(name), plain(_shown(value))) for name, value in facts.items() if value is not None]
    return markdown_table(("item", "value"), rows) if rows else ""


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _backbones(card: Card) -> str:
    rows = [tuple(plain(part) for part in backbone) for backbone in card.backbones]
    return markdown_table(("backbone", "pretrained weights", "licence of the weights"), rows) if rows else ""


def _factors(card: Card) -> str:
    causes = ", ".join(plain(cause) for cause in _causes(card))
    factors = [f"the cause of pneumonia ({causes})"] if causes else []
    factors += ["the appearance of the image (slices, below)"] if card.slices else []
    groups = sorted({part[0] for values in card.values.values() for one in values if (part := subgroup_of(one.slice))})
    factors += [f"these attributes of the image: {', '.join(map(plain, groups))}"] if groups else []
    absent = [name for name in ("age", "sex", "device") if name not in groups]
    broken_down = f"Results are broken down by {' and '.join(factors)}." if factors else "Results are not broken down."
    lacks = [f"Results by {', '.join(absent)} were not measured."] if absent else []
    return " ".join([broken_down, *lacks])


def _holdings(part: Holdings) -> str:
    rows = [
        (plain(one.split), plain(one.label), f"{one.images:,}", f"{one.files:,}", f"{one.patients:,}")
        for one in part.counts
    ]
    heads = ("split", "label", "distinct images", "files", "patients")
    return f"Data set {plain(part.dataset)}.\n\n{markdown_table(heads, rows)}" if rows else ""


def _opened(card: Card) -> str:
    scored = f"scored {times(card.openings)}" if card.openings else "never scored"
    return f"{_judged(card)} was {scored} in this database."


def _judged(card: Card) -> str:
    return "The evaluation data" if card.judged == UNSPLIT else f"The {plain(card.judged)} split"


def _analyses(card: Card) -> list[str]:
    blocks = [_table(card, FREE, "all", "Without a threshold")]
    for where, name in THRESHOLDS.items():
        at = [
            f"{number(one.interval.value)}"
            for one in next(iter(card.values.values()), ())
            if (one.name, one.slice) == ("threshold", where)
        ]
        blocks.append(_table(card, AT_THRESHOLD, where, f"At the {name}{f' ({at[0]})' if at else ''}"))
    if OUT_OF_FOLD in card.values:
        blocks.append(OOF_NOTE)
    blocks.append(_table(card, ("auc", *AT_THRESHOLD), BY_PATIENT, "By patient, from each patient's mean over images"))
    blocks.append(_table(card, CALIBRATION, "all", "Calibration"))
    blocks.append(_table(card, CALIBRATION, UNSCALED, "Calibration before temperature scaling"))
    blocks += [
        _table(card, ("auc", "recall"), cause, f"{plain(cause).capitalize()} pneumonia against normal")
        for cause in _causes(card)
    ]
    blocks.append(_table(card, ("aurc", "e_aurc"), "all", "Risk-coverage curve"))
    for split, values in card.values.items():
        if covered := coverage_table(values):
            blocks.append(f"### By coverage, {plain(SPLITS.get(split, split))}\n\n{covered}")
    for split, values in card.values.items():
        if parted := subgroup_table(values):
            blocks.append(f"### By subgroup, {plain(SPLITS.get(split, split))}\n\n{parted}")
    return [block for block in blocks if block] or ["Nothing has been measured."]


def _table(card: Card, names: Sequence[str], where: str, title: str) -> str:
    rows = []
    for name in names:
        found = [_find(card, split, name, where) for split in card.values]
        if any(found):
            cells = (cell for one in found for cell in ((number(one.value), span(one)) if one else ("", "")))
            rows.append((NAMES.get(name, name), *cells))
    heads = [part for split in card.values for part in (plain(SPLITS.get(split, split)), "95 % interval")]
    return f"### {title}\n\n{markdown_table(('metric', *heads), rows)}" if rows else ""


def _audit(card: Card) -> list[str]:
    if not card.verdicts:
        return ["Not audited: it is not known whether the classifier relies on the lungs."]
    verdicts = "\n".join(f"- **{plain(name.capitalize())}**: {plain(text)}." for name, text in card.verdicts.items())
    rows = [tuple(plain(part) for part in one) for one in card.slices]
    return [verdicts, markdown_table(("slice", "failures", "what is different"), rows) if rows else ""]


def _caveats(card: Card) -> str:
    lines = []
    if card.synthetic:
        lines.append("Everything here was measured on synthetic phantoms. It says nothing about radiographs.")
    learned, judged = plain(card.training.dataset), plain(card.evaluation.dataset)
    data = f"One dataset, {judged}" if learned == judged else f"Trained on {learned} and evaluated on {judged}"
    lines.append(f"{data}: nothing here shows how the classifier performs on other data.")
    if card.openings > 1:
        lines.append(f"{_judged(card)} was scored more than once: choices made in between may bias its values upwards.")
    lines += [f"{NAMES[name]} {apart}." for name in ("auc", "recall", "specificity") if (apart := _apart(card, name))]
    if card.verdicts.get("sanity", "").startswith("failed"):
        lines.append(
            "The heatmaps failed their sanity check: they resemble those of random weights, so they are no explanation."
        )
    if card.verdicts.get("shortcuts", "").startswith(SEPARATED):
        lines.append(
            "Possible shortcuts separate the classes (see the audit): part of the performance may rest on them."
        )
    lines.append("Labels are those of the dataset; none was re-read for this card.")
    return "\n".join(f"- {line}" for line in lines)


def _apart(card: Card, name: str) -> str:
    """A phrase for a metric whose interval on the evaluation split does not overlap the out-of-fold one; else ""."""
    for split in card.values:
        ours, theirs = _find(card, OUT_OF_FOLD, name, "all"), _find(card, split, name, "all")
        if split == OUT_OF_FOLD or ours is None or theirs is None or not math.isfinite(ours.low + theirs.low):
            continue
        if theirs.high < ours.low or theirs.low > ours.high:
            on = f"{number(theirs.value)} on {SPLITS.get(split, split)}"
            return f"is {number(ours.value)} out of fold and {on}: their intervals do not overlap"
    return ""


def _find(card: Card, split: str, name: str, where: str) -> Interval | None:
    found = [one.interval for one in card.values.get(split, ()) if (one.name, one.slice) == (name, where)]
    return found[0] if found else None


def _causes(card: Card) -> list[str]:
    return causes_of([value for values in card.values.values() for value in values])
