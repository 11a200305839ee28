"""python -m jobs score [--predict-run N]: rescore the reports on a predict run's images without writing new ones.

Use it after correcting labels, after another predict run, after adding a reports.csv to the dataset's folder, or after
an update that changes the scoring.
"""

from collections.abc import Sequence
from pathlib import Path

from db import report_tallies, session, writes
from db.queries import predictions, reports, runs
from engine.commands import job
from engine.digests import json_sha256
from jobs.command import command, open_context, parser, row_number
from jobs.reporting.references import references_of
from jobs.reporting.scoring import Scorer, predict_run
from jobs.reporting.strategies import STRATEGIES_FILE, chosen_strategies
from jobs.results.source_runs import thresholds_of
from jobs.run import ActiveRun, Work

BATCH = 200


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    from engine.reporting.scores import VERSION

    options = parser(__doc__, "score")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--predict-run", type=row_number, metavar="N", help="predict run to use (default: the current run)"
    )
    options.add_argument("--strategies-file", type=Path, metavar="FILE", help=STRATEGIES_FILE)
    args = options.parse_args(argv)
    strategies = {strategy.name: strategy for strategy in chosen_strategies("all", args.strategies_file)}
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    predicted = predict_run(context, dataset, args.predict_run)
    scorer = Scorer(dataset.id, thresholds_of(predicted)["all"], references_of(context, dataset))
    with session.reading(context.engine) as db:
        items = {item.sha256: item for item in predictions.of_run(db, predicted.id)}
        there = [(report.id, report.image_sha256) for report in reports.of_images(db, list(items))]
        scored = runs.last_scoring(db)  # datasets that share an image also share the scores of its reports' texts
    labels = sorted((sha, items[sha].label) for _, sha in there)
    work = Work(
        kind="score",
        config={"dataset": dataset.name, "predict_run": predicted.id, "version": VERSION},
        inputs=json_sha256([predicted.fingerprint, there, labels, scorer.references, repr(strategies)]),
        dataset_id=dataset.id,
    )
    run = ActiveRun.claim(context, work, again=scored is None or scored.fingerprint != work.fingerprint)
    if not run.already_finished:
        stored = 0
        with run, run.progress("scoring reports", len(there)) as advance:
            for batch in writes.batches(there, BATCH):
                with session.transaction(context.engine) as db:
                    report_tallies.hold(db, [sha for _, sha in batch])
                    rows = reports.with_ids(db, [number for number, _ in batch])  # without those forgotten meanwhile
                    scorer.store(db, rows, items, strategies)
                stored += len(rows)
                advance(len(batch))
            run.summary = {"reports": stored, "references": len(scorer.references)}
    print(f"score: run {run.id} scored {run.summary['reports']} reports; next, run: {job('evaluate', dataset.name)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
