"""python -m jobs evaluate [--dataset NAME]: measure classifier, reports and retrieval, with intervals over patients.

Reads what the latest finished runs stored; a task without a run is skipped and named with the command that makes it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db import session
from db.models import Dataset, Metric, Run, VectorIndex
from db.queries import evaluation, runs
from jobs.command import Context, JobError, UsageError, command, open_context, parser
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from engine.metrics.bootstrap import Interval

KS = (1, 3, 5, 10)
VERSION = 1
"""Raised when a metric is added or changes its meaning, so that finished evaluations are made anew."""
UNSCORED = ("stance",)
"""Report scores that say what a report claims, not how good it is."""


@dataclass(frozen=True)
class Inputs:
    """What there is to evaluate of a dataset; `missing` names each absent task and the command that makes it."""

    dataset: Dataset
    predict: Run | None
    train: Run | None
    indexes: list[VectorIndex]
    reports: list[dict[str, Any]]
    scores: list[dict[str, Any]]

    @property
    def missing(self) -> list[str]:
        """One line for each task that has nothing to evaluate."""
        option = f"--dataset {self.dataset.name}"
        asked = {
            f"classification on test: no predict run; make one with: python -m jobs predict {option}": self.predict,
            f"out-of-fold classification: no train run; make one with: python -m jobs train {option}": self.train,
            f"reports: none with a score; write some with: python -m jobs report {option}": self.scores,
            f"retrieval: no vector index; build one with: python -m jobs embed {option}": self.indexes,
        }
        return [line for line, found in asked.items() if not found]

    @property
    def config(self) -> dict[str, Any]:
        """Which runs are read, as the evaluation's row remembers them."""
        return {
            "dataset": self.dataset.name,
            "predict_run": self.predict.id if self.predict else None,
            "train_run": self.train.id if self.train else None,
            "indexes": {index.embedder: index.id for index in self.indexes},
            "last_report": max((report["id"] for report in self.reports), default=None),
        }

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the values depend on."""
        marks = [run.fingerprint if run else None for run in (self.predict, self.train)]
        scored = [(row["report_id"], row["metric"], row["value"]) for row in self.scores]
        parts = [VERSION, KS, marks, [index.sha256 for index in self.indexes], scored]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "evaluate")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument("--predict-run", type=int, metavar="N", help="default: the latest finished one")
    options.add_argument("--train-run", type=int, metavar="N", help="default: the one behind the predict run")
    options.add_argument("--replicates", type=int, default=1000, metavar="N", help="bootstrap replicates (1000)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--again", action="store_true", help="evaluate anew although it is done")
    args = options.parse_args(argv)
    if args.replicates < 100:
        raise UsageError(f"--replicates {args.replicates} is too few for a 95 % interval; ask for at least 100")
    context = open_context(args)
    inputs = gather(context, context.dataset(args.dataset), predict_run=args.predict_run, train_run=args.train_run)
    for line in inputs.missing:
        print(f"evaluate: skipped {line}")
    if len(inputs.missing) == 4:
        raise JobError(f"dataset '{inputs.dataset.name}' has nothing to evaluate yet; the lines above say what to run")
    run = ActiveRun.claim(
        context,
        kind="evaluate",
        config={**inputs.config, "replicates": args.replicates},
        inputs=inputs.fingerprint,
        dataset_id=inputs.dataset.id,
        seed=args.seed,
        again=args.again,
    )
    if run.already_finished:
        print(f"evaluate: already done as run {run.id}")
        return 0
    with run:
        evaluate(run, inputs, seed=args.seed, replicates=args.replicates)
    with session.transaction(context.engine) as db:
        stored = runs.metrics(db, run.id)
    print("\n".join(table(stored)))
    print(f"evaluate: run {run.id} stored {len(stored)} values in {run.seconds:.1f} s")
    return 0


def gather(
    context: Context, dataset: Dataset, *, predict_run: int | None = None, train_run: int | None = None
) -> Inputs:
    """The runs asked for, else the latest; the train run behind the predict run, so that both speak of one classifier.

    Raises UsageError where a run asked for is not a finished run of its kind on this dataset.
    """
    with session.transaction(context.engine) as db:

        def named(kind: str, number: int) -> Run:
            found = db.get(Run, number)
            if found is None or (found.kind, found.status, found.dataset_id) != (kind, "finished", dataset.id):
                raise UsageError(
                    f"run {number} is no finished {kind} run of dataset '{dataset.name}'; "
                    f"see the Runs page, or leave --{kind}-run out"
                )
            return found

        latest = runs.latest_finished
        predict = named("predict", predict_run) if predict_run else latest(db, "predict", dataset.id)
        if train_run:
            train: Run | None = named("train", train_run)
        else:
            behind = db.get(Run, (predict.summary or {}).get("train_run") or 0) if predict else None
            train = behind if behind and behind.dataset_id == dataset.id else latest(db, "train", dataset.id)
        reports = evaluation.reports(db, dataset.id)
        scores = evaluation.report_scores(db, [report["id"] for report in reports])
        scored = [row for row in scores if row["metric"] not in UNSCORED]
        return Inputs(dataset, predict, train, evaluation.indexes(db, dataset.id), reports, scored)


def evaluate(run: ActiveRun, inputs: Inputs, *, seed: int, replicates: int) -> None:
    """Measure every task that has a run; each task's values are stored together."""
    tasks: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "classification": lambda: classifier_values(run, inputs, seed=seed, replicates=replicates),
        "reports": lambda: report_values(inputs, seed=seed, replicates=replicates),
        "retrieval": lambda: retrieval_values(run, inputs, seed=seed, replicates=replicates),
    }
    counts = {}
    for name in run.track(list(tasks), stage="measuring"):
        rows = list(tasks[name]())
        run.metrics(rows)
        counts[name] = len(rows)
    if not any(counts.values()):
        raise JobError(f"dataset '{inputs.dataset.name}' has no labelled image among the results; nothing to measure")
    run.summary = {"values": counts, "skipped": inputs.missing}


def classifier_values(run: ActiveRun, inputs: Inputs, *, seed: int, replicates: int) -> Iterator[dict[str, Any]]:
    """The predict run's values for each split that it scored, and the train run's out-of-fold values (split oof)."""
    from engine.metrics.evaluation import classification

    for source in (inputs.predict, inputs.train):
        if source is None:
            continue
        thresholds = thresholds_of(source)
        with session.transaction(run.context.engine) as db:
            labelled = [row for row in evaluation.predictions(db, source.id) if row["label"] is not None]
        splits = {"oof": labelled} if source is inputs.train else by_split(labelled)
        for split, rows in splits.items():
            repeated = [row for row in rows for _ in range(row["file_count"])]
            for measured in classification(
                [row["label"] for row in repeated],
                [row["probability"] for row in repeated],
                [row["patient_key"] for row in repeated],
                [row["cause"] or "" for row in repeated],
                thresholds=thresholds,
                seed=seed,
                replicates=replicates,
            ):
                yield metric_row(measured.name, split, measured.slice, measured.interval)


def thresholds_of(source: Run) -> dict[str, float]:
    """The run's own threshold as "all", and as "recall97" the one for a recall of .97, where it has one.

    Raises JobError where the run remembers no threshold.
    """
    known = {"all": "threshold", "recall97": "threshold_recall97"}
    summary = source.summary or {}
    if summary.get("threshold") is None:
        raise JobError(f"{source.kind} run {source.id} remembers no threshold; repeat it: python -m jobs {source.kind}")
    return {name: float(summary[key]) for name, key in known.items() if summary.get(key) is not None}


def by_split(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split; images without one are under "all"."""
    names = sorted({row["split"] or "all" for row in rows})
    return {name: [row for row in rows if (row["split"] or "all") == name] for name in names}


def report_values(inputs: Inputs, *, seed: int, replicates: int) -> Iterator[dict[str, Any]]:
    """The mean of each report score for each model and strategy, under slice "model / strategy"."""
    from engine.metrics.reports import ScoredReport, mean_scores

    reports = {report["id"]: report for report in inputs.reports}
    scores = [
        ScoredReport(report["model"], report["strategy"], row["metric"], report["patient_key"], row["value"])
        for row in inputs.scores
        for report in (reports[row["report_id"]],)
    ]
    for mean in mean_scores(scores, seed=seed, replicates=replicates):
        yield metric_row(mean.metric, "reports", report_slice(mean.model, mean.strategy), mean.interval)


def report_slice(model: str, strategy: str) -> str:
    """The slice that a model's scores under a strategy are stored as; of a long model name the end is kept."""
    limit = Metric.slice.type.length - len(strategy) - 3
    return f"{model[-limit:]} / {strategy}"


def retrieval_values(run: ActiveRun, inputs: Inputs, *, seed: int, replicates: int) -> Iterator[dict[str, Any]]:
    """P@k and chance of each embedder over the labelled test images, under the embedder's name as slice."""
    yield from ()


def metric_row(name: str, split: str, where: str, interval: "Interval") -> dict[str, Any]:
    """A metric's row; unknown values are NULL."""
    value, low, high = (
        known if math.isfinite(known) else None for known in (interval.value, interval.low, interval.high)
    )
    return {"name": name, "split": split, "slice": where, "value": value, "low": low, "high": high, "n": interval.n}


def table(metrics: Sequence[Metric]) -> list[str]:
    """The values as lines of a text table."""
    lines = [f"{'split':<8} {'slice':<34} {'metric':<18} {'value':>8}  {'95 % interval':<18} {'n':>6}"]
    for row in metrics:
        value = (
            "unknown"
            if row.value is None
            else f"{row.value:.0f}"
            if row.name.startswith("confusion")
            else f"{row.value:.4f}"
        )
        span = "" if row.low is None else f"{row.low:.4f} to {row.high:.4f}"
        lines.append(f"{row.split:<8} {row.slice:<34} {row.name:<18} {value:>8}  {span:<18} {row.n:>6}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
