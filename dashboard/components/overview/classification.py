"""How the evaluated classifier fares: its figures, each leading to the films that keep it from being better."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dashboard import resources
from dashboard.components import figures, filters
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides
from dashboard.components.classification.sides import WHOLE, Side
from db.models import Dataset, Metric, Run
from db.queries import cases
from engine.metrics.names import display_name
from engine.splits import UNSPLIT

SHOWN = (
    *("auc", "threshold", "accuracy", "recall", "specificity", "precision", "f1"),
    *("average_precision", "brier", "ece", "ece_by_chance", "calibration_intercept", "calibration_slope"),
)


def judged_on(metrics: Sequence[Metric]) -> str:
    """A sentence that names the evaluated split where it is not the test split, else ""."""
    split = sides.judged(metrics)
    images = "images that the source puts into no split" if split == UNSPLIT else f"split {split}"
    return "" if split == "test" else f"There are no figures on a test split: the classifier is judged on {images}."


def show(dataset: Dataset, view: filters.View, run: Run, metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each figure with interval and n, on the split judged on and out of fold, the original tool's where they
    are comparable; under recall that of each cause. view: by what the evaluation `run` read."""
    with resources.reading() as session:
        causes = cases.causes(session, dataset.id)
    columns = list(sides.of_evaluation(view, run, metrics))
    original = original and any(metric.split == "test" for metric in metrics)
    rows: list[list[Cell | str]] = []
    for name in SHOWN:
        rows += _rows(dataset, columns, name, WHOLE, original=original)
        if name == "recall":
            rows += [row for cause in causes for row in _rows(dataset, columns, name, cause, original=original)]
    heads = ["Classification"]
    for at, side in enumerate(columns):
        heads += [f">{side.head}", ">95 % interval", ">n", *([">Original tool"] if original and not at else [])]
    linked.table(heads, rows, key="classification", caption="Classification metrics")


def _rows(
    dataset: Dataset, columns: Sequence[Side], name: str, where: str, *, original: bool
) -> Iterator[list[Cell | str]]:
    """The row of a metric on a slice, unless nobody measured it."""
    if not any((name, where) in side.metrics for side in columns):
        return
    row: list[Cell | str] = [display_name(name) if where == WHOLE else f"\u2013 {where}"]
    for at, side in enumerate(columns):
        value, *rest = figures.with_interval(side.metrics.get((name, where)))
        row += [_leading(dataset, value, side, name, where), *rest]
        if original and not at:
            row.append(figures.of_original(name) if where == WHOLE else "")
    yield row


def _leading(dataset: Dataset, value: Cell, side: Side, name: str, where: str) -> Cell:
    """The value as a link to the films that lower it, where it has such."""
    cause = None if where == WHOLE else where
    found = sides.films(dataset, side, name, cause=cause)
    if found is None or (name, where) not in side.metrics:
        return value
    said, href = found
    return replace(value, href=href, help=f"{said}: {cause}" if cause else said)
