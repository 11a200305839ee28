"""python -m jobs evaluate [--dataset NAME]: measure classifier, reports and retrieval, with intervals over patients.

Measures what the current runs stored; a task without a run is skipped, with the command to run first.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from db import session
from db.models import Run
from db.queries import attributes, datasets, predictions, runs
from db.writes import MetricValue
from engine.datasets.splits import OUT_OF_FOLD
from engine.errors import InputError
from engine.metrics.names import COVERAGES, SELECTIVE
from jobs.command import Context, JobError, command, natural, open_context, parser, replicates, row_number
from jobs.evaluations import caveats
from jobs.evaluations.reports import agreements_of, report_values
from jobs.evaluations.retrieval import retrieval_values
from jobs.metric_table import summary, table
from jobs.results.inputs import Inputs, gather
from jobs.results.judged import attribute_columns, by_split, unseen
from jobs.results.source_runs import thresholds_of
from jobs.results.values import metric_value
from jobs.run import ActiveRun, Work


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "evaluate")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--predict-run", type=row_number, metavar="N", help="predict run to use (default: the current run)"
    )
    options.add_argument(
        "--train-run", type=row_number, metavar="N", help="train run to use (default: that of the predict run)"
    )
    options.add_argument(
        "--replicates", type=replicates, default=1000, metavar="N", help="bootstrap replicates (default: 1000)"
    )
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    options.add_argument("--again", action="store_true", help="evaluate again even if it is already done")
    options.add_argument("--all", action="store_true", help="print every metric, not only the main ones")
    args = options.parse_args(argv)
    context = open_context(args)
    inputs = gather(context, context.dataset(args.dataset), predict_run=args.predict_run, train_run=args.train_run)
    for line in inputs.missing:
        print(f"evaluate: skipped {line}")
    if len(inputs.missing) == 4:
        raise JobError(f"dataset '{inputs.dataset.name}' has nothing to evaluate yet; see the commands above")
    work = Work(
        kind="evaluate",
        config={**inputs.config, "replicates": args.replicates},
        inputs=inputs.fingerprint,
        dataset_id=inputs.dataset.id,
        seed=args.seed,
    )
    run = ActiveRun.claim(context, work, again=args.again)
    if not run.already_finished:
        with run:
            evaluate(run, inputs, seed=args.seed, replicates=args.replicates)
    for line in run.summary["skipped"][len(inputs.missing) :]:
        print(f"evaluate: skipped {line}")
    for line in run.summary["warnings"]:
        print(f"warning: {line}")
    with session.reading(context.engine) as db:
        stored, curves = runs.metrics(db, run.id), runs.metrics(db, run.id, curves=True)
        opened = runs.test_openings(db, inputs.dataset.id)
        tested = any(row.split == "test" for row in datasets.counts(db, inputs.dataset.id))
    referring = [row for row in curves if row.name in SELECTIVE and row.step in COVERAGES]
    print("\n".join(table([*stored, *referring]) if args.all else [*summary(stored), ""]))
    if tested:
        print(f"evaluate: times the test split was scored in this database: {opened:,}")
    if run.already_finished:
        print(f"evaluate: already done as run {run.id}")
    else:
        print(f"evaluate: run {run.id} stored {len(stored) + len(curves)} values in {run.seconds:.1f} s")
    if not args.all:
        print("evaluate: to see every metric, by cause, subgroup and coverage, add --all")
    return 0


def evaluate(run: ActiveRun, inputs: Inputs, *, seed: int, replicates: int) -> None:
    """Measure and store the results of every task that has a run; unreadable results are skipped with the reason."""
    measure = {"seed": seed, "replicates": replicates}
    agreements = agreements_of(run.context, inputs)
    tasks: dict[str, Callable[[], Iterator[MetricValue]]] = {}
    for source, out_of_fold in ((inputs.predict, False), (inputs.train, True)):
        if source is not None:
            tasks[f"{source.kind} run {source.id}"] = partial(
                classifier_values, run.context, source, inputs.current or source, out_of_fold=out_of_fold, **measure
            )
    if inputs.scores:
        tasks["reports"] = partial(report_values, inputs, agreements, **measure)
    for index in inputs.indexes:
        tasks[f"index of {index.embedder}"] = partial(retrieval_values, run.context, index, inputs.predict, **measure)
    counts, skipped, warnings = {}, list(inputs.missing), caveats.of_inputs(run.context, inputs, agreements)
    for name in run.track(list(tasks), stage="measuring"):
        try:
            rows = list(tasks[name]())
        except InputError as error:
            skipped.append(f"{name}: {str(error).removeprefix(f'{name}: ')}")
            continue
        run.metrics(rows)
        counts[name] = len(rows)
        warnings += caveats.of_values(rows)
    if not any(counts.values()):
        raise JobError(f"nothing of dataset '{inputs.dataset.name}' could be measured: {'; '.join(skipped)}")
    run.summary = {"values": counts, "skipped": skipped, "warnings": warnings, "images_sha256": inputs.images}


def classifier_values(
    context: Context, source: Run, current: Run, *, out_of_fold: bool, seed: int, replicates: int
) -> Iterator[MetricValue]:
    """Metrics of the run's labelled predictions, by split, or all together as OUT_OF_FOLD; every file counts once.
    current: the run whose thresholds are used."""
    from engine.classification.calibration import probabilities
    from engine.metrics.classification import HALF, Sample
    from engine.metrics.evaluation import classification
    from engine.metrics.selective import selective
    from engine.metrics.subgroups import subgroups

    thresholds = {**thresholds_of(current), "half": HALF}
    if out_of_fold:
        with session.reading(context.engine) as db:
            labelled = predictions.of_run(db, source.id, labelled=True)
    else:
        labelled = unseen(context, source)
    with session.reading(context.engine) as db:
        known = attributes.of_dataset(db, source.dataset_id) if source.dataset_id else {}
    for split, rows in {OUT_OF_FOLD: labelled}.items() if out_of_fold else by_split(labelled).items():
        files = [row for row in rows for _ in range(row.file_count)]
        labels, patients = np.array([row.label for row in files], dtype=np.intp), [row.patient_key for row in files]
        sample = Sample.of(labels, [row.probability for row in files], threshold=thresholds["all"])
        values = classification(
            labels,
            sample.probabilities,
            patients,
            [row.cause or "" for row in files],
            thresholds=thresholds,
            seed=seed,
            replicates=replicates,
            uncalibrated=None if source.imported else probabilities(np.array([row.logit for row in files])),
        )
        values += selective(sample, patients, seed=seed, replicates=replicates)
        parts = attribute_columns([known.get(row.image_id, {}) for row in files])
        values += subgroups(sample, patients, parts, seed=seed, replicates=replicates)
        for measured in values:
            yield metric_value(measured.name, split, measured.slice, measured.interval, step=measured.step)


if __name__ == "__main__":
    raise SystemExit(main())
