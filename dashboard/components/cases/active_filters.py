"""Active filters of the list of cases, each as a link that removes it."""

from dashboard.components import address, filters, frame, wording
from dashboard.components.browser.linked import Cell
from db.models import Dataset

KEPT = ("threshold", "sort", "run")
"""Parameters that do not filter."""


def links(dataset: Dataset, found: filters.View) -> list[Cell]:
    """A link for each active filter that removes it and keeps the others, and one that removes them all."""
    question = found.question
    values = {name: getattr(question, name) for name in ("split", "label", "cause", "outcome", "reported", "reviewed")}
    narrow = (question.low, question.high) != (0.0, 1.0)
    twins = filters.TWINS[address.get("twins") or "any"].lower() if question.near_duplicate else ""
    shown = {
        **{name: value and f"{_heading(name)}: {_read(name, value)}" for name, value in values.items()},
        **{f"{filters.ATTRIBUTE}{name}": f"{name.capitalize()}: {value}" for name, value in question.attributes},
        "low": f"Probability: {wording.percent(question.low)} to {wording.percent(question.high)}" if narrow else "",
        "moved": "Prediction changed" if question.changed_by_threshold else "",
        "tag": f"Tag: {question.tag}" if question.tag else "",
        "slice": f"Slice: {found.part.name}" if found.part else "",
        "stress": f"Call changes: {question.changed_under[1]}" if question.changed_under else "",
        "twins": f"Near-duplicates: {twins}" if twins else "",
        "outliers": "Unlike most others" if question.outlier_of is not None else "",
        "against": f"Called differently by {filters.others_named(found)}" if filters.others_named(found) else "",
    }
    cells = [
        Cell(f"{words} \N{MULTIPLICATION SIGN}", _without(dataset, name), help="Remove this filter")
        for name, words in shown.items()
        if words
    ]
    narrowing = (name for name in filters.named_in_url() if name not in KEPT)
    return [*cells, Cell("All cases", _without(dataset, *narrowing))] if len(cells) > 1 else cells


def _without(dataset: Dataset, *names: str) -> str:
    dropped = {*names, "high"} if "low" in names else names
    return frame.here("cases", dataset, **filters.parameters(**dict.fromkeys(dropped)))


def _heading(name: str) -> str:
    return filters.HEADINGS.get(name, name).capitalize()


def _read(name: str, value: str) -> str:
    return filters.VALUES.get(name, {}).get(value, value)
