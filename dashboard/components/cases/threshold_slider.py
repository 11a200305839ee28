"""What another threshold would change: a slider, the metrics at it and at the run's own, the cases that change side."""

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
    "A probability at or above it counts as pneumonia. Move it to see what another operating point would do to these "
    "cases. A threshold that is chosen on the cases it is judged by flatters: choose on one split, judge on another."
)


def show(dataset: Dataset, view: filters.View) -> None:
    """The slider, and the metrics of the question's images at the threshold in the URL and at the run's own; nothing
    where the run told none of them right or wrong."""
    own = view.question.own_threshold
    if own is None or view.question.threshold is None:
        return
    asked = filters.whichever(view.question)
    usual, tried = counting.outcomes(replace(asked, threshold=own)), counting.outcomes(asked)
    if usual is None or tried is None or not sum(usual.values()):
        return
    address.level(f"Threshold (run's own: {wording.percent(own)})", name="threshold", default=own, help=HELP)
    if unheeded := _unheeded(view.question):
        st.caption(
            f"Metrics are of all {wording.count(sum(usual.values()), 'image')} that the other filters leave, "
            f"{' and '.join(unheeded)}: among images that are chosen by what was said of them they mean nothing."
        )
    curves = frame.here("runs", dataset, run=view.question.run_id)
    rows = [
        _row(Cell(f"At {wording.percent(own)}, the run's own", curves, help="Its ROC curve and calibration"), usual)
    ]
    if asked.threshold != own:
        rows.append(_row(f"At {wording.percent(asked.threshold)}", tried))
    heads = ["", *(f">{NAMES[name]}" for name in of_confusion(tp=1, fn=0, fp=0, tn=0)), ">n"]
    linked.table(heads, rows, key="at_threshold", caption="Metrics at the threshold, with 95 % Wilson intervals")
    prevalence.show({outcome.lower(): number for outcome, number in tried.items()})
    if asked.threshold != own:
        moving = counting.total(replace(asked, moved=True))
        _moved(dataset, view.question, usual, tried, moving)


def _unheeded(question: Question) -> list[str]:
    """What the question asks of predictions beyond the outcome, in words."""
    asked = {
        "whatever their probability": (question.low, question.high) != (0.0, 1.0),
        "whatever the other run calls them": question.flipped is not None,
        "whether they change side or not": question.moved,
    }
    return [name for name, wanted in asked.items() if wanted]


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
        help=f"n = {interval.n:,} distinct images; Wilson interval over images, the overview's is over patients",
    )


def _moved(
    dataset: Dataset, question: Question, usual: Mapping[Outcome, int], tried: Mapping[Outcome, int], moving: int
) -> None:
    """How many cases change side and which way, and the way to them."""
    found, alarms = tried["TP"] - usual["TP"], tried["FP"] - usual["FP"]
    more = "more pneumonia", "more pneumonias"
    ways = []
    if found:
        ways.append(f"{wording.count(abs(found), *more)} {'found' if found > 0 else 'missed'}")
    if alarms:
        ways.append(wording.count(abs(alarms), f"{'more' if alarms > 0 else 'fewer'} false alarm"))
    if unlabelled := moving - abs(found) - abs(alarms):
        ways.append(f"{wording.count(unlabelled, 'case')} without a label")
    steps = [Cell("Back to the run's own", _here(dataset, threshold=None, moved=None))]
    if question.moved:
        steps.insert(0, Cell("Show the others too", _here(dataset, moved=None)))
    elif listed := counting.total(replace(question, moved=True, outcome=None)):
        steps.insert(0, Cell(f"Show what changes side ({listed:,})", _here(dataset, moved="yes", outcome=None)))
    said, links = st.columns(2, vertical_alignment="center")
    with said:
        st.markdown(
            f"**{wording.count(moving, 'case')} {'changes' if moving == 1 else 'change'} side**: {', '.join(ways)}."
            if moving
            else "**No case changes side.**"
        )
    with links:
        linked.row(steps, key="moved")


def _here(dataset: Dataset, **changed: object) -> str:
    return frame.here("cases", dataset, **filters.parameters(**changed))
