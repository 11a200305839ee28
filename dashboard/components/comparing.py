"""Two runs beside each other: what differs, how surely, and which images changed sides."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import pictures, resources
from dashboard.components import address, frame, linked, panels, wording
from dashboard.components.linked import Card, Cell
from db.models import Dataset, Run
from db.queries import comparison
from engine.metrics.names import NAMES

if TYPE_CHECKING:
    from engine.metrics.comparison import Comparison

SHOWN = 60
REPLICATES = 1000
LOWER_IS_BETTER = ("brier", "ece")


def offer(dataset: Dataset, run: Run) -> None:
    """A menu of the runs that this one can be compared with, and the comparison where one is chosen."""
    if run.kind not in comparison.KINDS or run.status != "finished":
        return
    with resources.reading() as session:
        others = comparison.partners(session, run)
    if not others:
        return
    st.subheader("Compare")
    shown = {str(other.id): f"Run {other.id}, {_named(other)}, {wording.ago(other.started)}" for other in others}
    chosen = address.choice("With", shown, name="against", menu=True)
    if chosen in shown:
        with panels.guarded("The comparison"):
            _compared(dataset, run, next(other for other in others if str(other.id) == chosen))


def _compared(dataset: Dataset, first: Run, second: Run) -> None:
    from engine.errors import InputError

    with resources.reading() as session:
        rows = comparison.paired(session, first, second)
    if not rows:
        st.markdown("The two runs scored no labelled image in common that neither was trained on.")
        return
    try:
        found = _measured(
            tuple((row["label"], row["first"], row["second"], row["patient_key"]) for row in rows),
            *((run.summary or {}).get("threshold", 0.5) for run in (first, second)),
        )
    except InputError as error:
        st.markdown(f"These runs cannot be compared: {wording.plain(str(error))}.")
        return
    auc, verdicts = found.auc, found.verdicts
    st.markdown(
        f"{wording.count(found.images, 'distinct image')}, each run at its own threshold. "
        f"DeLong's test of the AUCs: p = {auc.p:.3g}. McNemar's test of the verdicts: only run {first.id} right "
        f"{verdicts.first_only}, only run {second.id} right {verdicts.second_only}, exact p = {verdicts.p_exact:.3g}."
    )
    _differences(found, first, second)
    _settings(first, second)
    _changed(dataset, [rows[index] for index in found.changed], first, second)


@st.cache_data(show_spinner="Comparing", max_entries=20)
def _measured(rows: tuple[tuple[int, float, float, str], ...], one: float, other: float) -> "Comparison":
    from engine.metrics.classification import Sample
    from engine.metrics.comparison import compare

    labels, first, second, patients = (list(column) for column in zip(*rows, strict=True))
    samples = Sample.of(labels, first, threshold=one), Sample.of(labels, second, threshold=other)
    return compare(*samples, patients=patients, seed=0, replicates=REPLICATES)


def _differences(found: "Comparison", first: Run, second: Run) -> None:
    table: list[list[Cell | str]] = []
    for name, interval in found.differences.items():
        one, other = found.values[name]
        sure = interval.low > 0 or interval.high < 0
        better = (interval.value > 0) != (name in LOWER_IS_BETTER)
        verdict = f"run {first.id if better else second.id}" if sure else "not told apart"
        span = f"{interval.low:+.3f} to {interval.high:+.3f}"
        table.append(
            [
                NAMES[name],
                *(f"{value:.3f}" for value in (one, other)),
                f"{interval.value:+.3f}",
                span,
                Cell(verdict, tone="strong" if sure else "muted"),
            ]
        )
    heads = ["Metric", f">Run {first.id}", f">Run {second.id}", ">Difference", ">95 % interval", "Better"]
    linked.table(heads, table, key="differences", caption="Metrics of both runs and their differences")


def _settings(first: Run, second: Run) -> None:
    """What the two runs were asked differently."""
    one, other = (_flat({**run.config, "seed": run.seed, "code version": run.code_version}) for run in (first, second))
    table = [
        [name, one.get(name, "absent"), other.get(name, "absent")]
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]
    if table:
        heads = ["Setting", f"Run {first.id}", f"Run {second.id}"]
        linked.table(heads, table, key="settings", caption="Settings in which the runs differ")


def _changed(dataset: Dataset, rows: Sequence[dict[str, Any]], first: Run, second: Run) -> None:
    st.markdown(f"**{wording.count(len(rows), 'image')} changed sides**, those that moved furthest first.")
    cards = []
    for row in rows[:SHOWN]:
        called = row["first"] >= (first.summary or {}).get("threshold", 0.5)
        right = first if called == (row["label"] == 1) else second
        label = wording.LABELS[row["label"]]
        cards.append(
            Card(
                href=frame.here("case", dataset, image=row["image_id"]),
                src=pictures.thumbnail_url(row["sha256"]),
                alt=f"Chest radiograph {row['image_id']}, {label.lower()}, right in run {right.id}",
                title=f"{wording.percent(row['first'])} / {wording.percent(row['second'])}",
                mark=f"right: {right.id}",
                lines=(label, row["path"].rpartition("/")[2]),
            )
        )
    if cards:
        linked.cards(cards, key="changed")
    if len(rows) > SHOWN:
        st.markdown(f"{len(rows) - SHOWN} more: `python -m jobs compare {first.id} {second.id}` lists them all.")


def _named(run: Run) -> str:
    """What tells a run from others of its kind."""
    return str((run.summary or {}).get("recipe") or run.kind)


def _flat(given: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of texts."""
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found
