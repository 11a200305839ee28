"""Threshold slider, metrics at the chosen threshold and at the run's own, and the predictions that change."""

from collections.abc import Mapping
from dataclasses import replace
from math import isnan

import streamlit as st

from dashboard.components import address, filters, frame, prevalence, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.cases import counting
from db.models import Dataset
from db.queries.cases import Outcome, Question
from engine.metrics.bootstrap import Interval
from engine.metrics.names import NAMES
from engine.metrics.proportions import of_confusion

HELP = (
    "Probabilities at or above the threshold are called pneumonia. Move it to see these cases at another threshold. A "
    "threshold chosen on the cases it is evaluated on looks too good: choose it on one split, evaluate it on another."
)


def show(dataset: Dataset, view: filters.View) -> None:
    """The slider, and the metrics of the matching images at the threshold in the URL and at the run's own; nothing if
    the run has no outcome for any of them."""
    own = view.question.own_threshold
    if own is None or view.question.threshold is None:
        return
    asked = filters.ignoring_predictions(view.question)
    usual, tried = counting.outcomes(replace(asked, threshold=own)), counting.outcomes(asked)
    if usual is None or tried is None or not sum(usual.values()):
        return
    address.level(f"Threshold (run default: {wording.percent(own)})", name="threshold", default=own, help=HELP)
    if ignored := _ignored(view.question):
        st.caption(
            f"Metrics ignore the filter on {' and '.join(ignored)} and cover all "
            f"{wording.count(sum(usual.values()), 'image')} left by the other filters: on images selected by their "
            "predictions, they would be meaningless."
        )
    curves = frame.here("runs", dataset, run=view.question.run_id)
    rows = [
        _row(Cell(f"{wording.percent(own)} (run default)", curves, help="ROC curve and calibration of the run"), usual)
    ]
    if asked.threshold != own:
        rows.append(_row(wording.percent(asked.threshold), tried))
    heads = ["Threshold", *(f">{NAMES[name]}" for name in of_confusion(tp=1, fn=0, fp=0, tn=0)), ">n"]
    linked.table(heads, rows, key="at_threshold", caption="Metrics at the threshold, with 95 % Wilson intervals")
    prevalence.show({outcome.lower(): number for outcome, number in tried.items()})
    if asked.threshold != own:
        moving = counting.total(replace(asked, changed_by_threshold=True))
        _moved(dataset, view.question, usual, tried, moving)


def _ignored(question: Question) -> list[str]:
    """The active filters on predictions, other than the outcome, in words."""
    active = {
        "probability": (question.low, question.high) != (0.0, 1.0),
        "the other run's call": question.differs_from is not None,
        "the other runs' calls": bool(question.agrees_with),
        "changed predictions": question.changed_by_threshold,
        "calls that a stress changes": question.changed_under is not None,
    }
    return [name for name, filtered in active.items() if filtered]


def _row(name: Cell | str, counts: Mapping[Outcome, int]) -> list[Cell | str]:
    found = of_confusion(**{outcome.lower(): number for outcome, number in counts.items()})
    cells = [_cell(metric, interval) for metric, interval in found.items()]
    return [name, *cells, Cell(f"{sum(counts.values()):,}", tone="muted")]


def _cell(metric: str, interval: Interval) -> Cell:
    if isnan(interval.value):
        return Cell(wording.UNKNOWN, tone="muted")
    span = wording.interval(metric, interval.low, interval.high)
    return Cell(
        f"{wording.percent(interval.value)} ({span})",
        help=f"n = {interval.n:,} distinct images; Wilson interval over images (on the overview: over patients)",
    )


def _moved(
    dataset: Dataset, question: Question, usual: Mapping[Outcome, int], tried: Mapping[Outcome, int], moving: int
) -> None:
    """How many predictions change and in which direction, with links to the cases."""
    found, alarms = tried["TP"] - usual["TP"], tried["FP"] - usual["FP"]
    more = "more pneumonia", "more pneumonias"
    ways = []
    if found:
        ways.append(f"{wording.count(abs(found), *more)} {'detected' if found > 0 else 'missed'}")
    if alarms:
        ways.append(wording.count(abs(alarms), f"{'more' if alarms > 0 else 'fewer'} false positive"))
    if unlabelled := moving - abs(found) - abs(alarms):
        ways.append(f"{wording.count(unlabelled, 'case')} without a label")
    steps = [Cell("Back to the run default", _here(dataset, threshold=None, moved=None))]
    if question.changed_by_threshold:
        steps.insert(0, Cell("Show unchanged cases too", _here(dataset, moved=None)))
    elif listed := counting.total(replace(question, changed_by_threshold=True, outcome=None)):
        steps.insert(0, Cell(f"Show changed predictions ({listed:,})", _here(dataset, moved="yes", outcome=None)))
    summary, links = st.columns(2, vertical_alignment="center")
    with summary:
        st.markdown(
            f"**{wording.count(moving, 'prediction')} {'changes' if moving == 1 else 'change'}**: {', '.join(ways)}."
            if moving
            else "**No prediction changes.**"
        )
    with links:
        linked.row(steps, key="moved")


def _here(dataset: Dataset, **changed: object) -> str:
    return frame.here("cases", dataset, **filters.parameters(**changed))
