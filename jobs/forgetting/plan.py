"""What would be forgotten: runs, the runs built on them, numbers of rows and files; and what prevents it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import forgetting, session
from db.models import Dataset, Run
from db.queries import runs
from db.queries.lineage import Lineage
from engine.commands import job, option, shell
from jobs.command import Context, JobError, UsageError
from jobs.forgetting import leftovers, lineage
from jobs.forgetting.leftovers import Left, Size
from jobs.run_folders import owner_of

KIND = "forget"
"""The kind of runs that forget others. They are kept: SQLite reuses the number of a deleted last row, and a link or a
browser's storage that refers to a forgotten run must not find a different one."""
SHOWN = ("train", "predict", "evaluate", "map")
"""Kinds of which pages show the current run."""


@dataclass(frozen=True)
class Wanted:
    """What to forget: runs, or a dataset with all of its runs."""

    runs: frozenset[int] = frozenset()
    dataset: Dataset | None = None

    @property
    def dataset_id(self) -> int | None:
        """The dataset's id; None for runs."""
        return self.dataset.id if self.dataset else None

    @property
    def words(self) -> list[str]:
        """The command-line words that request it."""
        return option("dataset", self.dataset.name) if self.dataset else [str(number) for number in sorted(self.runs)]


@dataclass(frozen=True)
class Going:
    """The runs that would be deleted: those requested, and those built on them."""

    requested: frozenset[int]
    dependents: frozenset[int]
    heirs: dict[int, int]
    """See lineage.heirs_of."""

    @property
    def all(self) -> list[int]:
        """Every run that would be deleted, in order."""
        return sorted(self.requested | self.dependents)


@dataclass(frozen=True)
class Plan:
    """Everything that would be deleted, as of now."""

    wanted: Wanted
    going: Going
    runs: Sequence[Run]
    rows: dict[str, int]
    reviews: dict[str, int]
    """The dataset's number of reviews by reader."""
    tags: int
    left: Sequence[Left]
    size: Size
    thumbnails: Sequence[str]
    """The sha256 of images whose thumbnails are deleted: no other dataset holds them."""
    strangers: Sequence[str]
    """Folders of another database's runs; if there are any, thumbnails are kept."""
    exported: Sequence[str]
    """Folders that forgotten exports wrote into, which are kept."""
    rescored: Sequence[Run]
    """Report runs that are kept but were scored against predictions that are deleted."""
    successors: Sequence[tuple[str, int | None]]
    """Kind and number of each run that would become current in place of a deleted one; None if there is no other."""

    @property
    def command(self) -> str:
        """The command that carries out the plan."""
        more = ["--with-dependents"] * bool(self.going.dependents) + ["--reviews-too"] * self.has_reviews
        return shell("forget", *self.wanted.words, *more, "--yes")

    @property
    def has_reviews(self) -> bool:
        """Whether people's reviews or tags would be deleted, which no job can recreate."""
        return bool(self.reviews or self.tags)

    @property
    def scoring(self) -> bool:
        """Whether kept reports may have scores that were made by, or against, a deleted run."""
        return bool(self.rescored) or any(run.kind in ("score", "report") for run in self.runs)

    @property
    def openings(self) -> dict[str, int]:
        """Dataset id -> the number of deleted runs that scored its test split, so that they still count."""
        opened = Counter(str(run.dataset_id) for run in self.runs if runs.opens_test(run))
        return {number: count for number, count in opened.items() if number != str(self.wanted.dataset_id)}


def of(context: Context, wanted: Wanted) -> Plan:
    """Everything that would be deleted. Raises UsageError or JobError if something cannot be deleted."""
    dataset = wanted.dataset
    with session.reading(context.engine) as db:
        found = _going(context, db, wanted)
        rows = runs.among(db, found.all)
        counted = forgetting.counts(db, found.all, dataset_id=wanted.dataset_id, heirs=found.heirs)
        paths, used = forgetting.index_paths(db, found.all), forgetting.paths_of_others(db, found.all)
        shas = forgetting.image_shas(db, dataset.id) if dataset else []
        shared = forgetting.elsewhere(db, shas, dataset.id) if dataset else set()
        owners = {owner_of(run) for run in runs.every(db)}
        reviews, tags = _human_work(db, dataset)
        successors = [] if dataset else _successors(db, rows)
        rescored = [run for run in runs.every(db, kind="report") if _loose(run, found)]
    left = [Left.of(context.artifacts, run, [one for one in paths.get(run.id, ()) if one not in used]) for run in rows]
    strangers = leftovers.strangers(context.artifacts, owners) if dataset else []
    alone = [] if strangers else [sha256 for sha256 in shas if sha256 not in shared]
    size = sum((one.size(context.artifacts) for one in left), leftovers.thumbnails(context.artifacts, alone))
    exported = sorted({str(run.config["folder"]) for run in rows if run.kind == "export" and "folder" in run.config})
    return Plan(
        wanted=wanted,
        going=found,
        runs=rows,
        rows=counted,
        reviews=reviews,
        tags=tags,
        left=left,
        size=size,
        thumbnails=alone,
        strangers=strangers,
        exported=exported,
        rescored=rescored,
        successors=successors,
    )


def confirm(context: Context, db: Session, found: Plan, *, reviews_too: bool) -> None:
    """Check the plan again while nobody else writes. Raises JobError if other runs, or reviews that were not in the
    plan, would be deleted."""
    if _going(context, db, found.wanted, heirs=found.going.heirs) != found.going:
        raise JobError("other runs were built on these runs in the meantime; run the same command again")
    if not reviews_too and any(_human_work(db, found.wanted.dataset)):
        raise JobError("an image of the dataset was reviewed in the meantime; run the same command again")


def _going(context: Context, db: Session, wanted: Wanted, *, heirs: dict[int, int] | None = None) -> Going:
    """The runs that would be deleted. heirs: if already known. Raises UsageError or JobError if one cannot be."""
    requested = _requested(db, wanted)
    known = Lineage.of(db, scored_against=False)
    dependents = known.dependents(requested)
    if heirs is None:
        heirs = lineage.heirs_of(context, requested | dependents)
    dependents |= lineage.measured_by(db, requested | dependents, heirs) - requested
    dependents |= known.dependents(requested | dependents)  # the exports of those evaluations
    found = Going(frozenset(requested), frozenset(dependents), heirs)
    rows = runs.among(db, found.all)
    for run in rows:
        if runs.status(run) == "running":
            raise JobError(
                f"run {run.id} ({run.kind}) is still running (process {run.pid} on {run.host}); "
                "wait for it, or stop that process"
            )
    return found


def _loose(run: Run, found: Going) -> bool:
    """Whether the report run is kept while the predict run that its reports were scored against is deleted."""
    return run.id not in found.all and run.config.get("predict_run") in found.all


def _human_work(db: Session, dataset: Dataset | None) -> tuple[dict[str, int], int]:
    """Reviews of the dataset's images by reader, and the number of tags."""
    return (forgetting.reviews(db, dataset.id), forgetting.tags(db, dataset.id)) if dataset else ({}, 0)


def _successors(db: Session, rows: Sequence[Run]) -> list[tuple[str, int | None]]:
    """See Plan.successors."""
    found = []
    ids = [run.id for run in rows]
    for run in rows:
        standing = runs.current(db, run.kind, run.dataset_id) if run.kind in SHOWN else None
        if standing is not None and standing.id == run.id:
            after = runs.current(db, run.kind, run.dataset_id, without=ids)
            found.append((run.kind, after.id if after else None))
    return found


def _requested(db: Session, wanted: Wanted) -> set[int]:
    """The requested runs. Raises UsageError if one does not exist or cannot be forgotten."""
    if wanted.dataset is not None:
        for run in runs.every(db, kind="ingest"):
            if runs.status(run) == "running":  # it may be about to use an existing thumbnail
                raise JobError(f"run {run.id} is ingesting a folder; wait for it, or stop process {run.pid}")
        return runs.of_dataset(db, wanted.dataset.id)
    for number in sorted(wanted.runs):
        named = runs.find(db, number)
        if named is None:
            raise UsageError(f"there is no run {number}; see the Runs page")
        if named.kind == KIND:
            raise UsageError(f"run {number} records what was forgotten and cannot be forgotten itself; leave it out")
        if named.kind == "ingest" and named.dataset_id is not None:
            standing = runs.current(db, "ingest", named.dataset_id)
            if standing is not None and standing.id == named.id:
                dataset = db.get_one(Dataset, named.dataset_id)
                raise UsageError(
                    f"run {number} is the current ingest of dataset '{dataset.name}'; forget the whole dataset with: "
                    f"{job(KIND, dataset.name)}"
                )
    return set(wanted.runs)
