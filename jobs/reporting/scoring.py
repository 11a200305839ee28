"""Scores reports and stores the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_
from sqlalchemy.orm import Session

from db import report_tallies, session, writes
from db.models import Dataset, Report, ReportScore, Run
from db.queries.predictions import PredictedImage
from engine.commands import job, option, shell
from jobs.command import Context, JobError
from jobs.results.source_runs import finished_run

if TYPE_CHECKING:
    from engine.reporting.prompts import PromptStrategy
    from engine.reporting.scores.score import CaseFacts


def predict_run(context: Context, dataset: Dataset, number: int | None) -> Run:
    """The finished predict run with this number, or the current one. Raises UsageError if run `number` is not a
    finished predict run of the dataset, JobError with the command to run if there is none."""
    with session.reading(context.engine) as db:
        found = finished_run(db, dataset, "predict", number)
    if found is None:
        raise JobError(
            f"dataset '{dataset.name}' has no finished predict run, which reports need; "
            f"make one with: {job('predict', dataset.name)}, or import your own classifier's predictions with: "
            f"{shell('import_predictions', 'FILE', '--classifier', 'NAME', *option('dataset', dataset.name))}"
        )
    return found


@dataclass(frozen=True)
class Scorer:
    """Scores reports against a dataset's labels, a predict run and the dataset's reference reports, if any."""

    dataset_id: int
    threshold: float
    references: Mapping[str, str]
    """Image path -> reference report."""

    def known(self, item: PredictedImage, *, cut: bool) -> "CaseFacts":
        """The facts about the image that its report is scored against. cut: whether the report was cut off."""
        from engine.reporting.scores.score import CaseFacts

        return CaseFacts(
            label=item.label,
            called=item.called(self.threshold),
            zones=item.zones or {},
            reference=self.references.get(item.path),
            cut=cut,
        )

    def store(
        self,
        db: Session,
        reports: Sequence[Report],
        items: Mapping[str, PredictedImage],
        strategies: "Mapping[str, PromptStrategy]",
    ) -> None:
        """Score the reports and replace the dataset's older scores of them; call `report_tallies.hold` first.

        items: by the image's sha256. strategies: by name; reports of other strategies get no format requirements.
        """
        from engine.reporting.prompts import PromptStrategy
        from engine.reporting.scores import OF_TEXT, score

        scored: list[dict[str, Any]] = []
        for report in reports:
            strategy = strategies.get(report.strategy) or PromptStrategy(report.strategy, "", "", ())
            known = self.known(items[report.image_sha256], cut=report.cut)
            scored += [
                {
                    "report_id": report.id,
                    "dataset_id": None if found.metric in OF_TEXT else self.dataset_id,
                    "metric": found.metric,
                    "value": found.value,
                    "detail": found.detail,
                }
                for found in score(report.text, strategy, known)
            ]
        ids = [report.id for report in reports]
        report_tallies.take(db, ids)
        mine = or_(ReportScore.dataset_id.is_(None), ReportScore.dataset_id == self.dataset_id)
        for batch in writes.batches(ids):
            db.execute(delete(ReportScore).where(ReportScore.report_id.in_(batch), mine))
        writes.upsert(db, ReportScore, scored, unique=("report_id", "metric", "dataset_id"))
        report_tallies.add(db, ids)
