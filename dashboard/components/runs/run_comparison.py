"""Comparison of two runs: settings, metrics with significance, and images with different outcomes."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, frame, panels, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Card, Cell
from dashboard.components.runs import naming, stress_tests
from db.models import Dataset, Metric, Run
from db.queries import comparison, runs
from db.queries.comparison import PairedImage
from engine.commands import job
from engine.metrics.names import DECIDES, display_name

if TYPE_CHECKING:
    from engine.metrics.comparison import Comparison

SHOWN = 60
REPLICATES = 1000
MEANING = (
    "**Compare by AUC**, which needs no threshold. The other metrics are exploratory: each classifier is at its own "
    "threshold, and a run is called better only if the difference is significant after adjustment for multiple "
    "comparisons (Holm, 5 %). Intervals and significance are bootstrapped over patients; DeLong's and McNemar's tests "
    "assume independent images, which images of one patient are not."
)
LOWER_IS_BETTER = ("brier", "ece", "aurc")
HASH = re.compile(r"[0-9a-f]{40,64}")


def offer(dataset: Dataset, run: Run) -> None:
    """A menu of other runs of this kind, and the comparison with the chosen one."""
    with resources.reading() as session:
        others = {str(other.id): other for other in comparison.partners(session, run)}
    if not others:
        return
    shown = {number: _named(other) for number, other in others.items()}
    chosen = address.menu("Compare with", shown, name="against", placeholder="Choose a run")
    if chosen in others:
        st.header(f"Compared with run {chosen}")
        _compare(dataset, run, others[chosen])


def previous(dataset: Dataset, run: Run) -> None:
    """Differences from the previous run of this kind, collapsed; nothing if another comparison is shown."""
    with resources.reading() as session:
        before = comparison.previous(session, run)
    if before is None or address.number("against") is not None:
        return
    with st.expander(f"Differences from run {before.id}, the previous {run.kind} run"):
        _compare(dataset, run, before, briefly=True)


def _compare(dataset: Dataset, first: Run, second: Run, *, briefly: bool = False) -> None:
    """Compare two runs of one kind; briefly: without what has to be computed first."""
    _settings(first, second)
    if first.kind not in comparison.KINDS:
        _values(first, second)
    elif (why := comparison.why_incomparable(first, second)) is not None:
        st.markdown(f"Their predictions cannot be compared: {wording.plain(why)}.")
    elif not briefly:
        with panels.guarded("The comparison"):
            _compared(dataset, first, second)


def _compared(dataset: Dataset, first: Run, second: Run) -> None:
    from engine.errors import InputError

    for run in (first, second):
        if run.threshold is None:
            again = wording.plain(job(run.kind, dataset.name))
            st.markdown(f"These runs cannot be compared: run {run.id} has no threshold. To repeat it, run: {again}")
            return
    with resources.reading() as session:
        rows = comparison.paired(session, first, second)
    if not rows:
        st.markdown("The two runs share no labelled image of a patient that neither was trained on.")
        return
    try:
        found = _measured(
            tuple((row.label, row.first, row.second, row.patient_key) for row in rows),
            *(_threshold(run) for run in (first, second)),
        )
    except InputError as error:
        st.markdown(f"These runs cannot be compared: {wording.plain(str(error))}.")
        return
    auc, verdicts = found.auc, found.verdicts
    st.markdown(
        f"{wording.count(found.images, 'distinct image')}, each run at its own threshold. "
        f"DeLong's test of the AUCs: {_p(auc.p, '.3g')}. McNemar's test of the calls: {verdicts.first_only} correct "
        f"only in run {first.id}, {verdicts.second_only} only in run {second.id}, exact p = {verdicts.p_exact:.3g}."
    )
    st.markdown(MEANING)
    _differences(found, first, second)
    stress_tests.compare(first, second)
    _changed(dataset, [rows[index] for index in found.changed], first, second)


@st.cache_data(show_spinner="Comparing", max_entries=20)
def _measured(rows: tuple[tuple[int | None, float, float, str], ...], one: float, other: float) -> "Comparison":
    from engine.metrics.classification import Sample
    from engine.metrics.comparison import compare

    labels, first, second, patients = (list(column) for column in zip(*rows, strict=True))
    samples = Sample.of(labels, first, threshold=one), Sample.of(labels, second, threshold=other)
    return compare(*samples, patients=patients, seed=0, replicates=REPLICATES)


def _differences(found: "Comparison", first: Run, second: Run) -> None:
    one, other = _threshold(first), _threshold(second)
    shown = [wording.measured("threshold", value) for value in (one, other)]
    table: list[list[Cell | str]] = [[display_name("threshold"), *shown, _apart("threshold", one - other), "", ""]]
    for name in sorted(found.differences, key=lambda name: name != DECIDES):
        interval, (one, other) = found.differences[name], found.values[name]
        better = (interval.value > 0) != (name in LOWER_IS_BETTER)
        verdict = f"run {first.id if better else second.id}" if interval.told_apart else "not significant"
        known = wording.known(interval.p)
        p = f"{_p(interval.p, '.2g')}{', adjusted' if known and name != DECIDES else ''}"
        table.append(
            [
                display_name(name),
                *(wording.measured(name, value) for value in (one, other)),
                _apart(name, interval.value),
                f"{_change(name, interval.low)} to {_change(name, interval.high)}" if known else "",
                Cell(verdict, tone="strong" if interval.told_apart else "muted", help=p),
            ]
        )
    heads = ["Metric", f">Run {first.id}", f">Run {second.id}", ">Difference", ">95 % interval", "Better"]
    linked.table(heads, table, key="differences", caption="Thresholds and metrics of both runs, and their differences")


def _p(value: float, digits: str) -> str:
    return f"p = {value:{digits}}" if wording.known(value) else "p is unknown"


def _threshold(run: Run) -> float:
    """The threshold of a run that has one."""
    assert run.threshold is not None
    return run.threshold


def _settings(first: Run, second: Run) -> None:
    """Settings in which the two runs differ."""
    one, other = (
        naming.flat({**run.config, "seed": run.seed, "code version": run.code_version}) for run in (first, second)
    )
    table: list[list[Cell | str]] = [
        [name, *(_setting(side.get(name, "not set")) for side in (one, other))]
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
    if not table:
        st.markdown("Both runs have the same settings and code version.")
        return
    heads = ["Setting", f"Run {first.id}", f"Run {second.id}"]
    linked.table(heads, table, key="settings", caption="Settings in which the runs differ")


def _setting(value: str) -> Cell:
    """A setting's value; a hash is shortened, with the full hash as tooltip."""
    return Cell(f"{value[:12]}...", help=value) if HASH.fullmatch(value) else Cell(value)


def _values(first: Run, second: Run) -> None:
    """The final metrics whose displayed values differ, side by side; those over all images and the test split first."""
    with resources.reading() as session:
        one, other = (
            {(row.name, row.split, row.slice): row for row in runs.metrics(session, run.id)} for run in (first, second)
        )
    known = sorted(
        one.keys() | other.keys(), key=lambda key: (key[2] != "all", key[1] != "test", key[1], key[2], key[0])
    )
    rows = [_value(key, one.get(key), other.get(key)) for key in known if _read(one.get(key)) != _read(other.get(key))]
    if known:
        st.markdown(f"{len(rows):,} of {wording.count(len(known), 'metric')} differ in the displayed digits.")
    if rows:
        heads = ["Metric", "Split", "Slice", f">Run {first.id}", f">Run {second.id}", ">Difference"]
        linked.table(heads, rows, key="values", caption="Metrics in which the runs differ")


def _value(key: tuple[str, str, str], one: Metric | None, other: Metric | None) -> list[Cell | str]:
    name, split, where = key
    cells = [
        Cell(
            _read(metric),
            help=wording.interval(name, metric.low, metric.high) if metric else "",
        )
        for metric in (one, other)
    ]
    return [display_name(name), split, where, *cells, _apart(name, _less(_number(one), _number(other)))]


def _read(metric: Metric | None) -> str:
    """The metric's value as displayed."""
    return wording.measured(metric.name, metric.value) if metric is not None else wording.UNKNOWN


def _number(metric: Metric | None) -> float | None:
    """The metric's value, or None."""
    return metric.value if metric is not None and wording.known(metric.value) else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _apart(name: str, difference: float | None) -> Cell:
    """First value minus second, in the metric's unit."""
    if difference is None or not wording.known(difference):
        return Cell(wording.UNKNOWN, tone="muted")
    unit = "" if wording.is_score(name) or name.startswith("confusion") else " points"
    return Cell(f"{_change(name, difference)}{unit}")


def _change(name: str, difference: float) -> str:
    """A difference without its unit; proportions in percentage points."""
    if wording.is_score(name):
        return f"{difference:+z.3f}"
    return f"{difference:+z,.0f}" if name.startswith("confusion") else f"{100 * difference:+z.1f}"


def _changed(dataset: Dataset, rows: Sequence[PairedImage], first: Run, second: Run) -> None:
    summary = f"{wording.count(len(rows), 'image')} with different outcomes"
    if not rows:
        st.markdown(f"{summary}.")
        return
    moved = any(row.first != row.second for row in rows)
    order = "largest change in probability first" if moved else "due to the threshold alone: probabilities are equal"
    part = f"; {SHOWN} are shown" if len(rows) > SHOWN else ""
    href = frame.here("cases", dataset, run=first.id, against=second.id)
    linked.row([Cell(summary, href), Cell(f"{order}{part}")], key="moved", left=True)
    cards = []
    for row in rows[:SHOWN]:
        right = comparison.right(row, first, second)
        label = wording.LABELS[row.label]
        cards.append(
            Card(
                href=frame.here("case", dataset, image=row.image_id, run=first.id, against=second.id),
                src=pictures.thumbnail_url(row.sha256),
                alt=f"Chest radiograph {row.image_id}, {label.lower()}, correct in run {right.id}",
                title=f"{wording.percent(row.first)} / {wording.percent(row.second)}",
                mark=f"correct: {right.id}",
                lines=(label, row.path.rpartition("/")[2]),
            )
        )
    linked.cards(cards, key="changed")


def _named(run: Run) -> str:
    """Name of a run in the menu."""
    standing = runs.status(run)
    ended = [] if standing == "finished" else [standing]
    return ", ".join([f"Run {run.id}", *naming.description(run), *ended, wording.ago(run.started)])
