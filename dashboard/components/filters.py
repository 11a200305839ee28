"""Which cases a page is about: the question in its URL, and the widgets that change it."""

from dataclasses import dataclass, replace

import streamlit as st

from dashboard import resources
from dashboard.components import address, wording
from db.models import Dataset, Run
from db.queries import cases, datasets, duplicates
from db.queries.cases import Question

SPLITS = {"train": "Train", "val": "Val", "test": "Test", "unknown": "No split"}
LABELS = {"pneumonia": "Pneumonia", "normal": "Normal", "unknown": "Unknown"}
OUTCOMES = {"wrong": "All failures", "FN": "FN", "FP": "FP", "TP": "TP", "TN": "TN"}
SORTS = {
    "wrong": "Most wrong first",
    "uncertain": "Closest to the threshold",
    "high": "Highest probability",
    "low": "Lowest probability",
    "file": "Order of ingest",
}
REPORTED = {"yes": "Some", "no": "None"}
NAMES = ("split", "label", "cause", "outcome", "reported", "twins", "low", "high", "sort", "run")
TWINS = {"any": "Any", "apart": "In another split"}
KINDS = {"predict": "Test predictions", "train": "Out-of-fold predictions"}


@dataclass(frozen=True)
class View:
    """A question, the run whose predictions it speaks of (None: there is none), and the runs to choose from."""

    question: Question
    run: Run | None
    runs: list[Run]

    @property
    def judged(self) -> tuple[int, float] | None:
        """The run and its threshold, where there is a run that has one."""
        question = self.question
        if question.run_id is None or question.threshold is None:
            return None
        return question.run_id, question.threshold


def view(dataset: Dataset) -> View:
    """The question in the URL; what it does not name, or names wrongly, stays open."""
    with resources.reading() as session:
        known = list(cases.runs(session, dataset.id))
        compared = duplicates.latest(session, dataset.id) if address.get("twins") in TWINS else None
    run = next((run for run in known if run.id == address.number("run")), known[0] if known else None)
    threshold = (run.summary or {}).get("threshold") if run else None
    question = Question(
        dataset_id=dataset.id,
        run_id=run.id if run else None,
        threshold=float(threshold) if threshold is not None else None,
        split=_named("split", SPLITS),
        label=_named("label", LABELS),
        cause=address.get("cause"),
        reported=_named("reported", REPORTED),
        twin=(compared.id, address.get("twins") == "apart") if compared else None,
        sort=_named("sort", SORTS) or ("wrong" if run else "file"),
    )
    if run is None:
        return View(replace(question, sort="file"), None, known)
    low, high = address.bounds()
    return View(replace(question, outcome=_named("outcome", OUTCOMES), low=low, high=high), run, known)


def parameters(**others: object) -> dict[str, object]:
    """The question's part of the URL, to hand on to another page, and `others`."""
    return {name: address.get(name) for name in NAMES} | others


def draw(dataset: Dataset, found: View) -> None:
    """The widgets, in the sidebar; what the dataset does not have is not offered."""
    with resources.reading() as session:
        causes = cases.causes(session, dataset.id)
        compared = duplicates.latest(session, dataset.id)
    splits, labels = offered(dataset)
    with st.sidebar:
        choose("Split", splits, name="split")
        choose("Label", labels, name="label")
        if causes:
            choose("Cause", {name: name.capitalize() for name in causes} | {"unknown": "Unknown"}, name="cause")
        if found.run is not None:
            choose("Outcome", OUTCOMES, name="outcome")
            address.share_range("Probability of pneumonia")
            address.choice("Sort", SORTS, name="sort", default="wrong", menu=True)
        address.choice("Reports", REPORTED, name="reported")
        if compared is not None:
            address.choice("Near-duplicates", TWINS, name="twins")
        if len(found.runs) > 1:
            shown = {str(run.id): f"{KINDS[run.kind]}, run {run.id}" for run in found.runs}
            address.choice("Predictions", shown, name="run", default=str(found.runs[0].id), menu=True)


def offered(dataset: Dataset) -> tuple[dict[str, str], dict[str, str]]:
    """The splits and the labels that the dataset has."""
    with resources.reading() as session:
        rows = datasets.counts(session, dataset.id)
    splits = {row["split"] or cases.UNKNOWN for row in rows}
    labels = {row["label"] for row in rows}
    return (
        {name: shown for name, shown in SPLITS.items() if name in splits},
        {name: shown for name, shown in LABELS.items() if cases.LABELS[name] in labels},
    )


def choose(label: str, options: dict[str, str], *, name: str) -> str | None:
    """A filter as buttons, where there is something to choose."""
    return address.choice(label, options, name=name) if len(options) > 1 or address.get(name) in options else None


def described(found: View) -> str:
    """Which predictions and threshold the outcomes come from."""
    if found.run is None:
        return "No predictions yet."
    kind = KINDS[found.run.kind]
    if found.question.threshold is None:
        return f"{kind} of run {found.run.id}; its threshold is {wording.UNKNOWN}."
    return f"{kind} of run {found.run.id}, pneumonia from {wording.percent(found.question.threshold)}."


def in_words() -> str:
    """The question in the URL, in a line."""
    known = {"split": SPLITS, "label": LABELS, "outcome": OUTCOMES, "reported": REPORTED, "sort": SORTS, "twins": TWINS}
    said = [f"{name} {known.get(name, {}).get(value, value)}" for name in NAMES if (value := address.get(name))]
    return ", ".join(said).lower() or "all cases"


def _named(name: str, options: dict[str, str]) -> str | None:
    value = address.get(name)
    return value if value in options else None
