"""python -m jobs audit [--predict-run N]: look for reasons to distrust a classifier: heatmaps, shortcuts, stress tests.

Heatmaps: do they change when the weights are randomised, and do they show what the probability depends on (deletion,
insertion)? Shortcuts: what apart from disease separates the classes, and is the classifier's output associated with it?
Stress tests: how does it do on images that are blurred, darkened, rotated and so on, and whose calls change? Failures:
which training images are nearest, are there near-duplicates, and which kinds of image fail most? An interrupted audit
resumes where it stopped.
"""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence

from db import session
from db.queries import runs
from db.writes import MetricValue
from engine.errors import InputError
from jobs.audits import explanations, neighbours, shortcuts, slices, stresses
from jobs.audits.subject import Audit, find_subject, values_of
from jobs.command import (
    Context,
    JobError,
    UsageError,
    command,
    natural,
    open_context,
    parser,
    positive,
    replicates,
    row_number,
)
from jobs.metric_table import table
from jobs.run import ActiveRun, Work

QUESTIONS: dict[str, Callable[[Audit], Iterator[MetricValue]]] = {
    "slices": slices.slices,
    "shortcut probes": shortcuts.probes,
    "occlusions": shortcuts.occlusions,
    "stress tests": stresses.stresses,
    "neighbours": neighbours.neighbours,
    "heat in the frame": explanations.frame_heat,
    "sanity of the heatmaps": explanations.sanity,
    "faithfulness of the heatmaps": explanations.faithfulness,
}
"""The audit's questions in order; each stores its metrics as soon as it is answered."""


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    if args.folds < 2:
        raise UsageError(f"--folds {args.folds} leaves nothing to hold out; ask for at least 2")
    context = open_context(args)
    subject = find_subject(context, context.dataset(args.dataset), args.predict_run)
    settings = {"sample": args.sample, "folds": args.folds, "replicates": args.replicates}
    work = Work(
        kind="audit",
        config={
            "dataset": subject.dataset.name,
            "predict_run": subject.predict.id,
            "train_run": subject.trained.run.id if subject.trained else None,
            **settings,
        },
        inputs=subject.fingerprint,
        dataset_id=subject.dataset.id,
        seed=args.seed,
        expected_summary={"images": len(subject.judged)},
    )
    run = ActiveRun.claim(context, work, again=args.again)
    if not run.already_finished:
        with run:
            audit(Audit(run, subject, seed=args.seed, **settings))
    print_outcome(context, run)
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "audit")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--predict-run", type=row_number, metavar="N", help="predict run to use (default: the current run)"
    )
    options.add_argument(
        "--sample",
        type=positive,
        default=16,
        metavar="N",
        help="images measured by deletion and insertion in each group: called pneumonia, called normal, false "
        "positives, false negatives (default: 16; a large number measures all, at about 130 forward passes per image)",
    )
    options.add_argument(
        "--folds",
        type=positive,
        default=5,
        metavar="N",
        help="cross-validation folds of the shortcut probes (default: 5)",
    )
    options.add_argument(
        "--replicates", type=replicates, default=1000, metavar="N", help="bootstrap replicates (default: 1000)"
    )
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    options.add_argument("--again", action="store_true", help="audit again even if it is already done")
    return options


def print_outcome(context: Context, run: ActiveRun) -> None:
    """Print the run's metrics and its verdicts."""
    with session.reading(context.engine) as db:
        stored = runs.metrics(db, run.id)
    print("\n".join(table(stored)))
    for question, verdict in run.summary["verdicts"].items():
        print(f"audit: {question}: {verdict}")
    if run.already_finished:
        print(f"audit: already done as run {run.id}")
    else:
        print(f"audit: run {run.id} stored {len(stored)} values in {run.seconds:.0f} s")


def audit(work: Audit) -> None:
    """Answer every question; one that cannot be answered is skipped with its reason."""
    from engine.audit.verdicts import verdicts
    from engine.classification.stresses import STRESSES

    counts, skipped = {}, []
    for name, question in QUESTIONS.items():
        try:
            rows = list(question(work))
        except InputError as error:
            skipped.append(f"{name}: {error}")
            print(f"audit: skipped {skipped[-1]}")
            continue
        work.run.metrics(rows)
        counts[name] = len(rows)
    if not counts:
        raise JobError(f"predict run {work.subject.predict.id} could not be audited: {'; '.join(skipped)}")
    with session.reading(work.run.context.engine) as db:
        stored = runs.metrics(db, work.run.id)
    work.run.summary = {
        "predict_run": work.subject.predict.id,
        "checkpoint_sha256": work.subject.predict.checkpoint_sha256,
        "images": len(work.subject.judged),
        "failures": int(work.subject.failed.sum()),
        "values": counts,
        "skipped": skipped,
        "stresses": {name: stress.what for name, stress in STRESSES.items() if "stress tests" in counts},
        "verdicts": verdicts(values_of(stored, work.subject.split)),
    }
    work.run.discard(work.run.folder / "parts")


if __name__ == "__main__":
    raise SystemExit(main())
