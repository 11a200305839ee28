"""What a reader of an evaluation should know before believing its figures, in a line each."""

from collections import Counter
from collections.abc import Mapping, Sequence

from db import session
from db.queries import datasets, predictions
from db.writes import MetricValue
from engine.commands import job
from engine.metrics.names import DIFFERENCE, NAMES, P_VALUE, SCORES, measure, subgroup_of
from engine.splits import OUT_OF_FOLD
from engine.tables import p_value
from jobs.command import Context
from jobs.evaluations.reports import stale
from jobs.results import Inputs

CHANCE = 0.5
"""Of an AUC."""
LEVEL = 0.05
"""Corrected p-value below which a subgroup is told apart from the others."""
SILENT = 0.2
"""Share of a model's reports without a stance from which on that is said."""


def of_inputs(context: Context, inputs: Inputs, agreements: Mapping[int, float]) -> list[str]:
    """Images without a prediction, reports that could not be read, and scores against another run's predictions.
    agreements: of the reports with the evaluated run, see reports.agreements_of."""
    name = inputs.dataset.name
    found = [*_unscored(context, inputs), *_silent(inputs)]
    old = stale(inputs, agreements)
    if inputs.predict and old:
        found.append(
            f"{old:,} reports were scored against other predictions than those of run {inputs.predict.id}: pages find "
            f"them by those, and laterality is not measured; score them anew: {job('score', name)}"
        )
    return found


def of_values(values: Sequence[MetricValue]) -> list[str]:
    """A classifier that is surely worse than chance, and subgroups in which it surely does worse than in the others."""
    below = [
        f"AUC {value.value:.3f} on split {value.split}, worse than chance: are these probabilities of normal?"
        for value in values
        if (value.name, value.slice) == ("auc", "all") and _below_chance(value)
    ]
    return [*below, *_told_apart(values)]


def _told_apart(values: Sequence[MetricValue]) -> list[str]:
    """Subgroups of which a figure differs from that of all others by more than chance, however many were looked at."""
    p_values = {(measure(value.name), value.slice): value.value for value in values if value.name.endswith(P_VALUE)}
    found = []
    for value in (value for value in values if value.name.endswith(DIFFERENCE)):
        name, difference = measure(value.name), value.value
        p = p_values.get((name, value.slice))
        if difference is None or p is None or p >= LEVEL:
            continue
        apart = f"{abs(difference):.3f}" if name in SCORES else f"{100 * abs(difference):.1f} points"
        side = "lower" if difference < 0 else "higher"
        where = "out of fold" if value.split == OUT_OF_FOLD else f"on split {value.split}"
        group = " ".join(subgroup_of(value.slice) or (value.slice,))
        found.append(
            f"{NAMES[name]} {where} is {apart} {side} on films with {group} than on the others "
            f"({p_value(p)}, corrected for all subgroups)"
        )
    return found


def _below_chance(area: MetricValue) -> bool:
    """By the upper end of its interval, or by itself where that is not known, as of an AUC of 0."""
    most = area.value if area.high is None else area.high
    return most is not None and most < CHANCE


def _unscored(context: Context, inputs: Inputs) -> list[str]:
    """Labelled images of a split which the predict run scored only a part of."""
    if inputs.predict is None:
        return []
    with session.reading(context.engine) as db:
        known = predictions.labelled_by_split(db, inputs.predict.id)
        holdings = datasets.counts(db, inputs.dataset.id)
    there: Counter[str | None] = Counter()
    for part in holdings:
        there[part.split] += part.images if part.label is not None else 0
    return [
        f"of split {split} {known[split]:,} of {there[split]:,} labelled images have a prediction of run "
        f"{inputs.predict.id}: its figures are of these alone"
        for split in sorted(filter(None, known))
        if known[split] < there[split]
    ]


def _silent(inputs: Inputs) -> list[str]:
    """Models of whose reports many take no stance that could be read."""
    names = {report.report_id: f"{report.model} / {report.strategy}" for report in inputs.reports}
    stances = [(names[row.report_id], row.value) for row in inputs.scores if row.metric == "stance"]
    total = Counter(name for name, _ in stances)
    silent = Counter(name for name, value in stances if value is None)
    return [
        f"in {silent[name]:,} of {total[name]:,} reports of {name} no stance on pneumonia could be read; they are "
        "read in English, and such a report agrees with no label"
        for name in sorted(silent)
        if silent[name] >= SILENT * total[name]
    ]
