"""Copies of a case under stress tests: those that change its call, which of them is displayed, and their cards."""

from dataclasses import dataclass

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Card
from db.models import Dataset, Run
from db.queries import audit, cases
from db.queries.audit import UNDER
from db.queries.cases import Case
from engine.metrics.robustness import UNALTERED

PARAMETER = "altered"


@dataclass(frozen=True)
class Copy:
    """A case under a stress: its name, what it does, and the probability of pneumonia if the call changes."""

    stress: str
    what: str
    probability: float | None


def copies(run: Run, case: Case) -> list[Copy]:
    """The case unaltered and under each stress that the audit tested, in its order."""
    with resources.reading() as session:
        found = audit.measures(session, run.id, case.id)
    tested = (run.summary or {}).get("stresses") or {}
    unaltered = Copy(UNALTERED, "as ingested", case.probability)
    return [unaltered, *(Copy(name, what, found.get(UNDER + name)) for name, what in tested.items())]


def changed(case: Case, view: filters.View) -> list[Copy]:
    """The unaltered case and its copies with another call, by the selected run's latest audit; empty without one."""
    with resources.reading() as session:
        run = audit.latest(session, view.run.id) if view.run else None
    found = [copy for copy in copies(run, case) if copy.probability is not None] if run else []
    return found if len(found) > 1 else []


def displayed(found: list[Copy]) -> Copy | None:
    """The copy that the URL names; None for the unaltered case."""
    wanted = address.get(PARAMETER)
    return next((copy for copy in found if copy.stress == wanted != UNALTERED), None)


def show(dataset: Dataset, case: Case, view: filters.View, found: list[Copy]) -> None:
    """The copies, each linked to this page with it in the viewer."""
    if not found:
        return
    shown = displayed(found) or found[0]
    cards = []
    for copy in found:
        stress = copy.stress if copy.stress != UNALTERED else None
        href = frame.here("case", dataset, **address.onwards(**{PARAMETER: stress}))
        cards.append(card(case, copy, href=href, threshold=view.question.own_threshold, displayed=copy == shown))
    st.markdown("**Stress tests that change the call**")
    linked.cards(cards, key="altered", width=120)


def card(case: Case, copy: Copy, *, href: str, threshold: float | None, displayed: bool = False) -> Card:
    """The copy with its probability, if its call changes, and its outcome."""
    outcome = cases.outcome(case.label, copy.probability, threshold)
    name = copy.stress.capitalize()
    probability = "call unchanged" if copy.probability is None else f"{wording.percent(copy.probability)} pneumonia"
    unaltered = copy.stress == UNALTERED
    return Card(
        href=href,
        src=pictures.thumbnail_url(case.sha256) if unaltered else pictures.altered_url(case.sha256, copy.stress),
        alt=f"{name}: {copy.what}",
        title=name,
        mark=outcome or "",
        tone="wrong" if outcome in ("FP", "FN") else "",
        lines=(probability, copy.what, *(["displayed above"] if displayed else [])),
    )
