"""Removing runs and datasets: counting the rows that would be deleted, and deleting them in one transaction."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from db import report_tallies, writes
from db.batches import batches
from db.models import (
    Artifact,
    Base,
    Dataset,
    Image,
    ImageTag,
    Prompt,
    Report,
    ReportFailure,
    ReportScore,
    Review,
    Run,
    VectorIndex,
)

WORDS = {
    "dataset": "datasets",
    "image": "images",
    "image_attribute": "image attributes",
    "review": "reviews",
    "image_tag": "tags",
    "answer_seen": "records of answers seen",
    "run": "runs",
    "prediction": "predictions",
    "report": "reports",
    "report_score": "report scores",
    "report_failure": "failed reports",
    "vector_index": "vector indexes",
    "metric": "metrics",
    "artifact": "records of files",
    "trained_on": "records of training images",
    "error_slice": "audit slices",
    "slice_member": "members of slices",
    "neighbour": "neighbours found by audits",
    "image_measure": "image measurements",
    "near_duplicate": "pairs of near-duplicates",
    "skipped_file": "skipped files",
    "image_tally": "image tallies",
    "prediction_tally": "prediction tallies",
    "report_tally": "report tallies",
}
"""Table -> name for its rows, in the order in which counts are listed."""
Heirs = Mapping[int, int]
"""Report id -> run that takes the report over: it requested the report too, but found it already written."""


def counts(session: Session, run_ids: Collection[int], *, dataset_id: int | None, heirs: Heirs) -> dict[str, int]:
    """The number of rows of each kind, by its name in WORDS, that would be deleted with these runs and this dataset
    (unless None); kinds without rows are left out."""
    roots = _roots(run_ids, dataset_id)
    found: dict[str, int] = {}
    for table in Base.metadata.sorted_tables:
        condition = _goes(table, roots)
        if condition is not None:
            found[table.name] = session.scalar(select(func.count()).select_from(table).where(condition)) or 0
    found["report"] -= len(heirs)
    for part in batches(heirs):
        kept = select(func.count()).where(ReportScore.report_id.in_(part))
        if dataset_id is not None:
            kept = kept.where(ReportScore.dataset_id.is_distinct_from(dataset_id))
        found["report_score"] -= session.scalar(kept) or 0
    ordered = [*(name for name in WORDS if name in found), *(name for name in found if name not in WORDS)]
    return {WORDS.get(name, name): found[name] for name in ordered if found[name]}


def reviews(session: Session, dataset_id: int) -> dict[str, int]:
    """Reviewer -> number of reviews of the dataset's images, sorted by name."""
    query = select(Review.reviewer, func.count().label("reviews")).join(Image, Image.id == Review.image_id)
    query = query.where(Image.dataset_id == dataset_id).group_by(Review.reviewer).order_by(Review.reviewer)
    return {row.reviewer: row.reviews for row in session.execute(query)}


def tags(session: Session, dataset_id: int) -> int:
    """The number of tags on the dataset's images, in reviews or separate."""
    query = select(func.count()).select_from(ImageTag).join(Image, Image.id == ImageTag.image_id)
    return session.scalar(query.where(Image.dataset_id == dataset_id)) or 0


def hold(session: Session, run_ids: Collection[int], *, dataset_id: int | None) -> None:
    """Lock these runs, and the datasets concerned, against writing and scoring until this transaction ends; waits for
    other writers. Call it before reading rows to be deleted. SQLite has only one writer anyway."""
    showing = select(Image.dataset_id).join(Report, Report.image_sha256 == Image.sha256)
    showing = showing.where(Report.run_id.in_(run_ids))
    owning = select(Run.dataset_id).where(Run.id.in_(run_ids))
    concerned = or_(Dataset.id.in_(showing), Dataset.id.in_(owning), Dataset.id == dataset_id)
    session.execute(select(Dataset.id).where(concerned).order_by(Dataset.id).with_for_update())
    session.execute(select(Run.id).where(Run.id.in_(run_ids)).order_by(Run.id).with_for_update())


def forget(session: Session, run_ids: Collection[int], *, dataset_id: int | None, heirs: Heirs) -> None:
    """Delete the runs with all their rows, except reports that pass to their heirs; and the dataset (unless None) with
    its images, reviews and tags. Reports by other runs on an image that another dataset also holds pass to that
    dataset. Report tallies are updated. Call `hold` first."""
    kept = defaultdict(list)
    for report_id, heir in heirs.items():
        kept[heir].append(report_id)
    for heir, report_ids in kept.items():
        for part in batches(report_ids):
            session.execute(update(Report).where(Report.id.in_(part)).values(run_id=heir))
    report_tallies.take(session, session.scalars(select(Report.id).where(Report.run_id.in_(run_ids))).all())
    session.execute(delete(Run).where(Run.id.in_(run_ids)))
    if dataset_id is not None:
        writes.forget_images(session, session.scalars(select(Image.id).where(Image.dataset_id == dataset_id)).all())
        session.execute(delete(Dataset).where(Dataset.id == dataset_id))
    _forget_prompts(session)


def image_shas(session: Session, dataset_id: int) -> list[str]:
    """The sha256 of each of the dataset's images."""
    return list(session.scalars(select(Image.sha256).where(Image.dataset_id == dataset_id).order_by(Image.sha256)))


def elsewhere(session: Session, shas: Collection[str], dataset_id: int | None = None) -> set[str]:
    """Of these sha256, those that a dataset holds, other than `dataset_id`."""
    found: set[str] = set()
    for part in batches(shas):
        query = select(Image.sha256).where(Image.sha256.in_(part))
        found.update(session.scalars(query if dataset_id is None else query.where(Image.dataset_id != dataset_id)))
    return found


def index_paths(session: Session, run_ids: Collection[int]) -> dict[int, list[str]]:
    """Run id -> folders of the indexes it built, relative to the artifact folder."""
    found: dict[int, list[str]] = defaultdict(list)
    query = select(VectorIndex.run_id, VectorIndex.path).where(VectorIndex.run_id.in_(run_ids))
    for run_id, path in session.execute(query.order_by(VectorIndex.id)):
        found[run_id].append(path)
    return found


def paths_of_others(session: Session, run_ids: Collection[int]) -> set[str]:
    """The files and folders, relative to the artifact folder, that rows of any other runs refer to."""
    found: set[str] = set()
    for model in (Artifact, VectorIndex):
        found.update(session.scalars(select(model.path).where(model.run_id.not_in(run_ids))))
    return found


def _roots(run_ids: Collection[int], dataset_id: int | None) -> dict[str, ColumnElement[bool] | None]:
    """Table -> condition for the rows to be deleted directly; everything else follows by cascade."""
    roots: dict[str, ColumnElement[bool] | None] = {
        "run": Run.id.in_(run_ids),
        "dataset": None if dataset_id is None else Dataset.id == dataset_id,
    }
    for model in (Report, ReportFailure):
        theirs: ColumnElement[bool] = model.run_id.in_(run_ids)
        roots[model.__tablename__] = theirs if dataset_id is None else or_(theirs, _of_it_alone(model, dataset_id))
    return roots


def _of_it_alone(model: type[Report] | type[ReportFailure], dataset_id: int) -> ColumnElement[bool]:
    """Whether the report is on an image of this dataset that no other dataset holds; see writes.forget_images."""
    here = select(Image.id).where(Image.dataset_id == dataset_id)
    elsewhere = exists().where(Image.sha256 == model.image_sha256, Image.dataset_id != dataset_id)
    return and_(model.image_id.in_(here), ~elsewhere)


def _goes(table: Table, roots: Mapping[str, Any]) -> ColumnElement[bool] | None:
    """The rows of the table that are deleted with the roots, by cascade; None if there can be none."""
    if table.name in roots:
        root: ColumnElement[bool] | None = roots[table.name]
        return root
    parts = []
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        above = _goes(key.column.table, roots) if key.ondelete == "CASCADE" else None
        if above is not None:
            parts.append(key.parent.in_(select(key.column).where(above)))
    return or_(*parts) if parts else None


def _forget_prompts(session: Session) -> None:
    """Delete prompts that no report uses and no run requests, so that their texts can get another name."""
    asked = select(Run.config).where(Run.kind == "report")
    needed = {sha for config in session.scalars(asked) for sha in (config.get("strategies") or {}).values()}
    written = [exists().where(model.prompt_sha256 == Prompt.sha256) for model in (Report, ReportFailure)]
    unused = session.scalars(select(Prompt.sha256).where(~or_(*written))).all()
    session.execute(delete(Prompt).where(Prompt.sha256.in_(set(unused) - needed)))
