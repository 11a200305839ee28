"""python -m jobs export [--out FOLDER]: write the latest evaluation's figures, tables and reports to files.

Files that lack their run are skipped, with the command to run first; files that earlier exports left in the folder are
removed.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

from db import session, writes
from db.models import Dataset, Run, VectorIndex
from db.queries import audit as audits
from db.queries import evaluation, indexes, runs
from engine.commands import job
from engine.digests import is_whole
from engine.errors import InputError
from jobs.command import Context, JobError, UsageError, command, make_writable, named_folder, open_context, parser
from jobs.exports import audit, embeddings, figures, leftovers, model_card, reports, sheets, tables
from jobs.exports.source import Export
from jobs.results.inputs import Inputs, gather, is_current
from jobs.run import ActiveRun, Work

VERSION = 10
"""Increased when exported files change in appearance or meaning, so that they are written again."""

LONGEST = 200
"""Maximum bytes of a dataset's name in its folder's name: file systems allow 255 including the suffix."""

GROUPS: dict[str, Callable[[Export], None]] = {
    "training curves": figures.training_curves,
    "classifier charts": figures.classifier_charts,
    "accuracy by coverage": figures.coverage_chart,
    "sample predictions and failures": sheets.prediction_sheets,
    "predictions": tables.predictions_table,
    "metrics": tables.metrics_table,
    "report table": reports.all_reports,
    "prompt comparison": figures.prompt_chart,
    "report cards": sheets.report_cards,
    "precision at k": figures.precision_chart,
    "retrieval results": sheets.retrieval_results,
    "text retrieval results": sheets.text_retrieval_results,
    "t-SNE map": figures.embedding_map,
    "test embeddings": embeddings.test_embeddings,
    "deletion and insertion": audit.curves_chart,
    "shortcut probes": audit.probes_chart,
    "association with shortcuts": audit.correlations_chart,
    "stress tests": audit.stresses_chart,
    "failures by slice": audit.slices_sheet,
    "classification report": reports.classification_report,
    "report on generated reports": reports.generation_report,
    "retrieval report": reports.retrieval_report,
    "audit report": audit.audit_report,
    "model card": model_card.model_card,
}
"""The groups of files in order: the Markdown reports come last, since they include the figures."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "export")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument("--embedder", metavar="NAME", help="embedder whose index to show (default: the latest index)")
    options.add_argument(
        "--out", type=named_folder, metavar="FOLDER", help="folder (default: exports/DATASET in the artifact folder)"
    )
    args = options.parse_args(argv)
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    own = (context.artifacts / "exports" / folder_name(dataset)).resolve()
    folder = args.out.resolve() if args.out else own
    with session.reading(context.engine) as db:
        found = evaluation.latest(db, dataset.id)
    if found is None:
        raise JobError(f"dataset '{dataset.name}' has not been evaluated; run: {job('evaluate', dataset.name)}")
    evaluated, metrics = found
    inputs = gather(context, dataset)
    refuse_changed(inputs, evaluated)
    if not is_current(inputs, evaluated):
        print(
            f"export: results newer than evaluation run {evaluated.id} are not included; "
            f"to include them, first run: {job('evaluate', dataset.name)}"
        )
    indexes = evaluated_indexes(context, evaluated, args.embedder)
    make_writable(folder, what="export folder", option="--out")
    run = claimed(context, dataset, evaluated, indexes, folder)
    if run.already_finished:
        print_outcome(run.summary, folder)
        print(f"export: already done as run {run.id}")
        return 0
    with run:
        refuse_while_written(run, folder)
        export = Export(context, dataset, evaluated, metrics, folder, indexes)
        if folder != own:
            export.known = leftovers.written(export)
        write(run, export)
    print_outcome(run.summary, folder)
    print(f"export: run {run.id} took {run.seconds:.1f} s")
    return 0


def refuse_changed(inputs: Inputs, evaluated: Run) -> None:
    """Raise JobError if the dataset's images changed after the evaluation: new figures would be shown beside old
    metrics."""
    measured = (evaluated.summary or {}).get("images_sha256")
    if measured != inputs.images:
        why = (
            "it is from an earlier version"
            if measured is None
            else "images, labels, splits or patients have changed since"
        )
        again = job("evaluate", inputs.dataset.name)
        raise JobError(f"evaluation run {evaluated.id} is out of date ({why}); before the export, run: {again}")


def folder_name(dataset: Dataset) -> str:
    """A folder name for the dataset, unique to its name.

    Characters that are special in paths are replaced and long names are truncated; a hash after '~', which no unchanged
    name contains, then distinguishes for example 'a b' from 'a_b'.
    """
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in dataset.name).lstrip(".")
    safe = safe.encode()[:LONGEST].decode(errors="ignore")
    return safe if safe == dataset.name else f"{safe}~{hashlib.sha256(dataset.name.encode()).hexdigest()[:8]}"


def evaluated_indexes(context: Context, evaluated: Run, embedder: str | None) -> list[VectorIndex]:
    """The evaluated indexes that still exist: that of `embedder` first, else the latest. Raises UsageError if that
    embedder has none."""
    known = evaluated.config["indexes"]
    if embedder is not None and embedder not in known:
        has = ", ".join(sorted(known)) or "no index"
        raise UsageError(f"evaluation run {evaluated.id} measured no index of embedder '{embedder}'; it has: {has}")
    with session.reading(context.engine) as db:
        found = indexes.existing(db, known.values())
    return sorted(found, key=lambda index: index.embedder != embedder)


def claimed(
    context: Context, dataset: Dataset, evaluated: Run, indexes: Sequence[VectorIndex], folder: Path
) -> ActiveRun:
    """The run of this export; a finished one is redone unless all its files are still intact."""
    with session.reading(context.engine) as db:
        audited = audits.latest(db, evaluated.config["predict_run"] or 0)
    work = Work(
        kind="export",
        config={
            "dataset": dataset.name,
            "evaluate_run": evaluated.id,
            "audit_run": audited.id if audited else None,
            "indexes": [index.id for index in indexes],
            "folder": str(folder),
        },
        inputs=f"{VERSION} {evaluated.fingerprint} {audited.fingerprint if audited else None}",
        dataset_id=dataset.id,
    )
    run = ActiveRun.claim(context, work)
    if run.already_finished and not all(is_whole(folder / name, sha) for name, sha in run.summary["files"].items()):
        run = ActiveRun.claim(context, work, again=True)
    return run


def refuse_while_written(run: ActiveRun, folder: Path) -> None:
    """Raise JobError while another export writes into the folder, since their files would be mixed."""
    with session.reading(run.context.engine) as db:
        others = [other for other in runs.exports(db) if other.id != run.id and other.config["folder"] == str(folder)]
    for other in others:
        if runs.status(other) == "running":
            raise JobError(
                f"export run {other.id} is writing into {folder} (process {other.pid} on {other.host}); "
                "wait for it, or choose another folder with --out"
            )


def write(run: ActiveRun, export: Export) -> None:
    """Write and record every group that can be written; then remove files that earlier exports left in the folder."""
    left_out: dict[str, str] = {}
    run.summary = {"files": export.files, "left_out": left_out}  # an interrupted run stores what it has so far
    export.announce = partial(announce, run)
    for name in run.track(list(GROUPS), stage="writing files"):
        before = set(export.files)
        try:
            GROUPS[name](export)
        except InputError as error:
            left_out[name] = str(error)
        record(run, export, export.files.keys() - before)
    if not export.files:
        raise JobError(f"nothing could be exported; the first reason: {next(iter(left_out.values()))}")
    run.summary["removed"] = leftovers.remove(export)


def announce(run: ActiveRun) -> None:
    """Store the run's summary so far, so that a later export may replace its files even if it is killed."""
    with session.transaction(run.context.engine) as db:
        db.get_one(Run, run.id).summary = deepcopy(run.summary)


def record(run: ActiveRun, export: Export, names: Collection[str]) -> None:
    """Store the hashes of files inside the artifact folder as this run's artifacts."""
    paths = export.recorded(names)
    with session.transaction(export.context.engine) as db:
        writes.disown(db, run.id, paths)
    for path in paths:
        run.artifact(Path(path).name, export.context.artifacts / path)


def print_outcome(summary: dict[str, object], folder: Path) -> None:
    """Print what was written, skipped and removed."""
    files, left_out, removed = (summary[name] for name in ("files", "left_out", "removed"))
    assert isinstance(files, dict)
    assert isinstance(left_out, dict)
    assert isinstance(removed, list)
    print(f"export: {len(files)} files in {folder}: {', '.join(files)}")
    for name, reason in left_out.items():
        print(f"export: skipped {name}: {reason}")
    if removed:
        print(f"export: removed files of earlier exports: {', '.join(removed)}")


if __name__ == "__main__":
    raise SystemExit(main())
