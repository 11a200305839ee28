"""The runs that results are read from, and their thresholds."""

from sqlalchemy.orm import Session

from db.models import Dataset, Run
from db.queries import runs
from engine.errors import InputError
from jobs.command import UsageError


def finished_run(db: Session, dataset: Dataset, kind: str, number: int | None) -> Run | None:
    """Run `number`; if `number` is None, the dataset's current run of this kind, or None. Raises UsageError if run
    `number` is not a finished run of this kind on the dataset."""
    if number is None:
        return runs.current(db, kind, dataset.id)
    found = db.get(Run, number)
    if found is None or (found.kind, found.status, found.dataset_id) != (kind, "finished", dataset.id):
        raise UsageError(
            f"run {number} is not a finished {kind} run of dataset '{dataset.name}'; "
            f"choose one on the Runs page, or leave --{kind}-run out"
        )
    return found


def thresholds_of(source: Run) -> dict[str, float]:
    """The run's decision threshold as "all", and, if stored, those of the operating points "recall97" and "youden".

    Raises InputError if the run has no threshold.
    """
    known = {"all": "threshold", "recall97": "threshold_recall97", "youden": "threshold_youden"}
    summary = source.summary or {}
    if source.threshold is None:
        raise InputError(
            f"{source.kind} run {source.id} has no threshold; repeat it with: python -m jobs {source.kind}"
        )
    return {name: float(summary[key]) for name, key in known.items() if summary.get(key) is not None}
