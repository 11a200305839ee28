"""Human-written reference reports for a dataset's images, and rows of its reports.csv that match no image."""

from collections.abc import Mapping
from pathlib import Path

from db import session
from db.models import Dataset
from db.queries import datasets
from jobs.command import Context


def references_of(context: Context, dataset: Dataset) -> Mapping[str, str]:
    """Image path -> reference report; prints a warning about reports that match no image. Raises InputError if the
    dataset's reports.csv is unusable."""
    from engine.datasets.path_sheets import astray
    from engine.reporting import reference_reports

    with session.reading(context.engine) as db:
        paths, copies = datasets.paths(db, dataset.id), datasets.copies(db, dataset.id)
    found = reference_reports.read(Path(dataset.root), paths, copies)
    what = f"of the reports in {reference_reports.NAME}"
    for line in astray(found.strays, [*paths, *copies], what=what, whose=f" of dataset '{dataset.name}'"):
        print(f"warning: {line}")
    return found.values
