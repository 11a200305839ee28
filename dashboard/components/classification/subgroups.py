"""How a classifier fares on films that share an attribute, such as sex, age group or view."""

from dataclasses import replace

import streamlit as st

from dashboard.components import figures, filters, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides
from db.models import Dataset
from engine.metrics.names import DIFFERENCE, NAMES, P_VALUE, SUBGROUP_LEAST, SUBGROUP_MEASURES, subgroup_of

TOLD_APART = 0.05
"""Corrected p-value below which a difference is marked."""


def show(dataset: Dataset, side: sides.Side | None, *, told: str = "") -> None:
    """A row for each subgroup: its figures, each leading to the films that lower it, and how far they are from the
    other films'. Nothing where no attribute parts the films. told: how they were measured, where the page does not say.
    """
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
    linked.table(["Subgroup", *heads], rows, key="subgroups", caption="The classifier by subgroup")
    st.caption(
        f"{side.head}{told}. A difference is from all other films of which the attribute is known, and of two "
        "subgroups it stands beside the first; p is of no difference, corrected for all that were looked at. Nothing "
        f"is measured on fewer than {SUBGROUP_LEAST} files."
    )


def _value(dataset: Dataset, side: sides.Side, name: str, where: str) -> tuple[Cell, Cell]:
    """The figure with its interval, as a link to the films that lower it, and the files that it rests on."""
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
    cell = figures.in_one(apart, tone="wrong" if value is not None and value < TOLD_APART else "muted")
    return replace(cell, text=f"{cell.text}, p {wording.measured(f'{name}{P_VALUE}', value)}")
