"""Key metrics of the classifier and of retrieval, as tiles."""

from collections.abc import Iterator, Sequence

import streamlit as st

from dashboard import resources
from dashboard.components import figures, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Tile
from dashboard.components.classification import sides
from db.models import Dataset, Metric, Run
from db.queries import indexes
from db.queries.evaluation import Evaluation
from db.slice_names import embedder_slice
from engine.metrics.names import display_name

CLASSIFIER = ("auc", "recall", "specificity", "accuracy")
RETRIEVAL = "p_at_1"


def show(dataset: Dataset, view: filters.View, evaluated: Evaluation, *, original: bool) -> None:
    """A tile for each measured metric, with its interval and a link. original: add the original tool's values."""
    run, metrics = evaluated
    side = next(sides.of_evaluation(view, run, metrics["classification"]), None)
    tiles = list(_classifier(dataset, side, original=original)) if side else []
    tiles += _retrieval(dataset, metrics["retrieval"], original=original)
    if tiles:
        linked.tiles(tiles, key="highlights")


def warnings(run: Run) -> None:
    """Warnings that the evaluation stored about its own metrics."""
    lines = (run.summary or {}).get("warnings") or []
    if lines:
        st.warning("  \n".join(wording.plain(f"{line[:1].upper()}{line[1:]}.") for line in lines))


def _classifier(dataset: Dataset, side: sides.Side, *, original: bool) -> Iterator[Tile]:
    for name in CLASSIFIER:
        metric = side.metrics.get((name, sides.WHOLE))
        if metric is not None:
            link = sides.films(dataset, side, name) or _curve(dataset, side)
            yield _tile(metric, [], link, original=original and metric.split == "test")


def _curve(dataset: Dataset, side: sides.Side) -> tuple[str, str] | None:
    """Link to the ROC curve, on the page of the run that made the predictions."""
    return ("ROC curve", frame.here("runs", dataset, run=side.films["run"])) if side.films else None


def _retrieval(dataset: Dataset, metrics: Sequence[Metric], *, original: bool) -> Iterator[Tile]:
    """The tile of the index that search uses by default."""
    with resources.reading() as session:
        searched = next((index.embedder for index in indexes.current(session, dataset.id)), None)
    for metric in metrics:
        if searched and (metric.name, metric.slice) == (RETRIEVAL, embedder_slice(searched)):
            link = ("Find similar cases", frame.here("search", dataset))
            yield _tile(metric, [f"Embedder {searched}"], link, original=original)


def _tile(metric: Metric, notes: list[str], link: tuple[str, str] | None, *, original: bool) -> Tile:
    head = sides.head(metric.split)
    span = wording.interval(metric.name, metric.low, metric.high)
    lines = [f"{head}, {span}" if span else head, *notes]
    if original and metric.name in figures.ORIGINAL:
        lines.append(f"Original tool {figures.of_original(metric.name).text}")
    return Tile(display_name(metric.name), wording.measured(metric.name, metric.value), tuple(lines), link)
