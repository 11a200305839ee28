"""How measured values read: tables of metrics with intervals and n, beside the original tool's."""

from collections.abc import Mapping, Sequence

from dashboard.components import linked, wording
from dashboard.components.linked import Cell
from db.models import Metric
from engine.metrics.names import NAMES

ORIGINAL = {
    "accuracy": 0.93,
    "recall": 0.96,
    "specificity": 0.88,
    "auc": 0.97,
    "p_at_1": 0.78,
    "p_at_3": 0.76,
    "p_at_5": 0.75,
    "p_at_10": 0.73,
}
"""What the tool that this one follows reported on the same test split."""
RETRIEVAL = (
    *("p_at_1", "p_at_3", "p_at_5", "p_at_10", "map", "vote_auc", "chance"),
    *("from_train_p_at_1", "from_train_p_at_10", "from_train_vote_auc", "from_train_chance"),
)
CLASSIFICATION = ("auc", "accuracy", "recall", "specificity", "precision", "f1", "average_precision", "brier", "ece")


def classification(metrics: Sequence[Metric]) -> None:
    """Test figures with intervals and n, the original tool's, and the out-of-fold ones."""
    found = {(metric.name, metric.split): metric for metric in metrics if metric.slice == "all"}
    rows: list[list[Cell | str]] = []
    for name in CLASSIFICATION:
        test, held_out = found.get((name, "test")), found.get((name, "oof"))
        if test is None and held_out is None:
            continue
        rows.append([NAMES[name], *_with_interval(test), _original(name), *_with_interval(held_out)[:2]])
    heads = ["Classification", ">Test", ">95 % interval", ">n", ">Original tool", ">Out of fold", ">95 % interval"]
    linked.table(heads, rows, key="classification", caption="Classification metrics")


def retrieval(metrics: Sequence[Metric]) -> None:
    """Each embedder's precision at k and more, one row each measure, with the original tool's: test images among
    themselves, then against train."""
    embedders = sorted({metric.slice for metric in metrics if " / " not in metric.slice})
    found = {(metric.name, metric.slice): metric for metric in metrics}
    rows: list[list[Cell | str]] = []
    for name in RETRIEVAL:
        shown = name.removeprefix("from_train_")
        if any(found.get((name, embedder)) for embedder in embedders):
            cells = [cell for one in embedders for cell in _with_interval(found.get((name, one)))[:2]]
            what = NAMES.get(shown, shown.capitalize())
            rows.append([f"{what}, against train" if shown != name else what, *cells, _original(name)])
    heads = [part for embedder in embedders for part in (f">{embedder}", ">95 % interval")]
    linked.table(["Retrieval", *heads, ">Original tool"], rows, key="retrieval", caption="Retrieval precision")


def reports(metrics: Sequence[Metric], counts: Mapping[str, int]) -> None:
    """Stance agreement and keyword alignment by model and strategy; counts: reports by the same names."""
    found = {(metric.name, metric.slice): metric for metric in metrics}
    slices = sorted({metric.slice for metric in metrics if metric.name == "keyword_alignment"})
    rows: list[list[Cell | str]] = []
    for where in slices:
        agreed = _with_interval(found.get(("stance_agreement", where)))[:2]
        aligned = _with_interval(found.get(("keyword_alignment", where)))[:1]
        rows.append([where, wording.count(counts.get(where)), *agreed, *aligned])
    heads = ["Reports by model / strategy", ">Reports", ">Stance", ">95 % interval", ">Keywords"]
    linked.table(heads, rows, key="reports", caption="Report scores: stance agreement and keyword alignment")


def listing(metrics: Sequence[Metric], *, key: str) -> None:
    """Every final metric of a run."""
    rows = [
        [NAMES.get(metric.name, metric.name), metric.split, metric.slice, *_with_interval(metric)] for metric in metrics
    ]
    linked.table(["Metric", "Split", "Slice", ">Value", ">95 % interval", ">n"], rows, key=key, caption="All metrics")


def _with_interval(metric: Metric | None) -> list[Cell | str]:
    if metric is None:
        return [Cell(wording.UNKNOWN, tone="muted"), "", ""]
    return [
        Cell(wording.measured(metric.name, metric.value), tone="strong"),
        Cell(wording.interval(metric.name, metric.low, metric.high), tone="muted"),
        Cell(wording.count(metric.n), tone="muted"),
    ]


def _original(name: str) -> Cell:
    return Cell(f"~ {wording.measured(name, ORIGINAL[name])}") if name in ORIGINAL else Cell("")
