"""python -m jobs report [--model NAME] [--strategies A,B] [--images N]: write and score reports on chosen images."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.models import Run
from engine.datasets.folders import SPLITS
from engine.digests import json_sha256
from jobs.command import Context, UsageError, command, natural, open_context, parser, positive, row_number
from jobs.reporting.images import ONLY, chosen_images, image_count
from jobs.reporting.labelled_cases import LabelledCases
from jobs.reporting.means import print_means
from jobs.reporting.references import references_of
from jobs.reporting.request import ReportRequest, claim
from jobs.reporting.scoring import Scorer, predict_run
from jobs.reporting.strategies import STRATEGIES_FILE, chosen_strategies, refuse_renamed
from jobs.reporting.writer import ReportWriter
from jobs.results.source_runs import thresholds_of
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from engine.reporting.generators import Options, ReportGenerator


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    strategies = chosen_strategies(args.strategies, args.strategies_file)
    count = image_count(args.images)
    check_generator(args.model)
    context = open_context(args)
    refuse_renamed(context, strategies)
    dataset = context.dataset(args.dataset)
    predicted = predict_run(context, dataset, args.predict_run)
    split, images = chosen_images(context, predicted, split=args.split, only=args.only, count=count, seed=args.seed)
    references = references_of(context, dataset)
    generator = load_generator(args.model, generator_options(args, context))  # may be gigabytes, so it comes last
    labelled = LabelledCases.of(context, dataset, args.embedder, references) if generator.reads_nearest else None
    settings = settings_of(generator, predicted) | (labelled.settings if labelled else {})
    request = ReportRequest(dataset, predicted, images, strategies, generator, settings, labelled)
    options = {"images": args.images, "split": split, "only": args.only}
    run = claim(context, [request], inputs=inputs_of(request), options=options, seed=args.seed)
    if run.already_finished:
        print_means(dataset, run.summary["means"])
        print(f"report: already done as run {run.id}")
        return 0
    with run:
        ReportWriter(run, request, Scorer(dataset.id, thresholds_of(predicted)["all"], references)).write()
    print_means(dataset, run.summary["means"])
    print_outcome(run)
    return 1 if run.summary["failed"] else 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "report")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument("--model", default="template", metavar="NAME", help="report generator (default: template)")
    options.add_argument(
        "--strategies", default="all", metavar="A,B", help="prompt strategies, comma-separated (default: all)"
    )
    options.add_argument("--strategies-file", type=Path, metavar="FILE", help=STRATEGIES_FILE)
    options.add_argument("--images", default="10", metavar="N", help="number of images, or all (default: 10)")
    options.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="split to draw from (default: test, or all splits if no test image was scored)",
    )
    options.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="random seed of the sample, which is balanced over labels (default: 0)",
    )
    options.add_argument("--only", choices=ONLY, help="only images that the classifier gets wrong")
    options.add_argument(
        "--predict-run", type=row_number, metavar="N", help="predict run to use (default: the current run)"
    )
    options.add_argument("--batch-size", type=positive, default=4, metavar="N", help="images per batch (default: 4)")
    options.add_argument(
        "--max-tokens", type=positive, default=512, metavar="N", help="maximum report length in tokens (default: 512)"
    )
    options.add_argument(
        "--quantise", type=int, choices=(4, 8), help="quantise the model's weights to 4 or 8 bits (GPU)"
    )
    options.add_argument(
        "--concurrency", type=positive, default=32, metavar="N", help="parallel requests to an endpoint (default: 32)"
    )
    options.add_argument(
        "--embedder", metavar="NAME", help="embedder whose index 'nearest' uses (default: that of the latest index)"
    )
    options.add_argument(
        "--deadline",
        type=positive,
        default=120,
        metavar="SECONDS",
        help="time limit for one report from an endpoint, including retries (default: 120)",
    )
    return options


def generator_options(args: Namespace, context: Context) -> "Options":
    """The generator's options from the command line."""
    from engine.reporting.generators import Options

    return Options(
        models=context.models,
        batch_size=args.batch_size,
        max_tokens=args.max_tokens,
        seed=args.seed,
        quantise=args.quantise,
        concurrency=args.concurrency,
        deadline=args.deadline,
    )


def inputs_of(request: ReportRequest) -> str:
    """Hash of the images and the predict run that the reports are about."""
    return json_sha256([request.predicted.fingerprint, [(item.sha256, item.label) for item in request.images]])


def check_generator(name: str) -> None:
    """Raise UsageError if the report generator is unknown."""
    from engine.errors import InputError
    from engine.reporting import generators

    try:
        generators.check(name)
    except InputError as error:
        raise UsageError(str(error)) from error


def load_generator(name: str, options: "Options") -> "ReportGenerator":
    """The generator called `name`. Raises InputError saying what it needs, for example weights."""
    from engine.reporting import generators

    return generators.load(name, options)


def settings_of(generator: "ReportGenerator", predicted: Run) -> dict[str, Any]:
    """What a report depends on besides image and prompt; includes the classifier if the generator uses it."""
    settings = dict(generator.settings)
    if generator.reads_prediction:
        summary = predicted.summary or {}
        names = ("checkpoint_sha256", "temperature", "threshold", "threshold_recall97", "threshold_youden")
        settings["classifier"] = {name: summary.get(name) for name in names}
        if predicted.imported:
            parts = ("predictions_sha256", "heatmaps_sha256")
            settings["classifier"] |= {name: predicted.config[name] for name in parts if name in predicted.config}
    return settings


def print_outcome(run: ActiveRun) -> None:
    """Print how many reports the run wrote or found, and why others failed."""
    written, total, failed = (run.summary[name] for name in ("written", "reports", "failed"))
    existing = total - written - failed
    print(f"report: run {run.id} wrote {written} of {total} reports ({existing} already existed)")
    for reason, count in run.summary["reasons"].items():
        print(f"report: {count} failed: {reason}")
    if failed:
        print(f"report: {failed} failed and are stored with their reasons; run the same command again to retry them")


if __name__ == "__main__":
    raise SystemExit(main())
