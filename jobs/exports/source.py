"""What exported files are made from: the runs that the evaluation read, and the folder they go to."""

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
from engine.digests import file_sha256
from engine.errors import InputError
from engine.files import whole_file
from engine.splits import evaluated_split
from jobs.command import Context, JobError
from jobs.results import by_split, index_rows, measured, test_rows, unseen

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval
    from engine.metrics.evaluation import Measured
    from engine.retrieval.vector_index import VectorIndex as OpenIndex

SEED = 0
"""Of the samples drawn and of t-SNE: one evaluation always gives the same files."""


@dataclass
class Export:
    """What is exported and where, and the files written so far."""

    context: Context
    dataset: Dataset
    evaluation: Run
    metrics: dict[str, Sequence[Metric]]
    folder: Path
    indexes: Sequence[VectorIndex]
    """Those that were evaluated: the first is that which files are made of, or that words ask where it reads them."""
    files: dict[str, str] = field(default_factory=dict)
    """Each file's name and its sha256."""
    known: Mapping[str, Collection[str]] | None = None
    """The hashes of what exports wrote into the folder, by name; None where whatever is in it is theirs."""

    @cached_property
    def by_coverage(self) -> Sequence[Metric]:
        """The evaluation's figures by coverage, the steps of its curve."""
        with session.reading(self.context.engine) as db:
            return runs.metrics(db, self.evaluation.id, curves=True)

    @property
    def synthetic(self) -> bool:
        """Whether every file must say so."""
        return self.dataset.synthetic

    def write(self, name: str, writer: Callable[[Path], object]) -> None:
        """A file that `writer` fills; it appears whole, and counts as written. Raises JobError where a file of that
        name is there that no export wrote, and leaves it."""
        with whole_file(self.folder / name) as path:
            writer(path)
            sha256 = file_sha256(path)
            if not self._may_replace(name, sha256):
                raise JobError(
                    f"{self.folder / name} is not as an export wrote it and is kept; "
                    "move it away, or choose another folder with --out"
                )
        self.files[name] = sha256

    def _may_replace(self, name: str, sha256: str) -> bool:
        """Whether what stands under that name, if anything, is an export's or these very bytes."""
        if self.known is None or not (self.folder / name).exists():
            return True
        return file_sha256(self.folder / name) in {sha256, self.files.get(name), *self.known.get(name, ())}

    def chart(self, name: str, chart: Any) -> None:
        """A chart as PNG."""
        from engine.charts.style import save_png

        self.write(name, lambda path: save_png(chart, path))

    def text(self, name: str, text: str) -> None:
        """A text file, UTF-8."""
        self.write(name, lambda path: path.write_bytes(text.encode()))

    def recorded(self, names: Iterable[str]) -> list[str]:
        """Where files of these names are, as artifacts are recorded; none of a folder outside the artifact folder."""
        if not self.folder.is_relative_to(self.context.artifacts):
            return []
        return [(self.folder / name).relative_to(self.context.artifacts).as_posix() for name in names]

    def pictures(self, starts: tuple[str, ...]) -> list[str]:
        """The PNG files written so far whose names begin with one of `starts`."""
        return [name for name in self.files if name.endswith(".png") and name.startswith(starts)]

    def absent(self, what: str, job: str, *options: str) -> InputError:
        """Why a group is left out, and what changes that."""
        made = commands.job(job, self.dataset.name, *options)
        return InputError(f"no {what}; make one with: {made}; then evaluate and export again")

    def run(self, kind: str) -> Run:
        """The run of `kind` that the evaluation read. Raises InputError where it read none, or can have read none."""
        predict = self.predicted()
        if kind == "train" and predict and predict.imported:
            raise InputError(f"predict run {predict.id} is of {predict.recipe}, which was not trained here")
        number = self.evaluation.config[f"{kind}_run"]
        with session.reading(self.context.engine) as db:
            found = db.get(Run, number) if number else None
        if found is None:
            raise self.absent(f"{kind} run", kind)
        return found

    def judged(self) -> tuple[Run, str, list[PredictedImage]]:
        """The predict run, the split it is judged on (test where there is one), its images unseen in training."""
        run = self.run("predict")
        splits = by_split(unseen(self.context, run))
        split = evaluated_split(splits)
        return run, split, splits[split]

    def reports(self) -> tuple[list[StandingReport], list[Score]]:
        """The reports that were evaluated, and their scores. Raises InputError where there are none."""
        last = self.evaluation.config["last_report"]
        if last is None:
            raise self.absent("report", "report")
        with session.reading(self.context.engine) as db:
            reports = evaluation.reports(db, self.dataset.id, last=last)
            return reports, evaluation.report_scores(db, [report.report_id for report in reports])

    def index(self) -> VectorIndex:
        """The vector index that files are made of. Raises InputError where the evaluation read none."""
        if not self.indexes:
            raise self.absent("vector index that was evaluated", "embed")
        return self.indexes[0]

    def reader(self) -> VectorIndex:
        """The index that words ask. Raises InputError where the evaluation read none."""
        from engine.retrieval.embedders import reads_text

        for index in self.indexes:
            if reads_text(index.embedder):
                return index
        raise self.absent("index that reads words", "embed", "--embedder", "aligned")

    def predicted(self) -> Run | None:
        """The predict run that the evaluation read, or None."""
        number = self.evaluation.config["predict_run"]
        with session.reading(self.context.engine) as db:
            return db.get(Run, number) if number else None

    def opened(self, index: VectorIndex | None = None) -> "tuple[OpenIndex, NDArray[np.intp], list[KnownImage]]":
        """An index (by default that of `index`), the rows of its test images (all where there is no test split), and
        the images in that order."""
        opened, rows = index_rows(self.context, index or self.index())
        _, judged = test_rows(rows)
        return opened, np.array([row for row, _ in judged], dtype=np.intp), [image for _, image in judged]

    def interval(self, name: str, split: str, where: str = "all") -> "Interval | None":
        """The evaluation's interval of one metric, or None."""
        rows = [row for found in self.metrics.values() for row in found]
        chosen = [measured(row).interval for row in rows if (row.name, row.split, row.slice) == (name, split, where)]
        return chosen[0] if chosen else None

    def classified(self) -> "dict[str, list[Measured]]":
        """Split -> what the evaluation measured of the classifier, figures by coverage among them."""
        splits: dict[str, list[Measured]] = {}
        for row in (*self.metrics["classification"], *self.by_coverage):
            splits.setdefault(row.split, []).append(measured(row))
        return splits

    def facts(self, facts: dict[str, object]) -> dict[str, object]:
        """What a report says of where it comes from."""
        run = self.evaluation
        return {"data set": self.dataset.name, **facts, "evaluation": f"run {run.id}, code {run.code_version}"}

    @property
    def report_options(self) -> dict[str, Any]:
        """What every report is told of how it was made."""
        return {"replicates": int(self.evaluation.config["replicates"]), "synthetic": self.synthetic}
