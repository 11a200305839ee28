"""Tables for charts from a run's stored values; empty if none was stored."""

from collections.abc import Iterable
from typing import Any, Protocol

import pandas as pd

from engine.audit.faithfulness import MODES, ORDERS, STEPS
from engine.metrics.names import NAMES, SEEN_UNFRAMED, SEEN_WHOLE, SELECTIVE, SUBGROUP_MEASURES


class Value(Protocol):
    """A stored value with its name, split, slice, interval (None if unknown) and number of images."""

    @property
    def split(self) -> str:
        """A split of the data, oof for out-of-fold predictions, or reports."""
        ...

    @property
    def slice(self) -> str:
        """The part of the split that was measured; all for the whole."""
        ...

    @property
    def name(self) -> str:
        """The name under which the value is stored, such as auc."""
        ...

    @property
    def step(self) -> int:
        """The point of a curve, such as the epoch; -1 for a final value."""
        ...

    @property
    def value(self) -> float | None:
        """None where it is not defined or there are too few images."""
        ...

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        ...

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        ...

    @property
    def n(self) -> int | None:
        """The number of images, or of reports, behind the value."""
        ...


def precision_at_k(values: Iterable[Value]) -> tuple[pd.DataFrame, float | None]:
    """embedder, k, value, low, high, n for engine.charts.retrieval.precision_at_k, and the chance level."""
    whole = [row for row in values if " / " not in row.slice]
    rows = [
        {"embedder": row.slice, "k": int(row.name.removeprefix("p_at_")), **_measured(row)}
        for row in whole
        if row.name.startswith("p_at_")
    ]
    chance = [row.value for row in whole if row.name == "chance" and row.value is not None]
    return _table(rows, "embedder", "k").sort_values("k", kind="stable"), min(chance, default=None)


def faithfulness(values: Iterable[Value], *, group: str) -> pd.DataFrame:
    """mode, order, share, value, low, high, n for engine.charts.audit.faithfulness_curves. group: of images, such as
    called_pneumonia."""
    names = {f"{mode}_{order}": (mode, order) for mode in MODES for order in ORDERS}
    rows = []
    for row in values:
        if row.slice == group and row.name in names:
            mode, order = names[row.name]
            rows.append({"mode": mode, "order": order, "share": row.step / STEPS, **_measured(row)})
    return _table(rows, "mode", "order", "share")


def probes(values: Iterable[Value]) -> pd.DataFrame:
    """probe, where, value, low, high, n for engine.charts.audit.shortcut_probes."""
    rows = [
        {"probe": row.slice, "where": "out of fold" if row.split == "oof" else row.split, **_measured(row)}
        for row in values
        if row.name == "probe_auc" and row.value is not None
    ]
    return _table(rows, "probe", "where").sort_values(["probe", "where"])


def correlations(values: Iterable[Value]) -> pd.DataFrame:
    """probe, where (what the classifier saw), value, low, high, n for engine.charts.audit.probe_correlations."""
    seen = {"probe_correlation": SEEN_WHOLE, "probe_correlation_hidden": SEEN_UNFRAMED}
    rows = [
        {"probe": row.slice, "where": seen[row.name], **_measured(row)}
        for row in values
        if row.name in seen and row.value is not None
    ]
    return _table(rows, "probe", "where").sort_values(["probe", "where"], ascending=[True, False])


def stresses(values: Iterable[Value]) -> pd.DataFrame:
    """stress, name (display name of the metric), value, low, high, n for engine.charts.audit.stress_tests."""
    names = {f"stress_{name}": NAMES[name] for name in SUBGROUP_MEASURES}
    rows = [
        {"stress": row.slice, "name": names[row.name], **_measured(row)}
        for row in values
        if row.name in names and row.value is not None
    ]
    return _table(rows, "stress", "name")


def by_coverage(values: Iterable[Value], *, split: str) -> pd.DataFrame:
    """name (accuracy, recall, specificity), coverage in percent, value, low, high, n for
    engine.charts.classification.accuracy_by_coverage; without the points where too few images are called."""
    rows = [
        {"name": row.name.removeprefix("selective_"), "coverage": row.step, **_measured(row)}
        for row in values
        if row.name in SELECTIVE and row.split == split and row.step > 0 and row.value is not None
    ]
    return _table(rows, "name", "coverage").sort_values(["name", "coverage"])


def _measured(row: Value) -> dict[str, Any]:
    return {"value": row.value, "low": row.low, "high": row.high, "n": row.n or 0}


def _table(rows: list[dict[str, Any]], *names: str) -> pd.DataFrame:
    """Unknown numbers are NaN."""
    floats = dict.fromkeys(("value", "low", "high"), float)
    return pd.DataFrame(rows, columns=[*names, "value", "low", "high", "n"]).astype(floats)
