"""The sources of exported files: the runs that the evaluation read, and the target folder."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from db import session
from db.models import Dataset, Metric, Run, VectorIndex
from db.queries import evaluation, runs
from db.queries.evaluation import Score, StandingReport
from db.queries.predictions import KnownImage, PredictedImage
from engine import commands
from engine.datasets.splits import evaluated_split
from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_file
from jobs.command import Context, JobError
from jobs.results.indexed import index_rows, test_rows
from jobs.results.judged import by_split, unseen
from jobs.results.values import measured

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured
    from engine.retrieval.index.vector_index import VectorIndex as OpenIndex

SEED = 0
"""Random seed of samples and t-SNE, fixed so that an evaluation always gives the same files."""


@dataclass
class Export:
    """What is exported, where to, and the files written so far."""

    context: Context
    dataset: Dataset
    evaluation: Run
    metrics: dict[str, Sequence[Metric]]
    folder: Path
    indexes: Sequence[VectorIndex]
    """The evaluated indexes; files use the first, text queries the first that reads text."""
    files: dict[str, str] = field(default_factory=dict)
    """File name -> sha256."""
    known: Mapping[str, Collection[str]] | None = None
    """File name -> hashes of what exports wrote into the folder; None if the folder holds only exported files."""
    announce: Callable[[], None] = lambda: None
    """Called when `files` has a further file, before that appears in the folder."""

    @cached_property
    def by_coverage(self) -> Sequence[Metric]:
        """The evaluation's metrics by coverage, which are the steps of its curves."""
        with session.reading(self.context.engine) as db:
            return runs.metrics(db, self.evaluation.id, curves=True)

    @property
    def synthetic(self) -> bool:
        """Whether every file must be marked as SYNTHETIC."""
        return self.dataset.synthetic

    def write(self, name: str, writer: Callable[[Path], object]) -> None:
        """Write a file atomically with `writer`, and record it. Raises JobError, and keeps the file, if a file of that
        name exists that no export wrote."""
        with whole_file(self.folder / name) as path:
            writer(path)
            sha256 = file_sha256(path)
            if not self._may_replace(name, sha256):
                raise JobError(
                    f"{self.folder / name} was not written by an export, or was changed since, and is kept; "
                    "move it away, or choose another folder with --out"
                )
            self.files[name] = sha256
            self.announce()

    def _may_replace(self, name: str, sha256: str) -> bool:
        """Whether no file of that name exists, or it was written by an export or has this content."""
        if self.known is None or not (self.folder / name).exists():
            return True
        return file_sha256(self.folder / name) in {sha256, self.files.get(name), *self.known.get(name, ())}

    def chart(self, name: str, chart: Any) -> None:
        """Write a chart as PNG."""
        from engine.charts.style import save_png

        self.write(name, lambda path: save_png(chart, path))

    def text(self, name: str, text: str) -> None:
        """Write a text file, UTF-8."""
        self.write(name, lambda path: path.write_bytes(text.encode()))

    def recorded(self, names: Iterable[str]) -> list[str]:
        """The paths of these files relative to the artifact folder; empty if the export folder is outside it."""
        if not self.folder.is_relative_to(self.context.artifacts):
            return []
        return [(self.folder / name).relative_to(self.context.artifacts).as_posix() for name in names]

    def pictures(self, starts: tuple[str, ...]) -> list[str]:
        """The PNG files written so far whose names start with one of `starts`."""
        return [name for name in self.files if name.endswith(".png") and name.startswith(starts)]

    def absent(self, what: str, job: str, *options: str) -> InputError:
        """The reason why a group is skipped, with the command to run first."""
        made = commands.job(job, self.dataset.name, *options)
        return InputError(f"no {what}; make one with: {made}; then evaluate and export again")

    def run(self, kind: str) -> Run:
        """The run of `kind` that the evaluation read. Raises InputError if it read none."""
        predict = self.predicted()
        if kind == "train" and predict and predict.imported:
            raise InputError(f"the predictions of {predict.recipe} (predict run {predict.id}) were imported")
        number = self.evaluation.config[f"{kind}_run"]
        with session.reading(self.context.engine) as db:
            found = db.get(Run, number) if number else None
        if found is None:
            raise self.absent(f"{kind} run", kind)
        return found

    def judged(self) -> tuple[Run, str, list[PredictedImage]]:
        """The predict run, the split it is evaluated on (test if there is one), and its images unseen in training."""
        run = self.run("predict")
        splits = by_split(unseen(self.context, run))
        split = evaluated_split(splits)
        return run, split, splits[split]

    def reports(self) -> tuple[list[StandingReport], list[Score]]:
        """The evaluated reports and their scores. Raises InputError if there are none."""
        last = self.evaluation.config["last_report"]
        if last is None:
            raise self.absent("report", "report")
        with session.reading(self.context.engine) as db:
            reports = evaluation.reports(db, self.dataset.id, last=last)
            return reports, evaluation.report_scores(db, self.dataset.id, [report.report_id for report in reports])

    def replaced(self) -> int:
        """Number of stored reports that are not evaluated because newer ones, by the same model, replaced them."""
        reports, _ = self.reports()
        with session.reading(self.context.engine) as db:
            return evaluation.written(db, self.dataset.id, last=self.evaluation.config["last_report"]) - len(reports)

    def index(self) -> VectorIndex:
        """The vector index that files are made from. Raises InputError if the evaluation read none."""
        if not self.indexes:
            raise self.absent("evaluated vector index", "embed")
        return self.indexes[0]

    def reader(self) -> VectorIndex:
        """The index for text queries. Raises InputError if the evaluation read none."""
        from engine.retrieval.embedders import reads_text

        for index in self.indexes:
            if reads_text(index.embedder):
                return index
        raise self.absent("index that reads text", "embed", "--embedder", "aligned")

    def predicted(self) -> Run | None:
        """The predict run that the evaluation read, or None."""
        number = self.evaluation.config["predict_run"]
        with session.reading(self.context.engine) as db:
            return db.get(Run, number) if number else None

    def opened(self, index: VectorIndex | None = None) -> "tuple[OpenIndex, NDArray[np.intp], list[KnownImage]]":
        """An index (by default that of `index()`), the rows of its test images (all if there is no test split), and the
        images in that order."""
        opened, rows = index_rows(self.context, index or self.index())
        _, judged = test_rows(rows)
        return opened, np.array([row for row, _ in judged], dtype=np.intp), [image for _, image in judged]

    def interval(self, name: str, split: str, where: str = "all") -> "Interval | None":
        """The evaluation's interval for one metric, or None."""
        rows = [row for found in self.metrics.values() for row in found]
        chosen = [measured(row).interval for row in rows if (row.name, row.split, row.slice) == (name, split, where)]
        return chosen[0] if chosen else None

    def classified(self) -> "dict[str, list[Measured]]":
        """Split -> the classifier's metrics in the evaluation, including those by coverage."""
        splits: dict[str, list[Measured]] = {}
        for row in (*self.metrics["classification"], *self.by_coverage):
            splits.setdefault(row.split, []).append(measured(row))
        return splits

    def facts(self, facts: dict[str, object]) -> dict[str, object]:
        """The facts about a report's origin that it lists first and last."""
        run = self.evaluation
        return {"dataset": self.dataset.name, **facts, "evaluation": f"run {run.id}, code {run.code_version}"}

    @property
    def report_options(self) -> dict[str, Any]:
        """Options that every report needs."""
        return {"replicates": int(self.evaluation.config["replicates"]), "synthetic": self.synthetic}
