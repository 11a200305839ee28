"""Metrics of reports: mean scores by model and strategy, differences between strategies, and how stances do."""

from collections.abc import Iterator, Mapping

import numpy as np

from db import session
from db.queries import predictions
from db.queries.evaluation import StandingReport
from db.slice_names import report_slice
from db.writes import MetricValue
from engine.metrics.names import DIFFERENCE
from jobs.command import Context
from jobs.results.inputs import Inputs
from jobs.results.values import metric_value

UNSCORED = ("stance", "classifier_opposition")
"""Report scores that describe what a report claims, not how good it is."""
AGREEMENT, LATERALITY = "classifier_agreement", "laterality"


def report_values(
    inputs: Inputs, agreements: Mapping[int, float], *, seed: int, replicates: int
) -> Iterator[MetricValue]:
    """The mean of each report score by model and strategy, under slice "model / strategy"; paired differences between
    strategies, under "model / one - other"; and of the stances, their kappa against the label and their recall,
    specificity and share of undecided.

    agreements: with the evaluated run, see `agreements_of`; they replace the stored ones. Laterality, which depends on
    the heatmaps, is left out if the scores were made against another run.
    """
    from engine.metrics.reports import ScoredReport, by_label, kappa, mean_scores, paired_differences

    reports = {report.report_id: report for report in inputs.reports}
    left_out = {*UNSCORED, *([LATERALITY] if stale(inputs, agreements) else [])}
    scores = [
        ScoredReport(report.model, report.strategy, row.metric, report.patient_key, value, report.sha256)
        for row in inputs.scores
        for report in (reports[row.report_id],)
        for value in (agreements.get(row.report_id) if row.metric == AGREEMENT and inputs.predict else row.value,)
        if row.metric not in left_out
    ]
    for mean in mean_scores(scores, seed=seed, replicates=replicates):
        yield metric_value(mean.metric, "reports", report_slice(mean.model, mean.strategy), mean.interval)
    for mean in paired_differences(scores, seed=seed, replicates=replicates):
        slice = report_slice(mean.model, mean.strategy)
        yield metric_value(f"{mean.metric}{DIFFERENCE}", "reports", slice, mean.interval)
    stances: dict[tuple[str, str], list[tuple[StandingReport, float | None]]] = {}
    for row in inputs.scores:
        report = reports[row.report_id]
        if row.metric == "stance" and report.label is not None:
            stances.setdefault((report.model, report.strategy), []).append((report, row.value))
    for (model, strategy), rows in sorted(stances.items()):
        labels = np.array([report.label for report, _ in rows])
        stance = np.array([np.nan if value is None else value for _, value in rows])
        patients = [report.patient_key for report, _ in rows]
        found = by_label(labels, stance, patients, seed=seed, replicates=replicates)
        found["stance_kappa"] = kappa(labels, stance, patients, seed=seed, replicates=replicates)
        for name, interval in found.items():
            yield metric_value(name, "reports", report_slice(model, strategy), interval)


def agreements_of(context: Context, inputs: Inputs) -> dict[int, float]:
    """Report id -> 1 if the report's stance agrees with the evaluated predict run, else 0, for images that the run
    scored; empty if there is no run or it has no threshold."""
    if inputs.predict is None or inputs.predict.threshold is None:
        return {}
    threshold = inputs.predict.threshold
    with session.reading(context.engine) as db:
        called = {row.image_id: float(row.called(threshold)) for row in predictions.of_run(db, inputs.predict.id)}
    images = {report.report_id: report.image_id for report in inputs.reports}
    stances = {row.report_id: row.value for row in inputs.scores if row.metric == "stance"}
    return {
        number: float(stance == called[images[number]])
        for number, stance in stances.items()
        if images[number] in called
    }


def stale(inputs: Inputs, agreements: Mapping[int, float]) -> int:
    """The number of reports whose stored scores disagree with the evaluated run's predictions."""
    scored = ((row.report_id, row.value) for row in inputs.scores if row.metric == AGREEMENT)
    return sum(value != agreements[number] for number, value in scored if number in agreements)
