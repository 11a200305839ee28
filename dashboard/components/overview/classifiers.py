"""The evaluated classifiers of a dataset side by side."""

from dashboard import resources
from dashboard.components import figures, filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from dashboard.components.classification import sides
from db.models import Dataset
from db.queries import evaluation
from engine.metrics.names import display_name

SHOWN = ("auc", "recall", "specificity", "accuracy", "threshold")
LATEST = 20
"""Maximum number of runs in the table."""


def show(dataset: Dataset, view: filters.View) -> None:
    """A row for each of the latest evaluated predict runs, the one in view highlighted; nothing for fewer than two."""
    found = [run for run in view.runs if run.kind == "predict"][:LATEST]
    with resources.reading() as session:
        metrics = evaluation.of_classifiers(session, [run.id for run in found], SHOWN)
    measured = {number: sides.on_evaluated_split(metrics[number]) for number in metrics}
    if len(measured) < 2:
        return
    rows: list[list[Cell | str]] = []
    for run in found:
        if run.id in measured:
            tone = "chosen" if view.run and run.id == view.run.id else ""
            own = measured[run.id]
            rows.append(
                [
                    Cell(f"{run.id}", frame.here("", dataset, run=run.id), tone=tone),
                    wording.classifier(run),
                    sides.head(next(iter(own.values())).split),
                    *(figures.in_one(own.get(name)) for name in SHOWN),
                ]
            )
    heads = [">Predict run", "Classifier", "Split", *(f">{display_name(name)}" for name in SHOWN)]
    linked.table(heads, rows, key="classifiers", caption="The evaluated classifiers", sortable=True)
