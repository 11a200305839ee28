"""What links runs to each other: what they name as inputs, indexes, reports, and scores, with the runs that made or
measured them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Image, Metric, Report, Run, VectorIndex
from db.queries import runs


class HeldReport(NamedTuple):
    """A report, and a dataset that holds its image."""

    report_id: int
    model: str
    strategy: str
    dataset_id: int


class WrittenReport(NamedTuple):
    """A report, and what it was written about and with."""

    report_id: int
    model: str
    revision: str
    settings_sha256: str
    prompt_sha256: str
    image_sha256: str


@dataclass(frozen=True)
class Lineage:
    """Run id -> the ids of the runs that used its results."""

    readers: Mapping[int, frozenset[int]]

    @classmethod
    def of(cls, session: Session, *, scored_against: bool = True) -> "Lineage":
        """Read the current lineage from the database.

        scored_against: whether a report run that `rests_on_pixels` counts as a reader of its predict run.
        """
        indexes = _Indexes.of(session)
        readers = defaultdict(set)
        for run in runs.every(session):
            named = runs.named_in(run.config, run.summary)
            if not scored_against and rests_on_pixels(run):
                named -= {run.config.get("predict_run")}
            for source in {*named, *indexes.read_by(run)} - {run.id}:
                readers[source].add(run.id)
        return cls({source: frozenset(found) for source, found in readers.items()})

    def sources(self, run_id: int) -> set[int]:
        """The runs whose results it used."""
        return {source for source, found in self.readers.items() if run_id in found}

    def dependents(self, run_ids: Collection[int]) -> set[int]:
        """The runs built on any of these, directly or indirectly, without these themselves."""
        found, new = set(run_ids), set(run_ids)
        while new:
            new = {reader for one in new for reader in self.readers.get(one, ())} - found
            found |= new
        return found - set(run_ids)


def rests_on_pixels(run: Run) -> bool:
    """Whether it is a report run whose texts do not depend on the classifier: its predict run only determined which
    images to write about and what to score against."""
    settings = run.config.get("settings")
    return run.kind == "report" and settings is not None and "classifier" not in settings


@dataclass(frozen=True)
class _Indexes:
    """The run that built each index, by the index's id and by its sha256."""

    by_id: Mapping[int, int]
    by_sha256: Mapping[str, int]

    @classmethod
    def of(cls, session: Session) -> "_Indexes":
        query = select(VectorIndex.id, VectorIndex.sha256, VectorIndex.run_id)
        built = session.execute(query).all()
        return cls({row.id: row.run_id for row in built}, {row.sha256: row.run_id for row in built})

    def read_by(self, run: Run) -> Iterator[int]:
        """The runs whose indexes it read: evaluations and exports name them by id, reports of nearest cases by hash,
        and a map's fingerprint includes the hash."""
        named = run.config.get("indexes") or ()
        for number in named.values() if isinstance(named, dict) else named:
            if number in self.by_id:
                yield self.by_id[number]
        looked_in = self.by_sha256.get((run.config.get("settings") or {}).get("index", ""))
        if looked_in is not None:
            yield looked_in
        if run.kind == "map":
            for sha256, built_by in self.by_sha256.items():
                if runs.fingerprint("map", run.config, sha256, seed=run.seed) == run.fingerprint:
                    yield built_by


def held_reports(session: Session, run_ids: Collection[int]) -> list[HeldReport]:
    """The reports of these runs, once for each dataset that holds their image, latest first."""
    query = select(Report.id, Report.model, Report.strategy, Image.dataset_id)
    query = query.join(Image, Image.sha256 == Report.image_sha256).where(Report.run_id.in_(run_ids))
    return [HeldReport(*row) for row in session.execute(query.order_by(Report.id.desc()))]


def written_reports(session: Session, run_ids: Collection[int]) -> list[WrittenReport]:
    """The reports of these runs, oldest first."""
    settings = (Report.model, Report.revision, Report.settings_sha256)
    query = select(Report.id, *settings, Report.prompt_sha256, Report.image_sha256)
    found = session.execute(query.where(Report.run_id.in_(run_ids)).order_by(Report.id))
    return [WrittenReport(*row) for row in found]


def measured_reports(session: Session) -> list[tuple[Run, str]]:
    """Each evaluate run with each slice of reports that it measured, see `evaluation.report_slice`."""
    slices = select(Metric.run_id, Metric.slice).where(Metric.split == "reports").distinct().subquery()
    query = select(Run, slices.c.slice).join(slices, slices.c.run_id == Run.id).where(Run.kind == "evaluate")
    return [(run, where) for run, where in session.execute(query)]
