"""What was measured of a classifier on one split, and the lists of the films behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dashboard.components import filters, frame
from db.models import Dataset, Metric, Run
from engine.splits import OUT_OF_FOLD, UNSPLIT, evaluated_split

SPLITS = {UNSPLIT: "No split", OUT_OF_FOLD: "Out of fold"}
"""Heads of columns that are not the split's name."""
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
    """The columns of one split. split: as it is stored; head: their heading. metrics: by name and slice. films: URL
    parameters of the list of cases that was measured; None where no run of this dataset predicted them."""

    split: str
    head: str
    metrics: Mapping[tuple[str, str], Metric]
    films: Mapping[str, object] | None


def judged(metrics: Sequence[Metric]) -> str:
    """The split that the classifier is evaluated on, of those that these metrics are of."""
    return evaluated_split({metric.split for metric in metrics} - {OUT_OF_FOLD})


def head(split: str) -> str:
    """The heading of a split's columns."""
    return SPLITS.get(split, split.capitalize())


def of_evaluation(view: filters.View, run: Run, metrics: Sequence[Metric]) -> Iterator[Side]:
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


def of_run(run: Run, metrics: Sequence[Metric]) -> Side | None:
    """What an evaluation that read this run measured of it: of a predict run on the evaluated split, of a train run out
    of fold; None where nothing."""
    split = OUT_OF_FOLD if run.kind == "train" else judged(metrics)
    return _side(split, head(split), run, metrics)


def _side(split: str, said: str, source: Run | None, metrics: Sequence[Metric]) -> Side | None:
    found = {(metric.name, metric.slice): metric for metric in metrics if metric.split == split}
    return Side(split, said, found, _predicted(split, source, found.get(("threshold", WHOLE)))) if found else None


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
