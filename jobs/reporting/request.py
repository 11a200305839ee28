"""The reports that a run is to write, whether they are all stored already, and the run claimed for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db import session
from db.models import Dataset, Run
from db.queries import reports
from db.queries.predictions import PredictedImage
from db.queries.report_questions import OWN
from engine.digests import json_sha256
from jobs.command import Context
from jobs.reporting.labelled_cases import LabelledCases
from jobs.run import ActiveRun, Work

if TYPE_CHECKING:
    from engine.reporting.generators import ReportGenerator
    from engine.reporting.prompts import PromptStrategy


@dataclass(frozen=True)
class ReportRequest:
    """One report per image and strategy, by one generator with one set of settings."""

    dataset: Dataset
    predicted: Run
    """The predict run that the reports are based on."""
    images: Sequence[PredictedImage]
    strategies: "Sequence[PromptStrategy]"
    generator: "ReportGenerator"
    settings: dict[str, Any]
    """What a report depends on besides image, model and prompt."""
    labelled: LabelledCases | None = None
    """The source of similar cases, for a generator that uses them."""

    @property
    def shas(self) -> list[str]:
        """The sha256 of each image's file."""
        return [image.sha256 for image in self.images]

    def key(self, strategy: "PromptStrategy") -> dict[str, str]:
        """The columns that, together with the image's hash, identify a report of this strategy."""
        return {
            "model": self.generator.name,
            "revision": self.generator.revision,
            "prompt_sha256": strategy.sha256,
            "settings_sha256": json_sha256(self.settings),
        }

    def is_stored(self, context: Context) -> bool:
        """Whether every report is stored, with this dataset's scores (forgetting images removes their reports)."""
        with session.reading(context.engine) as db:
            scores = (
                reports.stored_scores(db, self.dataset.id, self.shas, **self.key(strategy))
                for strategy in self.strategies
            )
            return all(sum(metric == OWN for metric, _ in found) == len(self.images) for found in scores)


def claim(
    context: Context,
    requests: Sequence[ReportRequest],
    *,
    inputs: str,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> ActiveRun:
    """The run for these requests, which differ only in strategies and images. A finished run is redone if some of its
    reports or scores are no longer stored.

    inputs: hash of what the reports are about. options: further command-line choices to keep in the run's config.
    Raises JobError if a live process owns the run.
    """
    first = requests[0]
    work = Work(
        kind="report",
        config={
            "dataset": first.dataset.name,
            "model": first.generator.name,
            "revision": first.generator.revision,
            "settings": first.settings,
            "strategies": {strategy.name: strategy.sha256 for one in requests for strategy in one.strategies},
            **(options or {}),
            "predict_run": first.predicted.id,
        },
        inputs=inputs,
        dataset_id=first.dataset.id,
        seed=seed,
    )
    run = ActiveRun.claim(context, work)
    if run.already_finished and not all(request.is_stored(context) for request in requests):
        run = ActiveRun.claim(context, work, again=True)
    return run
