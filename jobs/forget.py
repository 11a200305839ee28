"""python -m jobs forget RUN [RUN ...] | --dataset NAME: delete runs, or a dataset, with their results.

Without --yes it only lists what would be deleted: rows by kind, files, and the runs built on those named. Rows are
deleted in one transaction, then the files that only these runs made; if it is interrupted, run the same command again.
Exported files and the folder of radiographs are never touched.
"""

from argparse import Namespace
from collections.abc import Sequence

from db import forgetting, session
from db.queries import datasets, runs
from engine.files import write_whole
from jobs.command import Context, JobError, UsageError, command, open_context, parser, row_number
from jobs.forgetting import plan
from jobs.forgetting.note import LEFT, Note, sweep, unfinished
from jobs.forgetting.plan import KIND, Plan, Wanted
from jobs.forgetting.summary import counted, human_work, named, summary_lines
from jobs.run import ActiveRun, Work


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, KIND)
    options.add_argument(
        "runs", type=row_number, nargs="*", metavar="RUN", help="numbers of the runs, see the Runs page"
    )
    options.add_argument("--dataset", metavar="NAME", help="forget the dataset, with its images and all its runs")
    options.add_argument("--with-dependents", action="store_true", help="also forget the runs built on these")
    options.add_argument("--reviews-too", action="store_true", help="also delete people's reviews and tags")
    options.add_argument("--yes", action="store_true", help="delete; without it, only list what would be deleted")
    args = options.parse_args(argv)
    if bool(args.runs) == (args.dataset is not None):
        raise UsageError("give either the numbers of runs to forget, or a dataset with --dataset NAME")
    if args.reviews_too and args.dataset is None:
        raise UsageError("--reviews-too is only for datasets; leave it out, or choose a dataset with --dataset")
    context = open_context(args, reads=not args.yes)
    finish_others(context, does=args.yes)
    wanted = wanted_of(context, args)
    if wanted is None:
        return 0
    found = plan.of(context, wanted)
    if args.yes:
        refuse(found, args)
    print("\n".join(summary_lines(found)))
    if args.yes:
        forget(context, found, reviews_too=args.reviews_too)
    else:
        print(f"forget: nothing has been deleted yet; to delete, run: {found.command}")
    return 0


def finish_others(context: Context, *, does: bool) -> None:
    """Delete the files left by earlier forget runs that were interrupted; if not `does`, only report them."""
    for row, note in unfinished(context):
        if not does:
            print(f"note: run {row.id} was interrupted; with --yes the files that it left are deleted first")
            continue
        run = ActiveRun.claim(context, Work(kind=KIND, config=row.config), again=True)
        with run:
            sweep(run, note)
        (run.folder / LEFT).unlink(missing_ok=True)
        print(f"forget: finished run {run.id}, which was interrupted")


def wanted_of(context: Context, args: Namespace) -> Wanted | None:
    """What is requested and still exists; prints what was forgotten earlier. None if nothing is left.

    Raises UsageError for a dataset that never existed; `plan.of` checks the runs.
    """
    with session.reading(context.engine) as db:
        gone = {number: by for number in args.runs if (by := runs.forgotten_by(db, number)) is not None}
        known = {one.name: one for one in datasets.every(db)}
        emptied = {row.config.get("dataset"): row.id for row in runs.forgettings(db)}
    for number, by in gone.items():
        print(f"forget: run {number} was already forgotten by run {by.id}")
    if args.dataset is None:
        left = frozenset(args.runs) - gone.keys()
        return Wanted(runs=left) if left else None
    if args.dataset in known:
        return Wanted(dataset=known[args.dataset])
    if args.dataset in emptied:
        print(f"forget: dataset '{args.dataset}' was already forgotten by run {emptied[args.dataset]}")
        return None
    raise UsageError(f"dataset '{args.dataset}' is unknown; known: {', '.join(known) or 'none'}")


def refuse(found: Plan, args: Namespace) -> None:
    """Raise JobError if dependents or people's work would be deleted without the option that allows it."""
    dependents = found.going.dependents
    if dependents and not args.with_dependents:
        were = "was" if len(dependents) == 1 else "were"
        requested = named(found.going.requested)
        raise JobError(f"{named(dependents)} {were} built on {requested}; add their numbers, or --with-dependents")
    if found.has_reviews and not args.reviews_too:
        raise JobError(
            f"{human_work(found)} would be deleted too and cannot be restored; to delete them, add --reviews-too"
        )


def forget(context: Context, found: Plan, *, reviews_too: bool) -> None:
    """Note which files to delete, delete the rows, then the files: whenever it is interrupted, no row refers to a
    missing file, and the note says what is left to do. Raises JobError if something changed in the meantime."""
    dataset, ids = found.wanted.dataset, found.going.all
    config = {"runs": ids, "scoring": found.scoring, "openings": found.openings}
    if dataset is not None:
        config |= {"dataset": dataset.name}
    run = ActiveRun.claim(context, Work(kind=KIND, config=config), again=True)
    with run:
        note = Note.of(found)
        write_whole(run.folder / LEFT, note.json())
        with session.transaction(context.engine) as db:
            forgetting.hold(db, ids, dataset_id=found.wanted.dataset_id)
            plan.confirm(context, db, found, reviews_too=reviews_too)
            forgetting.forget(db, ids, dataset_id=found.wanted.dataset_id, heirs=found.going.heirs)
        sweep(run, note)
    (run.folder / LEFT).unlink(missing_ok=True)
    also = f" and dataset '{dataset.name}'" if dataset else ""
    print(f"forget: run {run.id} forgot {counted(len(ids), 'run')}{also} in {run.seconds:.1f} s")


if __name__ == "__main__":
    raise SystemExit(main())
