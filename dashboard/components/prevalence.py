"""Predictive values at other prevalences, in a collapsed section below the metrics."""

from collections.abc import Mapping

import streamlit as st

from dashboard.components import wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from engine.metrics.bootstrap import Interval
from engine.metrics.prevalence import PREVALENCES, predictive_values

MEANING = (
    "Computed from recall and specificity, assuming that neither changes with prevalence; 95 % intervals over images "
    "(Mercaldo et al. 2007). Pneumonia is far more common in these images than in most clinical settings."
)


def show(counts: Mapping[str, int]) -> None:
    """A row for each prevalence; nothing if one label has no image. counts: tp, fn, fp and tn."""
    own = (counts["tp"] + counts["fn"]) / max(1, sum(counts.values()))
    shares = sorted({*PREVALENCES, own})
    found = [made for share in shares if 0 < share < 1 and (made := predictive_values(share, **counts))]
    if not found:
        return
    rows: list[list[Cell | str]] = [
        [
            Cell(f"{wording.percent(one.prevalence)}{' (these images)' if one.prevalence == own else ''}"),
            _cell(one.ppv),
            _cell(one.npv),
        ]
        for one in found
    ]
    with st.expander("Predictive values at other prevalences"):
        heads = [">Prevalence", ">Precision (PPV)", ">Negative predictive value"]
        linked.table(heads, rows, key="prevalences", caption="Predictive values by prevalence")
        st.caption(MEANING)


def _cell(interval: Interval) -> Cell:
    span = wording.interval("precision", interval.low, interval.high)
    return Cell(f"{wording.percent(interval.value)} ({span})")
