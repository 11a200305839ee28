"""Writes the missing reports and stores each at once; a failure is stored as a row with its reason."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete

from db import report_tallies, session, writes
from db.models import Prompt, Report, ReportFailure, now
from db.queries import reports
from db.queries.predictions import PredictedImage
from jobs.reporting.means import mean_scores
from jobs.reporting.request import ReportRequest
from jobs.reporting.scoring import Scorer
from jobs.results.source_runs import thresholds_of
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from engine.reporting.generators import Case, Generated, Outcome
    from engine.reporting.prompts import PromptStrategy

KEY = ("image_sha256", "model", "revision", "prompt_sha256", "settings_sha256")


@dataclass(frozen=True)
class ReportWriter:
    """Writes a request's missing reports, and stores and scores them under a run."""

    run: ActiveRun
    request: ReportRequest
    scorer: Scorer

    def write(self) -> None:
        """Write the missing reports, then summarise all requested ones."""
        request = self.request
        with session.transaction(self.run.context.engine) as db:
            rows = [{"sha256": s.sha256, "strategy": s.name, "text": s.text} for s in request.strategies]
            writes.upsert(db, Prompt, rows, unique=("sha256",), update=False)
        failed: Counter[str] = Counter()
        tokens, began = 0, time.monotonic()
        with self.run.progress("writing reports", len(request.strategies) * len(request.images)) as advance:
            for strategy in request.strategies:
                for batch in writes.batches(request.images, request.generator.batch_size):
                    for done, made in self.batch(strategy, batch, failed):
                        tokens += sum(one.tokens for one in made)
                        advance(done, f"{tokens / (time.monotonic() - began):,.0f} tokens/s" if tokens else "")
        with session.reading(self.run.context.engine) as db:
            written = reports.count_of_run(db, self.run.id)
            means = {strategy.name: mean_scores(db, request, strategy) for strategy in request.strategies}
        self.run.summary |= {
            "predict_run": request.predicted.id,
            "reports": len(request.images) * len(request.strategies),
            "written": written,
            "failed": failed.total(),
            "reasons": dict(failed.most_common(5)),
            "means": means,
        }

    def batch(
        self, strategy: "PromptStrategy", items: Sequence[PredictedImage], failed: Counter[str]
    ) -> "Iterator[tuple[int, list[Generated]]]":
        """Write and store the missing reports of a batch; yields how many images are done and the texts written.

        Existing texts are kept and rescored against the current labels.
        """
        asked = {item.sha256: item for item in items}
        with session.transaction(self.run.context.engine) as db:
            report_tallies.hold(db, list(asked))
            stored = reports.stored(db, list(asked), **self.request.key(strategy))
            if stored:
                self.forget_failures(db, strategy, [report.image_sha256 for report in stored])
                self.scorer.store(db, stored, asked, {strategy.name: strategy})
        there = {report.image_sha256 for report in stored}
        absent = [item for item in items if item.sha256 not in there]
        yield len(items) - len(absent), []
        for part in self.generated(absent, strategy):
            yield len(part), self.store(strategy, part, failed)

    def store(
        self, strategy: "PromptStrategy", made: "Sequence[tuple[PredictedImage, Outcome]]", failed: Counter[str]
    ) -> "list[Generated]":
        """Store reports with their scores, and failures with their reasons, in one transaction; returns the reports."""
        from engine.reporting.generators import Failed

        key = self.request.key(strategy)
        good = [(item, one) for item, one in made if not isinstance(one, Failed)]
        bad = [(item, one) for item, one in made if isinstance(one, Failed)]
        failed.update(one.reason for _, one in bad)
        written = {item.sha256: item for item, _ in good}
        with session.transaction(self.run.context.engine) as db:
            report_tallies.hold(db, [item.sha256 for item, _ in made])
            there = {report.image_sha256 for report in reports.stored(db, [item.sha256 for item, _ in bad], **key)}
            self.forget_failures(db, strategy, [*written, *there])
            settings = {"settings": self.request.settings}
            rows = [self.row(strategy, item) | settings | self.text(one) for item, one in good]
            writes.upsert(db, Report, rows, unique=KEY, update=False)
            lost = [
                self.row(strategy, item) | {"reason": one.reason, "created": now()}
                for item, one in bad
                if item.sha256 not in there
            ]
            writes.upsert(db, ReportFailure, lost, unique=KEY)
            self.scorer.store(db, reports.stored(db, list(written), **key), written, {strategy.name: strategy})
        return [one for _, one in good]

    def forget_failures(self, db: "Session", strategy: "PromptStrategy", hashes: Sequence[str]) -> None:
        """Delete the failures of images whose reports there are by now, perhaps by another run."""
        same = [getattr(ReportFailure, name) == value for name, value in self.request.key(strategy).items()]
        for part in writes.batches(hashes):
            db.execute(delete(ReportFailure).where(ReportFailure.image_sha256.in_(part), *same))

    def generated(
        self, items: Sequence[PredictedImage], strategy: "PromptStrategy"
    ) -> "Iterator[list[tuple[PredictedImage, Outcome]]]":
        """The generator's outcomes as they arrive; an image that can no longer be read fails alone."""
        from engine.errors import InputError
        from engine.reporting.generators import Failed

        cases: list[Case] = []
        asked: dict[int, PredictedImage] = {}
        unread: list[tuple[PredictedImage, Outcome]] = []
        for item in items:
            try:
                cases.append(self.case(item))
                asked[len(asked)] = item
            except (InputError, OSError) as error:
                unread.append((item, Failed(f"image {item.path} cannot be used: {error}")))
        if unread:
            yield unread
        if not asked:
            return
        for part in self.request.generator.generate(cases, strategy):
            yield [(asked.pop(place), outcome) for place, outcome in part.items()]
        assert not asked, f"{self.request.generator.name} gave no outcome for {len(asked)} cases"

    def case(self, item: PredictedImage) -> "Case":
        """One image as the generator's input."""
        from engine.imaging.images import Ingested, read_grey
        from engine.reporting.generators import Case

        request, generator = self.request, self.request.generator
        source = Ingested(Path(request.dataset.root) / item.path, item.sha256)
        return Case(
            probability=item.probability,
            threshold=self.scorer.threshold,
            high_recall_threshold=min(thresholds_of(request.predicted).values()),
            zones=item.zones,
            pixels=read_grey(source) if generator.reads_pixels else None,
            nearest=request.labelled.nearest(item, generator.reads_nearest) if request.labelled else (),
            path=item.path,
        )

    def row(self, strategy: "PromptStrategy", item: PredictedImage) -> dict[str, Any]:
        """The columns that rows of reports and of failures share."""
        return {
            **self.request.key(strategy),
            "run_id": self.run.id,
            "image_id": item.image_id,
            "image_sha256": item.sha256,
            "strategy": strategy.name,
        }

    def text(self, report: "Generated") -> dict[str, Any]:
        """The columns for the report itself."""
        return {"text": report.text, "seconds": report.seconds, "tokens": report.tokens, "cut": report.cut}
