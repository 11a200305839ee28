"""A page of the list of cases as a grid of thumbnails or as a table, both with selection boxes."""

from collections.abc import Sequence

from dashboard import resources
from dashboard.components import address, filters, frame, grid, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.cases import selection
from db.models import Dataset
from db.queries import audit, cases, reviews
from db.queries.cases import Case

LOOKS = {"grid": "Grid", "table": "Table"}
KEY = "cases"


def look() -> str:
    """The view selected in the URL, drawn as buttons."""
    return address.choice("View as", LOOKS, name="look", default="grid", labelled=False) or "grid"


def show(dataset: Dataset, view: filters.View, shown: Sequence[Case], *, look: str) -> None:
    """Draw the cases in one of LOOKS."""
    ids = [case.id for case in shown]
    other = view.question.differs_from
    with resources.reading() as session:
        tags = reviews.tags_of(session, ids)
        elsewhere = cases.several(session, ids, run_id=other[0], threshold=other[1]) if other else {}
        stressed = view.question.changed_under and audit.under_stress(session, *view.question.changed_under, ids)
    if look == "table":
        _table(dataset, view, shown, tags, elsewhere, stressed)
        return
    lines = {number: [f"tags: {', '.join(names)}"] for number, names in tags.items()}
    for number, case in elsewhere.items():
        lines.setdefault(number, []).insert(0, f"run {other[0] if other else ''}: {wording.percent(case.probability)}")
    for number, probability in (stressed or {}).items():
        altered = view.question.changed_under[1] if view.question.changed_under else ""
        lines.setdefault(number, []).insert(0, f"{altered}: {wording.percent(probability)}")
    drawn = [grid.Thumbnail(case, mark=_mark(view, case), lines=lines.get(case.id, ())) for case in shown]
    grid.show(dataset, drawn, key=KEY, picking=selection.picking(dataset, KEY, ids))


def _mark(view: filters.View, case: Case) -> str:
    """The outcome, or both outcomes if another threshold changes it, such as "FN > TP"."""
    usual = cases.outcome(case.label, case.probability, view.question.own_threshold)
    return f"{usual} \N{RIGHTWARDS ARROW} {case.outcome}" if usual != case.outcome and usual else case.outcome or ""


def _table(
    dataset: Dataset,
    view: filters.View,
    shown: Sequence[Case],
    tags: dict[int, list[str]],
    elsewhere: dict[int, Case],
    stressed: dict[int, float] | None,
) -> None:
    other = [f">Run {view.against.id}"] if view.against else []
    altered = [f">{view.question.changed_under[1].capitalize()}"] if view.question.changed_under else []
    rows: list[list[Cell | str]] = []
    for case in shown:
        wrong = case.outcome in ("FP", "FN")
        rows.append(
            [
                Cell(f"{case.id}", frame.here("case", dataset, **filters.parameters(image=case.id))),
                grid.name(case),
                Cell(wording.percent(case.probability), tone="" if case.probability is not None else "muted"),
                *([wording.percent(elsewhere[case.id].probability)] if case.id in elsewhere else [""] * len(other)),
                *([wording.percent((stressed or {}).get(case.id))] * len(altered)),
                Cell(_mark(view, case), tone="wrong" if wrong else ""),
                case.split or "none",
                case.patient_key,
                case.path.rpartition("/")[2],
                ", ".join(tags.get(case.id, [])),
            ]
        )
    heads = [">Image", "Label", ">Probability", *other, *altered, "Outcome", "Split", "Patient", "File", "Tags"]
    picking = selection.picking(dataset, KEY, [case.id for case in shown])
    linked.table(heads, rows, key=KEY, caption="Cases on this page", picking=picking)
