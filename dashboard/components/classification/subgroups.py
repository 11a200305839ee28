"""Metrics of a classifier by subgroup, such as sex, age group or view."""

from dataclasses import replace

import streamlit as st

from dashboard.components import figures, filters, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides
from db.models import Dataset
from engine.metrics.names import DIFFERENCE, NAMES, P_VALUE, SUBGROUP_LEAST, SUBGROUP_MEASURES, subgroup_of

SIGNIFICANT = 0.05
"""Adjusted p-value below which a difference is highlighted."""


def show(dataset: Dataset, side: sides.Side | None, *, basis: str = "") -> None:
    """A row for each subgroup: its metrics, linked to the images that lower them, and their difference from all other
    images; nothing if there are no subgroups. basis: how the metrics were measured, if the page does not say so."""
    groups = sorted({where for _, where in side.metrics if subgroup_of(where)}) if side else []
    if side is None or not groups:
        return
    shown = [name for name in SUBGROUP_MEASURES if any((name, where) in side.metrics for where in groups)]
    rows: list[list[Cell | str]] = []
    for where in groups:
        row: list[Cell | str] = [where]
        for name in shown:
            row += [*_value(dataset, side, name, where), _difference(side, name, where)]
        rows.append(row)
    heads = [head for name in shown for head in (f">{NAMES[name]}", ">n", ">Difference")]
    linked.table(
        ["Subgroup", *heads], rows, key="subgroups", caption="Classification metrics by subgroup", sortable=True
    )
    st.caption(
        f"{side.head}{basis}. Each difference compares a subgroup with all other images for which the attribute is "
        "known; of two subgroups, only the first shows it. p: p-value for no difference, adjusted for multiple "
        f"comparisons (Holm). Nothing is measured on fewer than {SUBGROUP_LEAST} files of a class."
    )


def _value(dataset: Dataset, side: sides.Side, name: str, where: str) -> tuple[Cell, Cell]:
    """The metric with its interval, linked to the images that lower it, and the number of files."""
    metric, attribute = side.metrics.get((name, where)), subgroup_of(where)
    if metric is None or attribute is None:
        return Cell(""), Cell("")
    link = sides.films(dataset, side, name, **{f"{filters.ATTRIBUTE}{attribute[0]}": attribute[1]})
    return figures.in_one(metric, link=link), Cell(wording.count(metric.n), tone="muted")


def _difference(side: sides.Side, name: str, where: str) -> Cell:
    """The difference with its interval and its p-value."""
    apart, p = (side.metrics.get((f"{name}{end}", where)) for end in (DIFFERENCE, P_VALUE))
    if apart is None:
        return Cell("")
    value = p.value if p else None
    cell = figures.in_one(apart, tone="wrong" if value is not None and value < SIGNIFICANT else "muted")
    return replace(cell, text=f"{cell.text}, p {wording.measured(f'{name}{P_VALUE}', value)}")
