"""Which of a dataset's images have a report that a person wrote, and which rows of its reports.csv have no image."""

from collections.abc import Mapping
from pathlib import Path

from db import session
from db.models import Dataset
from db.queries import datasets
from jobs.command import Context


def references_of(context: Context, dataset: Dataset) -> Mapping[str, str]:
    """Image path -> reference report; a warning tells how many reports are on no image. Raises InputError where the
    dataset's reports.csv cannot be used."""
    from engine.path_sheets import examples
    from engine.reporting import reference_reports

    with session.reading(context.engine) as db:
        paths, copies = datasets.paths(db, dataset.id), datasets.copies(db, dataset.id)
    found = reference_reports.read(Path(dataset.root), paths, copies)
    if found.strays:
        print(
            f"warning: {len(found.strays):,} of the reports in {reference_reports.NAME} are on no image of dataset "
            f"'{dataset.name}': {examples(found.strays)}"
        )
    return found.values
