"""Images of a dataset by split and label, each count linked to its cases."""

from collections.abc import Sequence

from dashboard import resources
from dashboard.components import filters, frame, wording
from dashboard.components.browser import linked
from dashboard.components.browser.linked import Cell
from db.models import Dataset, Run
from db.queries.cases import LABELS
from db.queries.datasets import Holding

SPLITS = ("train", "val", "test", None)


def described(dataset: Dataset, rows: Sequence[Holding], ingest: Run | None) -> str:
    """The dataset in one sentence; its source folder is shown only if the dashboard serves this machine alone."""
    images, files = sum(row.images for row in rows), sum(row.files for row in rows)
    kind = "Synthetic phantoms" if dataset.synthetic else "Real radiographs"
    copies = f" from {wording.count(files, 'file')}" if has_copies(rows) else ""
    when = f", ingested {wording.ago(ingest.finished)}" if ingest else ""
    folder = f" {wording.plain(dataset.root)}" if resources.serves_locally_only() else ""
    return f"{kind}: {wording.count(images, 'distinct image')}{copies}{when}.{folder}"


def has_copies(rows: Sequence[Holding]) -> bool:
    """Whether the dataset contains byte-identical files."""
    return any(row.images != row.files for row in rows)


def show(dataset: Dataset, rows: Sequence[Holding], view: filters.View) -> None:
    """Distinct images by split and label, with files and patients. Each count links to its cases with the predictions
    of the run in `view`; for training images, with the out-of-fold predictions of its train run."""
    learned = view.train_run or next((run for run in view.runs if run.kind == "train"), None)
    found = {(row.split, row.label): row for row in rows}
    labels = [(name, value) for name, value in LABELS.items() if any(key[1] == value for key in found)]
    table: list[list[Cell | str]] = []
    for split in SPLITS:
        parts = [found[split, value] for _, value in labels if (split, value) in found]
        if not parts:
            continue
        run = learned if split in ("train", "val") and learned else view.run
        asked: dict[str, object] = {"split": split or "unknown", "run": run.id if run else None}
        cells = [_count(dataset, found.get((split, value)), asked, label) for label, value in labels]
        total = Cell(f"{sum(row.images for row in parts):,}", frame.here("cases", dataset, **asked))
        table.append([split or "No split", *cells, total, f"{sum(row.files for row in parts):,}"])
    heads = [f">{wording.LABELS[value]}" for _, value in labels]
    linked.table(["Split", *heads, ">Images", ">Files"], table, key="holdings", caption="Images by split and label")


def _count(dataset: Dataset, row: Holding | None, asked: dict[str, object], label: str) -> Cell:
    if row is None:
        return Cell("none", tone="muted")
    patients = wording.count(row.patients, "patient")
    return Cell(f"{row.images:,}", frame.here("cases", dataset, **asked, label=label), help=patients)
