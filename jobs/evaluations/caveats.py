"""Warnings about an evaluation's metrics, one line each."""

from collections import Counter
from collections.abc import Mapping, Sequence

from db import session
from db.queries import datasets, predictions
from db.writes import MetricValue
from engine.commands import job
from engine.datasets.splits import OUT_OF_FOLD
from engine.metrics.names import DIFFERENCE, NAMES, P_VALUE, SCORES, measure, subgroup_of
from engine.tables import p_value
from jobs.command import Context
from jobs.evaluations.reports import stale
from jobs.results.inputs import Inputs

CHANCE = 0.5
"""The AUC of random scores."""
LEVEL = 0.05
"""Significance level of the adjusted p-value for a subgroup that differs from the others."""
SILENT = 0.2
"""Warn if at least this share of a model's reports has no stance."""


def of_inputs(context: Context, inputs: Inputs, agreements: Mapping[int, float]) -> list[str]:
    """Warnings about images without a prediction, reports without a stance or scores, and scores against another
    predict run. agreements: of the reports with the evaluated run, see reports.agreements_of."""
    name = inputs.dataset.name
    found = [*_unscored(context, inputs), *_without_stance(inputs)]
    if inputs.scores and inputs.unscored:
        found.append(
            f"{inputs.unscored:,} reports are not scored for this dataset and are left out; score them with: "
            f"{job('score', name)}"
        )
    old = stale(inputs, agreements)
    if inputs.predict and old:
        found.append(
            f"{old:,} reports were scored against predictions other than those of run {inputs.predict.id}: the pages "
            f"filter them by those, and laterality is not measured; rescore them with: {job('score', name)}"
        )
    return found


def of_values(values: Sequence[MetricValue]) -> list[str]:
    """Warnings about an AUC significantly below chance, and subgroups that differ significantly from the others."""
    below = [
        f"AUC {value.value:.3f} on split {value.split} is below chance; check that the probabilities are of pneumonia, "
        "not normal"
        for value in values
        if (value.name, value.slice) == ("auc", "all") and _below_chance(value)
    ]
    return [*below, *_differing_subgroups(values)]


def _differing_subgroups(values: Sequence[MetricValue]) -> list[str]:
    """Subgroups with a metric that differs significantly from all other images', adjusted for multiple comparisons."""
    p_values = {
        (value.split, measure(value.name), value.slice): value.value for value in values if value.name.endswith(P_VALUE)
    }
    found = []
    for value in (value for value in values if value.name.endswith(DIFFERENCE)):
        name, difference = measure(value.name), value.value
        p = p_values.get((value.split, name, value.slice))
        if difference is None or p is None or p >= LEVEL:
            continue
        apart = f"{abs(difference):.3f}" if name in SCORES else f"{100 * abs(difference):.1f} points"
        side = "lower" if difference < 0 else "higher"
        where = "out-of-fold" if value.split == OUT_OF_FOLD else f"on split {value.split}"
        group = " ".join(subgroup_of(value.slice) or (value.slice,))
        found.append(
            f"{NAMES[name]} {where} is {apart} {side} for images with {group} than for the others "
            f"({p_value(p)}, adjusted for multiple comparisons)"
        )
    return found


def _below_chance(area: MetricValue) -> bool:
    """Judged by the upper end of the interval, or by the value itself if that is unknown, as for an AUC of 0."""
    most = area.value if area.high is None else area.high
    return most is not None and most < CHANCE


def _unscored(context: Context, inputs: Inputs) -> list[str]:
    """Splits of which the predict run scored only some of the labelled images."""
    if inputs.predict is None:
        return []
    with session.reading(context.engine) as db:
        known = predictions.labelled_by_split(db, inputs.predict.id)
        holdings = datasets.counts(db, inputs.dataset.id)
    there: Counter[str | None] = Counter()
    for part in holdings:
        there[part.split] += part.images if part.label is not None else 0
    return [
        f"only {known[split]:,} of {there[split]:,} labelled images "
        f"{f'of split {split}' if split else 'without a split'} have a prediction of run {inputs.predict.id}; "
        "its metrics cover only these"
        for split in sorted(known, key=str)
        if known[split] < there[split]
    ]


def _without_stance(inputs: Inputs) -> list[str]:
    """Models and strategies with many reports in which no stance could be read."""
    names = {report.report_id: f"{report.model} / {report.strategy}" for report in inputs.reports}
    stances = [(names[row.report_id], row.value) for row in inputs.scores if row.metric == "stance"]
    total = Counter(name for name, _ in stances)
    silent = Counter(name for name, value in stances if value is None)
    return [
        f"no stance on pneumonia could be read in {silent[name]:,} of {total[name]:,} reports of {name}; only English "
        "is read, and a report without a stance agrees with neither label"
        for name in sorted(silent)
        if silent[name] >= SILENT * total[name]
    ]
