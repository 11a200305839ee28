"""How the evaluated classifier fares: its figures, each leading to the films that keep it from being better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard import resources
from dashboard.components import figures, filters, frame
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Metric, Run
from db.queries import cases
from engine.metrics.names import display_name
from engine.splits import OUT_OF_FOLD, UNSPLIT, evaluated_split

SPLITS = {UNSPLIT: "No split", OUT_OF_FOLD: "Out of fold"}
"""Heads of columns that are not the split's name."""
SHOWN = (
    *("auc", "threshold", "accuracy", "recall", "specificity", "precision", "f1"),
    *("average_precision", "brier", "ece", "ece_by_chance", "calibration_intercept", "calibration_slope"),
)
FILMS = {
    "accuracy": ("wrong", "All failures"),
    "recall": ("FN", "Missed pneumonias"),
    "specificity": ("FP", "False alarms"),
    "precision": ("FP", "False alarms"),
}
"""The outcome of the films that lower a figure, and how it reads."""
WHOLE = "all"
"""The slice of all images at the threshold in force."""


@dataclass(frozen=True)
class Side:
    """The columns of one split. head: their heading. metrics: by name and slice. films: URL parameters of the list of
    cases that was measured; None where no run of this dataset predicted them."""

    head: str
    metrics: Mapping[tuple[str, str], Metric]
    films: Mapping[str, object] | None


def judged(metrics: Sequence[Metric]) -> str:
    """The split that the classifier is evaluated on, of those that these metrics are of."""
    return evaluated_split({metric.split for metric in metrics} - {OUT_OF_FOLD})


def judged_on(metrics: Sequence[Metric]) -> str:
    """A sentence that names the evaluated split where it is not the test split, else ""."""
    split = judged(metrics)
    images = "images that the source puts into no split" if split == UNSPLIT else f"split {split}"
    return "" if split == "test" else f"There are no figures on a test split: the classifier is judged on {images}."


def show(dataset: Dataset, view: filters.View, run: Run, metrics: Sequence[Metric], *, original: bool) -> None:
    """A row for each figure with interval and n, on the split judged on and out of fold, the original tool's where they
    are comparable; under recall that of each cause. view: by what the evaluation `run` read."""
    with resources.reading() as session:
        causes = cases.causes(session, dataset.id)
    columns = list(sides(view, run, metrics))
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


def head(split: str) -> str:
    """The heading of a split's columns."""
    return SPLITS.get(split, split.capitalize())


def sides(view: filters.View, run: Run, metrics: Sequence[Metric]) -> Iterator[Side]:
    """The columns of the evaluated split and of the out-of-fold predictions, whose heading names their train run
    where that is not the one behind the evaluated predictions."""
    split = judged(metrics)
    behind = view.run.train_run_id if view.run else None
    read = run.config.get("train_run") or behind
    learned = next((one for one in view.runs if one.id == read), None)
    other = f", run {read}" if behind and read != behind else ""
    heads = {split: head(split), OUT_OF_FOLD: f"{head(OUT_OF_FOLD)}{other}"}
    for name, source in ((split, view.run), (OUT_OF_FOLD, learned)):
        if (found := _side(name, heads[name], source, metrics)) is not None:
            yield found


def side_of(run: Run, metrics: Sequence[Metric]) -> Side | None:
    """What an evaluation that read this run measured of it: of a predict run on the evaluated split, of a train run out
    of fold; None where nothing."""
    split = OUT_OF_FOLD if run.kind == "train" else judged(metrics)
    return _side(split, head(split), run, metrics)


def _side(split: str, said: str, source: Run | None, metrics: Sequence[Metric]) -> Side | None:
    found = {(metric.name, metric.slice): metric for metric in metrics if metric.split == split}
    return Side(said, found, _predicted(split, source, found.get(("threshold", WHOLE)))) if found else None


def _predicted(split: str, source: Run | None, threshold: Metric | None) -> dict[str, object] | None:
    """URL parameters that list the cases of a split as `source` predicted them, at the threshold they were measured at;
    None without a run."""
    if source is None:
        return None
    other = threshold.value if threshold and threshold.value != source.threshold else None
    where = None if split == OUT_OF_FOLD else "unknown" if split == UNSPLIT else split
    return {"split": where, "run": source.id, "threshold": other}


def films(dataset: Dataset, side: Side, name: str, **narrower: object) -> tuple[str, str] | None:
    """Of the cases that lower a metric, such as false negatives for recall: what they are called, and the URL of their
    list. None for a metric that no outcome lowers, or without a list. narrower: further parameters of the URL."""
    if side.films is None or name not in FILMS:
        return None
    outcome, said = FILMS[name]
    return said, frame.here("cases", dataset, **{**side.films, "outcome": outcome, **narrower})


def _rows(
    dataset: Dataset, sides: Sequence[Side], name: str, where: str, *, original: bool
) -> Iterator[list[Cell | str]]:
    """The row of a metric on a slice, unless nobody measured it."""
    if not any((name, where) in side.metrics for side in sides):
        return
    row: list[Cell | str] = [display_name(name) if where == WHOLE else f"\u2013 {where}"]
    for at, side in enumerate(sides):
        value, *rest = figures.with_interval(side.metrics.get((name, where)))
        row += [_leading(dataset, value, side, name, where), *rest]
        if original and not at:
            row.append(figures.of_original(name) if where == WHOLE else "")
    yield row


def _leading(dataset: Dataset, value: Cell, side: Side, name: str, where: str) -> Cell:
    """The value as a link to the films that lower it, where it has such."""
    cause = None if where == WHOLE else where
    found = films(dataset, side, name, cause=cause)
    if found is None or (name, where) not in side.metrics:
        return value
    said, href = found
    return replace(value, href=href, help=f"{said}: {cause}" if cause else said)
