"""Which cases a page shows: the query in its URL, and the widgets that change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import resources
from dashboard.components import address, wording
from db.models import Dataset, ErrorSlice, Metric, Run
from db.queries import attributes, audit, cases, datasets, outliers, reviews, runs
from db.queries.cases import Question

SPLITS = {"train": "Train", "val": "Val", "test": "Test", "unknown": "No split"}
LABELS = {"pneumonia": "Pneumonia", "normal": "Normal", "unknown": "Unknown"}
OUTCOMES = {"wrong": "All failures", "FN": "Missed (FN)", "FP": "False positive (FP)", "TP": "TP", "TN": "TN"}
SORTS = {
    "wrong": "Most wrong first",
    "uncertain": "Closest to the threshold",
    "high": "Highest probability",
    "low": "Lowest probability",
    "file": "Ingest order",
}
REPORTED = {"yes": "Yes", "no": "No"}
TWINS = {"any": "Any", "apart": "In another split"}
REVIEWED = {"yes": "Yes", "no": "No", "doubted": "Label disputed"}
MOVED = {"yes": "Yes"}
ODD = {"yes": "Yes"}
VALUES = {
    **{"split": SPLITS, "label": LABELS, "outcome": OUTCOMES, "moved": MOVED, "reported": REPORTED},
    **{"reviewed": REVIEWED, "twins": TWINS, "outliers": ODD, "sort": SORTS},
}
"""Parameter -> display names of its values."""
HEADINGS = {
    **{"reported": "has reports", "moved": "prediction changed", "twins": "near-duplicates"},
    "outliers": "unlike most others",
    **{
        "stress": "call changes under stress",
        "against": "called differently by",
        "low": "probability from",
        "high": "probability to",
    },
}
"""Names of parameters whose URL name is not clear."""
MORE = ("reported", "reviewed", "tag", "slice", "stress", "twins", "outliers", "against")
"""Filters in the collapsed section."""
NAMES = (
    *("split", "label", "cause", "outcome", "moved", "threshold", "reported", "reviewed", "tag", "slice", "stress"),
    *("twins", "outliers", "against", "low", "high", "sort", "run"),
)
LOOK = "look"
"""URL parameter of how a list of cases is drawn."""
OTHERS = 20
"""Maximum number of runs whose agreement a URL can ask for."""
ATTRIBUTE = "film."
"""Prefix of attribute parameters, so that no attribute name collides with another parameter: film.sex=female."""


@dataclass(frozen=True)
class View:
    """A query, the run whose predictions it uses (None if there is none), and the runs to choose from."""

    question: Question
    run: Run | None
    runs: list[Run]
    against: Run | None = None
    """The other run, if only cases that the two runs call differently are shown."""
    alike: tuple[int, ...] = ()
    """The other runs, if only cases that none of them calls differently are shown."""
    part: ErrorSlice | None = None
    """The audit slice, if only its cases are shown."""

    @property
    def judged(self) -> tuple[int, float] | None:
        """The run and its threshold; None if there is no run or it has no threshold."""
        question = self.question
        if question.run_id is None or question.threshold is None:
            return None
        return question.run_id, question.threshold

    @property
    def train_run(self) -> Run | None:
        """The train run behind the selected predict run, which has out-of-fold predictions of its training images."""
        wanted = self.run.config.get("train_run") if self.run else None
        return next((run for run in self.runs if run.id == wanted), None)


def view(dataset: Dataset, *, run: int | None = None) -> View:
    """The query in the URL; absent or invalid parameters do not filter. Its run is pinned. run: the run whose
    predictions are used, whatever the URL names."""
    with resources.reading() as session:
        known = list(cases.runs(session, dataset.id))
        compared = runs.current(session, "duplicates", dataset.id) if address.get("twins") in TWINS else None
        named = run or address.number("run")
        seen = next((one for one in known if one.id == named), known[0] if known else None)
        wanted = address.number("slice")
        part = next((one for one in _slices(session, seen) if one.id == wanted), None) if wanted else None
        stressed = _stressed(session, seen) if address.get("stress") else {}
        embedded = outliers.run_of(session, dataset.id) if address.get("outliers") in ODD else None
    address.pin(run=seen.id if seen else None)
    own = threshold_of(seen)
    question = Question(
        dataset_id=dataset.id,
        run_id=seen.id if seen else None,
        threshold=own if own is None else address.thousandth("threshold", own),
        own_threshold=own,
        split=_named("split", SPLITS),
        label=_named("label", LABELS),
        cause=address.get("cause"),
        attributes=_attributes(dataset),
        reported=_named("reported", REPORTED),
        reviewed=_named("reviewed", REVIEWED),
        tag=address.get("tag"),
        slice_id=part.id if part else None,
        changed_under=(stressed[stress].run_id, stress) if (stress := address.get("stress")) in stressed else None,
        near_duplicate=(compared.id, address.get("twins") == "apart") if compared else None,
        outlier_of=embedded,
        sort=_named("sort", SORTS) or ("wrong" if seen else "file"),
    )
    if seen is None:
        return View(replace(question, sort="file"), None, known)
    low, high = address.bounds()
    against = next((one for one in _others(seen, known) if one.id == address.number("against")), None)
    elsewhere = threshold_of(against)
    asked = compared_with()
    alike = {one.id: one.threshold for one in _others(seen, known) if one.id in asked}
    question = replace(
        question,
        outcome=_named("outcome", OUTCOMES),
        # at its own threshold nothing changes
        changed_by_threshold=address.get("moved") in MOVED and own not in (None, question.threshold),
        differs_from=(against.id, elsewhere) if against and elsewhere is not None else None,
        agrees_with=tuple((number, at) for number, at in sorted(alike.items()) if at is not None),
        low=low,
        high=high,
    )
    return View(question, seen, known, against, tuple(sorted(alike)), part)


def threshold_of(run: Run | None) -> float | None:
    """The run's own threshold, or None where it has none."""
    return run.threshold if run else None


def ignoring_predictions(question: Question) -> Question:
    """The same query without the filters on predictions."""
    return replace(
        question,
        outcome=None,
        changed_by_threshold=False,
        differs_from=None,
        agrees_with=(),
        changed_under=None,
        low=0.0,
        high=1.0,
    )


def held_out(found: View) -> dict[str, object]:
    """URL parameters of a link to a case, so that it shows the out-of-fold prediction of the train run at the selected
    threshold."""
    run, threshold = found.train_run, found.question.threshold
    return {"run": run.id, "threshold": None if threshold_of(run) == threshold else threshold} if run else {}


def _others(run: Run, known: Sequence[Run]) -> list[Run]:
    """The runs that this run can be compared with."""
    return [one for one in known if one.id != run.id and one.kind == run.kind and threshold_of(one) is not None]


def _slices(session: Session, run: Run | None) -> Sequence[ErrorSlice]:
    """The slices of the run's latest audit."""
    audited = audit.latest(session, run.id) if run else None
    return audit.slices(session, audited.id) if audited else []


def _stressed(session: Session, run: Run | None) -> dict[str, Metric]:
    """Each stress that the run's latest audit tested -> the share of calls that it changes, most first."""
    audited = audit.latest(session, run.id) if run else None
    return {metric.slice: metric for metric in audit.stresses(session, audited.id)} if audited else {}


def parameters(**others: object) -> dict[str, object]:
    """The query's URL parameters with the selected run and look, for links to other pages, and `others`."""
    return {name: address.get(name) for name in (*named_in_url(), LOOK)} | {"run": address.pinned().get("run")} | others


def named_in_url() -> list[str]:
    """NAMES, and the attribute parameters in the URL."""
    return [*NAMES, *(name for name in st.query_params if name.startswith(ATTRIBUTE))]


def draw(dataset: Dataset, found: View) -> None:
    """Draw the filters in the sidebar; values that the dataset does not have are not offered."""
    splits, labels = offered(dataset)
    with st.sidebar:
        choose("Split", splits, name="split")
        choose("Label", labels, name="label")
        choose("Cause", causes(dataset), name="cause")
        if found.run is not None:
            if set(labels) <= {"unknown"}:
                st.caption(f"Outcomes and the order {SORTS['wrong'].lower()} need labels, which this dataset lacks.")
            else:
                choose("Outcome", OUTCOMES, name="outcome")
            address.share_range("Probability of pneumonia")
            address.menu("Sort", SORTS, name="sort", default="wrong")
        predictions(found)
        expanded = any(address.get(name) for name in MORE) or bool(found.question.attributes)
        with st.expander("More filters", expanded=expanded):
            _more_filters(dataset, found)


def predictions(found: View) -> None:
    """A menu of the runs whose predictions the page can show, if there are several."""
    if len(found.runs) > 1:
        shown = {str(run.id): named_run(run) for run in found.runs}
        address.menu("Predictions", shown, name="run", default=str(found.runs[0].id), always=True)


def _more_filters(dataset: Dataset, found: View) -> None:
    """The filters in the collapsed section."""
    with resources.reading() as session:
        compared = runs.current(session, "duplicates", dataset.id)
        tags, slices = reviews.tags_in_use(session, dataset.id), _slices(session, found.run)
        stressed = _stressed(session, found.run)
        odd = outliers.count(session, dataset.id)
    choose_attributes(dataset)
    address.choice("Has reports", REPORTED, name="reported")
    address.choice("Reviewed", REVIEWED, name="reviewed")
    if tags:
        address.menu("Tag", {name: name for name in tags}, name="tag")
    if slices:
        shown = {str(one.id): f"{one.name}, error rate {wording.percent(one.rate)}" for one in slices}
        address.menu("Audit slice", shown, name="slice")
    if stressed:
        shown = {name: f"{name}, {wording.percent(metric.value)} of calls" for name, metric in stressed.items()}
        address.menu("Call changes under stress", shown, name="stress")
    if compared is not None:
        address.choice("Near-duplicates", TWINS, name="twins")
    if odd or found.question.outlier_of is not None:
        address.choice("Unlike most others", ODD, name="outliers")
    others = _others(found.run, found.runs) if found.run else []
    if others:
        shown = {none_of(found.alike): others_named(found)} if found.alike else {}
        if rivals := rivals_of(found):
            shown[none_of([run.id for run in rivals])] = "no other run"
        shown |= {str(run.id): named_run(run) for run in others}
        address.menu("Called differently by", shown, name="against", placeholder="Any")


def rivals_of(found: View) -> list[Run]:
    """The latest other runs that scored the same split as the selected run, at most OTHERS."""
    run = found.run
    others = _others(run, found.runs) if run else []
    return [one for one in others if run and one.config.get("split") == run.config.get("split")][:OTHERS]


def none_of(numbers: Sequence[int]) -> str:
    """The value of `against` for cases that none of these runs calls differently."""
    return ".".join(["none", *(str(number) for number in sorted(numbers))])


def compared_with() -> list[int]:
    """The runs that `against` names so, at most OTHERS."""
    return address.numbers("against", most=OTHERS) if (address.get("against") or "").startswith("none.") else []


def others_named(found: View) -> str:
    """The other run that calls the cases differently, or those of which none does; "" without such a filter."""
    if found.alike:
        return f"no other run ({', '.join(map(str, found.alike))})"
    return f"run {found.against.id}" if found.against else ""


def named_run(run: Run) -> str:
    """Name of a run by the predictions it made."""
    return ", ".join(filter(None, [kind(run), f"run {run.id}", wording.classifier(run)]))


def kind(run: Run) -> str:
    """The images that the run's predictions cover, in words."""
    if run.kind == "train":
        return "Out-of-fold predictions"
    split = SPLITS.get(run.config.get("split") or "")
    return f"{split} predictions" if split else "Predictions"


def offered(dataset: Dataset) -> tuple[dict[str, str], dict[str, str]]:
    """The splits and labels that occur in the dataset."""
    with resources.reading() as session:
        rows = datasets.counts(session, dataset.id)
    splits = {row.split or cases.UNKNOWN for row in rows}
    labels = {row.label for row in rows}
    return (
        {name: shown for name, shown in SPLITS.items() if name in splits},
        {name: shown for name, shown in LABELS.items() if cases.LABELS[name] in labels},
    )


def causes(dataset: Dataset) -> dict[str, str]:
    """The causes that occur in the dataset; empty if none is known."""
    with resources.reading() as session:
        found = cases.causes(session, dataset.id)
    return {name: name.capitalize() for name in found} | ({"unknown": "Unknown"} if found else {})


def choose_attributes(dataset: Dataset, head: str = "") -> None:
    """A menu for each attribute that divides the images. head: text before its name."""
    for name, values in attributes_of(dataset).items():
        address.menu(f"{head} {name}".strip().capitalize(), values, name=f"{ATTRIBUTE}{name}")


def attributes_of(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Each attribute that divides the images, with its values and their display names; none if all images are alike."""
    with resources.reading() as session:
        images = sum(row.images for row in datasets.counts(session, dataset.id))
    found = {}
    for name, values in dataset.attributes.items():
        some = sum(values.values()) < images
        if len(values) + some > 1:
            found[name] = {value: value for value in values} | ({attributes.UNKNOWN: "Unknown"} if some else {})
    return found


def _attributes(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """The attribute filters in the URL that apply to the dataset."""
    asked = ((name, address.get(f"{ATTRIBUTE}{name}") or "") for name in sorted(dataset.attributes))
    return tuple((name, value) for name, value in asked if value in (*dataset.attributes[name], attributes.UNKNOWN))


def choose(label: str, options: dict[str, str], *, name: str) -> str | None:
    """A filter as buttons, if there is more than one option."""
    return address.choice(label, options, name=name) if len(options) > 1 or address.get(name) in options else None


def _named(name: str, options: dict[str, str]) -> str | None:
    value = address.get(name)
    return value if value in options else None
