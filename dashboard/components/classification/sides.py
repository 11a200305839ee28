"""Metrics of a classifier on one split, with links to the images behind them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dashboard.components import filters, frame
from db.models import Dataset, Metric, Run
from engine.datasets.splits import OUT_OF_FOLD, UNSPLIT, evaluated_split

SPLITS = {UNSPLIT: "No split", OUT_OF_FOLD: "Out of fold"}
"""Column headings that differ from the split's name."""
FILMS = {
    "accuracy": ("wrong", "All failures"),
    "recall": ("FN", "False negatives"),
    "specificity": ("FP", "False positives"),
    "precision": ("FP", "False positives"),
}
"""Metric -> outcome of the images that lower it, and its name."""
WHOLE = "all"
"""The slice of all images at the operating point of the run."""


@dataclass(frozen=True)
class Side:
    """The columns of one split. split: as it is stored; head: their heading. metrics: by name and slice. films: URL
    parameters that list the measured cases; None if no run of this dataset predicted them."""

    split: str
    head: str
    metrics: Mapping[tuple[str, str], Metric]
    films: Mapping[str, object] | None


def judged(metrics: Sequence[Metric]) -> str:
    """The split that the classifier is evaluated on, among the splits of these metrics."""
    return evaluated_split({metric.split for metric in metrics} - {OUT_OF_FOLD})


def on_evaluated_split(metrics: Mapping[tuple[str, str], Metric]) -> dict[str, Metric]:
    """The metrics of a run by name, on the split that it is evaluated on. metrics: by name and split."""
    split = evaluated_split({split for _, split in metrics})
    return {name: metric for (name, where), metric in metrics.items() if where == split}


def head(split: str) -> str:
    """Column heading of a split."""
    return SPLITS.get(split, split.capitalize())


def of_evaluation(view: filters.View, run: Run, metrics: Sequence[Metric]) -> Iterator[Side]:
    """The columns of the evaluated split and of the out-of-fold predictions. The heading of the latter names their
    train run if it is not the one behind the evaluated predictions."""
    split = judged(metrics)
    behind = view.run.train_run_id if view.run else None
    read = run.config.get("train_run") or behind
    learned = next((one for one in view.runs if one.id == read), None)
    other = f", run {read}" if behind and read != behind else ""
    heads = {split: head(split), OUT_OF_FOLD: f"{head(OUT_OF_FOLD)}{other}"}
    for name, source in ((split, view.run), (OUT_OF_FOLD, learned)):
        if (found := _side(name, heads[name], source, metrics)) is not None:
            yield found


def of_run(run: Run, metrics: Sequence[Metric]) -> Side | None:
    """The metrics of a run in an evaluation that read it: on the evaluated split for a predict run, out of fold for a
    train run; None if there are none."""
    split = OUT_OF_FOLD if run.kind == "train" else judged(metrics)
    return _side(split, head(split), run, metrics)


def _side(split: str, heading: str, source: Run | None, metrics: Sequence[Metric]) -> Side | None:
    found = {(metric.name, metric.slice): metric for metric in metrics if metric.split == split}
    return Side(split, heading, found, _predicted(split, source, found.get(("threshold", WHOLE)))) if found else None


def _predicted(split: str, source: Run | None, threshold: Metric | None) -> dict[str, object] | None:
    """URL parameters that list the cases of a split with the predictions of `source`, at the threshold used in the
    evaluation; None without a run."""
    if source is None:
        return None
    other = threshold.value if threshold and threshold.value != source.threshold else None
    where = None if split == OUT_OF_FOLD else "unknown" if split == UNSPLIT else split
    return {"split": where, "run": source.id, "threshold": other}


def films(dataset: Dataset, side: Side, name: str, **narrower: object) -> tuple[str, str] | None:
    """Name and URL of the cases that lower a metric, such as false negatives for recall; None if no outcome lowers it
    or there is no list. narrower: additional URL parameters."""
    if side.films is None or name not in FILMS:
        return None
    outcome, heading = FILMS[name]
    return heading, frame.here("cases", dataset, **{**side.films, "outcome": outcome, **narrower})
