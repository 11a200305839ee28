"""The mean scores of a run's reports by strategy: computed from the stored scores, and printed."""

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from db.models import Dataset
from db.queries import reports
from jobs.reporting.request import ReportRequest

if TYPE_CHECKING:
    from engine.reporting.prompts import PromptStrategy

SCORES = ("keyword_alignment", "stance_agreement", "format")


def mean_scores(db: Session, request: ReportRequest, strategy: "PromptStrategy") -> dict[str, float | None]:
    """Score -> mean over the request's images, None if no report has the score."""
    values: dict[str, list[float]] = {name: [] for name in SCORES}
    for metric, value in reports.stored_scores(db, request.dataset.id, request.shas, **request.key(strategy)):
        if metric in values and value is not None:
            values[metric].append(value)
    return {name: fmean(known) if known else None for name, known in values.items()}


def print_means(dataset: Dataset, means: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print a line for each strategy. means: strategy -> score -> mean."""
    if dataset.synthetic:
        print("SYNTHETIC images: these scores only show that the pipeline works")
    print(f"{'strategy':<22}" + "".join(f"{name:>20}" for name in SCORES))
    for strategy, values in means.items():
        cells = ("unknown" if values[name] is None else f"{values[name]:.3f}" for name in SCORES)
        print(f"{strategy:<22}" + "".join(f"{cell:>20}" for cell in cells))
