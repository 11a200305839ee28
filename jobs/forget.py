"""python -m jobs forget RUN [RUN ...] | --dataset NAME: remove runs, or a data set, with all that hangs on them.

Without --yes it only tells what would go: rows of each kind, files, and the runs that were built on those named. Rows
go in one transaction, then the files that only these runs made; where it is killed, the same command goes on. Exported
files and the folder of radiographs are left alone.
"""

from argparse import Namespace
from collections.abc import Sequence

from db import forgetting, session
from db.queries import datasets, runs
from engine.files import write_whole
from jobs.command import Context, JobError, UsageError, command, open_context, parser, row_number
from jobs.forgetting import plan
from jobs.forgetting.note import LEFT, Note, sweep, unswept
from jobs.forgetting.plan import KIND, Plan, Wanted
from jobs.forgetting.telling import counted, human_work, named, told
from jobs.run import ActiveRun


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, KIND)
    options.add_argument("runs", type=row_number, nargs="*", metavar="RUN", help="numbers, as the Runs page has them")
    options.add_argument("--dataset", metavar="NAME", help="the data set, with its images and all runs on it")
    options.add_argument("--with-dependents", action="store_true", help="also the runs that were built on these")
    options.add_argument("--reviews-too", action="store_true", help="also people's reviews and tags of the data set")
    options.add_argument("--yes", action="store_true", help="do it")
    args = options.parse_args(argv)
    if bool(args.runs) == (args.dataset is not None):
        raise UsageError("name the runs to forget, or a data set with --dataset NAME")
    if args.reviews_too and args.dataset is None:
        raise UsageError("reviews and tags go with a data set alone; leave --reviews-too out, or name --dataset")
    context = open_context(args, reads=not args.yes)
    finish_others(context, does=args.yes)
    wanted = wanted_of(context, args)
    if wanted is None:
        return 0
    found = plan.of(context, wanted)
    if args.yes:
        refuse(found, args)
    print("\n".join(told(found)))
    if args.yes:
        forget(context, found, reviews_too=args.reviews_too)
    else:
        print(f"forget: nothing is changed yet; to do it: {found.command}")
    return 0


def finish_others(context: Context, *, does: bool) -> None:
    """Remove the files of what was forgotten before by a run that was cut off; unless it does, only tell of them."""
    for row, note in unswept(context):
        if not does:
            print(f"note: run {row.id} was cut off; with --yes the files that it left go first")
            continue
        run = ActiveRun.claim(context, kind=KIND, config=row.config, again=True)
        with run:
            sweep(run, note)
        (run.folder / LEFT).unlink(missing_ok=True)
        print(f"forget: run {run.id}, which was cut off, is finished")


def wanted_of(context: Context, args: Namespace) -> Wanted | None:
    """What is asked for and still there; a line tells what was forgotten already. None where nothing is left.

    Raises UsageError for a data set that never was; a run that never was is left to `plan.of`.
    """
    with session.reading(context.engine) as db:
        gone = {number: by for number in args.runs if (by := runs.forgotten_by(db, number)) is not None}
        known = {one.name: one for one in datasets.every(db)}
        emptied = {row.config.get("dataset"): row.id for row in runs.forgettings(db)}
    for number, by in gone.items():
        print(f"forget: run {number} was forgotten already, by run {by.id}")
    if args.dataset is None:
        left = frozenset(args.runs) - gone.keys()
        return Wanted(runs=left) if left else None
    if args.dataset in known:
        return Wanted(dataset=known[args.dataset])
    if args.dataset in emptied:
        print(f"forget: dataset '{args.dataset}' was forgotten already, by run {emptied[args.dataset]}")
        return None
    raise UsageError(f"dataset '{args.dataset}' is unknown; known: {', '.join(known) or 'none'}")


def refuse(found: Plan, args: Namespace) -> None:
    """Raises JobError where it was not said that dependents, or people's work, go as well."""
    dependents = found.going.dependents
    if dependents and not args.with_dependents:
        were = "was" if len(dependents) == 1 else "were"
        raise JobError(
            f"{named(dependents)} {were} built on {named(found.going.asked)}; name them too, or add --with-dependents"
        )
    if found.has_reviews and not args.reviews_too:
        raise JobError(f"{human_work(found)} would go too, which no job makes again; if they are to, add --reviews-too")


def forget(context: Context, found: Plan, *, reviews_too: bool) -> None:
    """Note which files are to go, delete the rows, then the files: whatever ends it early, no row names a file that is
    gone, and the note tells what is left to do. Raises JobError where something changed meanwhile."""
    dataset, ids = found.wanted.dataset, found.going.all
    config = {"runs": ids, "scoring": found.scoring, "openings": found.openings}
    if dataset is not None:
        config |= {"dataset": dataset.name}
    run = ActiveRun.claim(context, kind=KIND, config=config, again=True)
    with run:
        note = Note.of(found)
        write_whole(run.folder / LEFT, note.json())
        with session.transaction(context.engine) as db:
            forgetting.hold(db, ids, dataset_id=found.wanted.dataset_id)
            plan.confirm(context, db, found, reviews_too=reviews_too)
            forgetting.forget(db, ids, dataset_id=found.wanted.dataset_id, heirs=found.going.heirs)
        sweep(run, note)
    (run.folder / LEFT).unlink(missing_ok=True)
    kept = f", and dataset '{dataset.name}'" if dataset else ""
    print(f"forget: run {run.id} forgot {counted(len(ids), 'run')}{kept} in {run.seconds:.1f} s")


if __name__ == "__main__":
    raise SystemExit(main())
