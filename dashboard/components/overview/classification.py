"""Metrics of the evaluated classifier, each linked to the images that lower it."""

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
from engine.datasets.splits import UNSPLIT
from engine.metrics.names import display_name

SHOWN = (
    *("auc", "threshold", "accuracy", "recall", "specificity", "precision", "f1"),
    *("average_precision", "brier", "ece", "ece_by_chance", "calibration_intercept", "calibration_slope"),
)


def evaluated_on(metrics: Sequence[Metric]) -> str:
    """A sentence naming the evaluated split if it is not the test split, else ""."""
    split = sides.judged(metrics)
    images = "images without a split" if split == UNSPLIT else f"split {split}"
    return "" if split == "test" else f"No test-split metrics: the classifier is evaluated on {images}."


def show(dataset: Dataset, view: filters.View, run: Run, metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each metric with interval and n, on the evaluated split and out of fold, and recall by cause. original:
    add the original tool's values. view: the predictions that the evaluation `run` read."""
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
    """The row of a metric on a slice, if it was measured."""
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
    """The value, linked to the images that lower it if there is such a list."""
    cause = None if where == WHOLE else where
    found = sides.films(dataset, side, name, cause=cause)
    if found is None or (name, where) not in side.metrics:
        return value
    target, href = found
    return replace(value, href=href, help=f"{target}: {cause}" if cause else target)
