"""python -m jobs import_reports FILE --model NAME: import and score reports that a model wrote elsewhere.

FILE is a CSV with columns path (as in the dataset's folder), report, and, unless --strategy is given, strategy. The
reports are read, scored and shown like any others. If the model rewrites them, import them under another --revision.
"""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, Run
from db.queries import datasets, predictions, reports
from db.queries.predictions import PredictedImage
from engine.commands import job
from engine.digests import json_sha256
from jobs.command import Context, UsageError, command, named, named_file, open_context, parser, row_number
from jobs.reporting.means import print_means
from jobs.reporting.references import references_of
from jobs.reporting.request import ReportRequest, claim
from jobs.reporting.scoring import Scorer, predict_run
from jobs.reporting.strategies import STRATEGIES_FILE, named_strategies, refuse_renamed
from jobs.reporting.writer import ReportWriter
from jobs.results.source_runs import thresholds_of
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from engine.reporting.generators.imported_reports import ImportedReports

Texts = Mapping[str, Mapping[str, str]]
"""Strategy -> path of an image -> its report."""
REVISION = "imported"


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    from engine.reporting.generators.imported_reports import ImportedReports

    args = argument_parser().parse_args(argv)
    refuse_generator(args.model)
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    texts = texts_of(context, dataset, args.file, args.strategy)
    strategies = named_strategies(texts, args.strategies_file)
    refuse_renamed(context, strategies)
    generator = ImportedReports(args.model, args.revision, texts)
    predicted = predict_run(context, dataset, args.predict_run)
    images = images_of(context, predicted, texts)
    if not any(images.values()):
        raise UsageError(
            f"{args.file} has no report on an image that predict run {predicted.id} scored; choose another run with "
            "--predict-run"
        )
    settings = dict(generator.settings)
    requests = [
        ReportRequest(dataset, predicted, images[strategy.name], [strategy], generator, settings)
        for strategy in strategies
    ]
    refuse_changed(context, generator, requests)
    run = claim(context, requests, inputs=json_sha256([predicted.fingerprint, texts]))
    if not run.already_finished:
        with run:
            store(run, requests, Scorer(dataset.id, thresholds_of(predicted)["all"], references_of(context, dataset)))
    print_means(dataset, run.summary["means"])
    done = "already done as run" if run.already_finished else "run"
    counted = f"{run.summary['reports']:,} reports by {generator.name}"
    print(f"import_reports: {done} {run.id}, {counted}; next, run: {job('evaluate', dataset.name)}")
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "import_reports")
    options.add_argument(
        "file", type=named_file, metavar="FILE", help="CSV with columns path, report and optionally strategy"
    )
    options.add_argument("--model", type=named, required=True, metavar="NAME", help="model that wrote the reports")
    options.add_argument(
        "--revision", type=named, default=REVISION, metavar="NAME", help=f"revision of the model (default: {REVISION})"
    )
    options.add_argument(
        "--strategy", metavar="NAME", help="prompt strategy of all reports (default: column strategy of the CSV)"
    )
    options.add_argument("--strategies-file", type=Path, metavar="FILE", help=STRATEGIES_FILE)
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--predict-run", type=row_number, metavar="N", help="predict run to use (default: the current run)"
    )
    return options


def refuse_generator(model: str) -> None:
    """Raise UsageError if the model has the name of a built-in report generator."""
    from engine.reporting.generators import REGISTRY

    if model.partition(":")[0] in {form.partition(":")[0] for form in REGISTRY}:
        raise UsageError(f"'{model}' is the name of a built-in report generator; choose another name with --model")


def texts_of(context: Context, dataset: Dataset, file: Path, strategy: str | None) -> Texts:
    """The file's reports on images of the dataset; warns about the others. Raises UsageError if there are none,
    InputError if the file is unusable."""
    from engine.datasets.path_sheets import astray, examples
    from engine.reporting.generators import imported_reports

    with session.reading(context.engine) as db:
        paths, copies = datasets.paths(db, dataset.id), datasets.copies(db, dataset.id)
    sheets, empty = imported_reports.read(file, paths, copies, strategy=strategy)
    if empty:
        print(f"import_reports: skipped {empty:,} {'row' if empty == 1 else 'rows'} without a report")
    strays = sorted({path for sheet in sheets.values() for path in sheet.strays})
    for line in astray(strays, [*paths, *copies], what=f"paths in {file}"):
        print(f"warning: {line}")
    found = {name: dict(sheet.values) for name, sheet in sheets.items() if sheet.values}
    if not found:
        raise UsageError(
            f"{file} has no report on an image of dataset '{dataset.name}', whose paths look like "
            f"{examples(paths[:1])}; correct the paths, or choose another dataset with --dataset"
        )
    return found


def images_of(context: Context, predicted: Run, texts: Texts) -> Mapping[str, list[PredictedImage]]:
    """Strategy -> the images of its reports that the predict run scored; prints how many others are skipped."""
    with session.reading(context.engine) as db:
        scored = {image.path: image for image in predictions.of_run(db, predicted.id)}
    without = {path for found in texts.values() for path in found} - scored.keys()
    if without:
        print(f"import_reports: skipped reports on {len(without):,} images that run {predicted.id} did not score")
    return {name: [scored[path] for path in found if path in scored] for name, found in texts.items()}


def refuse_changed(context: Context, generator: "ImportedReports", requests: Sequence[ReportRequest]) -> None:
    """Raise UsageError if a different text is already stored for the same model and revision."""
    with session.reading(context.engine) as db:
        for request in requests:
            (strategy,) = request.strategies
            paths = {image.sha256: image.path for image in request.images}
            there = reports.stored(db, request.shas, **request.key(strategy))
            written = {paths[one.image_sha256]: one.text for one in there}
            other = [path for path, text in written.items() if text != generator.text(strategy.name, path)]
            if other:
                raise UsageError(
                    f"{len(other):,} reports of {generator.name} under '{strategy.name}' are already stored with a "
                    f"different text, for example the one on {min(other)}; choose another --revision"
                )


def store(run: ActiveRun, requests: Sequence[ReportRequest], scorer: Scorer) -> None:
    """Store the reports of each strategy with their scores, and a summary of all."""
    means: dict[str, dict[str, float | None]] = {}
    count = 0
    for request in requests:
        ReportWriter(run, request, scorer).write()
        means |= run.summary["means"]
        count += run.summary["reports"]
    run.summary |= {"means": means, "reports": count}


if __name__ == "__main__":
    raise SystemExit(main())
