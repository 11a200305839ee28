"""Which evaluations measured a run's reports, and which of its reports another run requested too."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy.orm import Session

from db import session
from db.models import Run
from db.queries import lineage as queries
from db.queries import runs
from db.queries.lineage import WrittenReport
from db.slice_names import report_slice
from engine.digests import json_sha256
from jobs.command import Context, JobError
from jobs.reporting.images import chosen_images, image_count


def measured_by(db: Session, run_ids: Collection[int], heirs: Collection[int]) -> set[int]:
    """The evaluations that measured reports deleted with these runs: of the same model and strategy, on images of the
    evaluation's dataset, and written before it. heirs: ids of reports that are kept."""
    first: dict[tuple[str, int], int] = {}
    for report in queries.held_reports(db, run_ids):
        if report.report_id not in heirs:
            first[report_slice(report.model, report.strategy), report.dataset_id] = report.report_id
    if not first:
        return set()
    found = set()
    for run, where in queries.measured_reports(db):
        earliest = first.get((where, run.dataset_id or 0))
        if earliest is not None and (run.config.get("last_report") or 0) >= earliest:
            found.add(run.id)
    return found


def heirs_of(context: Context, run_ids: Collection[int]) -> dict[int, int]:
    """Report id -> the finished run that inherits the report, because it is kept and requested the report too, but
    found it already written; of several such runs the earliest."""
    with session.reading(context.engine) as db:
        written = _written(db, run_ids)
        reporting = runs.every(db, kind="report")
    found: dict[int, int] = {}
    for run in reporting:
        if run.status != "finished" or run.id in run_ids:
            continue
        key = (run.config.get("model"), run.config.get("revision"), json_sha256(run.config.get("settings")))
        prompts = (run.config.get("strategies") or {}).values()
        same = [row for row in written.get(key, ()) if row.prompt_sha256 in prompts]
        if same:
            requested = _requested(context, run)
            chosen = same if requested is None else [row for row in same if row.image_sha256 in requested]
            found = {row.report_id: run.id for row in chosen} | found
    return found


def _written(db: Session, run_ids: Collection[int]) -> dict[tuple[Any, ...], list[WrittenReport]]:
    """The reports of these runs, by model, revision and the hash of their settings."""
    found = defaultdict(list)
    for row in queries.written_reports(db, run_ids):
        found[row.model, row.revision, row.settings_sha256].append(row)
    return found


def _requested(context: Context, run: Run) -> set[str] | None:
    """The sha256 of the images that a report run requested. If that is unknown (imported reports, or a forgotten
    predict run): None, meaning any image, if some of its reports had existed before, else the empty set."""
    with session.reading(context.engine) as db:
        predicted = db.get(Run, run.config.get("predict_run") or 0)
    if predicted is None or "images" not in run.config:
        counts = run.summary or {}
        return set() if counts.get("reports", 0) <= counts.get("written", 0) + counts.get("failed", 0) else None
    wanted, split, only = image_count(run.config["images"]), run.config.get("split"), run.config.get("only")
    try:
        _, images = chosen_images(context, predicted, split=split, only=only, count=wanted, seed=run.seed or 0)
    except JobError:  # none of the requested images exists any more
        return set()
    return {image.sha256 for image in images}
