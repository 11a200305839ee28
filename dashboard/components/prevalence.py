"""What a call is worth at other prevalences, folded away below the metrics that it follows from."""

from collections.abc import Mapping

import streamlit as st

from dashboard.components import wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from engine.metrics.bootstrap import Interval
from engine.metrics.prevalence import PREVALENCES, predictive_values

MEANING = (
    "From recall and specificity, taken to be the same wherever pneumonia is rarer or more common; intervals are 95 %, "
    "over images (Mercaldo et al. 2007). The films here hold far more pneumonia than most places where a film is taken."
)


def show(counts: Mapping[str, int]) -> None:
    """A line for each prevalence. counts: tp, fn, fp and tn; nothing where one label has no image."""
    own = (counts["tp"] + counts["fn"]) / max(1, sum(counts.values()))
    shares = sorted({*PREVALENCES, own})
    found = [made for share in shares if 0 < share < 1 and (made := predictive_values(share, **counts))]
    if not found:
        return
    rows: list[list[Cell | str]] = [
        [
            Cell(f"{wording.percent(one.prevalence)}{', as here' if one.prevalence == own else ''}"),
            _cell(one.ppv),
            _cell(one.npv),
        ]
        for one in found
    ]
    with st.expander("Predictive values where pneumonia is rarer"):
        heads = [">Prevalence", ">Precision (PPV)", ">Negative predictive value"]
        linked.table(heads, rows, key="prevalences", caption="Predictive values by prevalence")
        st.caption(MEANING)


def _cell(interval: Interval) -> Cell:
    span = wording.interval("precision", interval.low, interval.high)
    return Cell(f"{wording.percent(interval.value)} ({span})")
