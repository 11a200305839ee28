"""python -m jobs import_reports FILE --model NAME: take in and score the reports that a model wrote elsewhere.

FILE is a CSV with columns path, as in the data set's folder, and report; and strategy, where --strategy names none.
They are read, scored and shown like any others. What the model wrote anew goes under another --revision.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from db import session
from db.models import Dataset, Run
from db.queries import datasets, predictions, reports
from db.queries.predictions import PredictedImage
from engine.commands import job
from jobs import report
from jobs.command import Context, UsageError, command, named, named_file, open_context, parser, row_number
from jobs.report import STRATEGIES_FILE, chosen_strategies, predict_run, refuse_renamed, show
from jobs.reporting.references import references_of
from jobs.reporting.scoring import Scorer
from jobs.reporting.work import Work, key_of, shas
from jobs.results import thresholds_of
from jobs.run import ActiveRun, sha256_of

if TYPE_CHECKING:
    from engine.reporting.generators.foreign import Foreign
    from engine.reporting.prompts import PromptStrategy

    Chosen = Mapping["PromptStrategy", list[PredictedImage]]
    """The images that have a report under each strategy."""

REVISION = "imported"


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    from engine.reporting.generators import REGISTRY
    from engine.reporting.generators.foreign import Foreign

    options = parser(__doc__, "import_reports")
    options.add_argument(
        "file", type=named_file, metavar="FILE", help="CSV with columns path, report, perhaps strategy"
    )
    options.add_argument("--model", type=named, required=True, metavar="NAME", help="what wrote them")
    options.add_argument(
        "--revision", type=named, default=REVISION, metavar="NAME", help=f"of it (default: {REVISION})"
    )
    options.add_argument("--strategy", metavar="NAME", help="prompt strategy of them all (default: column strategy)")
    options.add_argument("--strategies-file", type=Path, metavar="FILE", help=STRATEGIES_FILE)
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument("--predict-run", type=row_number, metavar="N", help="default: the one in force")
    args = options.parse_args(argv)
    if args.model.partition(":")[0] in {form.partition(":")[0] for form in REGISTRY}:
        raise UsageError(f"'{args.model}' is what a report generator here is called; call your model otherwise")
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    texts = texts_of(context, dataset, args.file, args.strategy)
    strategies = chosen_strategies(",".join(texts), args.strategies_file)
    refuse_renamed(context, strategies)
    generator = Foreign(args.model, args.revision, texts)
    predicted = predict_run(context, dataset, args.predict_run)
    chosen = chosen_images(context, predicted, texts, strategies)
    if not any(chosen.values()):
        raise UsageError(f"{args.file} holds no report on an image that predict run {predicted.id} scored")
    refuse_changed(context, generator, chosen)
    claim = partial(
        ActiveRun.claim,
        context,
        kind="report",
        config={
            "dataset": dataset.name,
            "model": generator.name,
            "revision": generator.revision,
            "settings": dict(generator.settings),
            "strategies": {strategy.name: strategy.sha256 for strategy in strategies},
            "predict_run": predicted.id,
        },
        inputs=sha256_of([predicted.fingerprint, {name: dict(found) for name, found in texts.items()}]),
        dataset_id=dataset.id,
    )
    run = claim()
    if run.already_finished and not whole(context, dataset, generator, chosen):
        run = claim(again=True)
    if not run.already_finished:
        references = references_of(context, dataset)
        with run:
            scorer = Scorer(thresholds_of(predicted)["all"], references)
            store(run, Path(dataset.root), generator, chosen, scorer, predicted)
    show(dataset, run.summary["means"])
    done = "already done as run" if run.already_finished else "run"
    counted = f"{run.summary['reports']:,} reports by {generator.name}"
    print(f"import_reports: {done} {run.id}, {counted}; now: {job('evaluate', dataset.name)}")
    return 0


def texts_of(context: Context, dataset: Dataset, file: Path, strategy: str | None) -> Mapping[str, Mapping[str, str]]:
    """The file's reports by strategy and path of the dataset's image; a line tells of reports on none."""
    from engine.path_sheets import examples
    from engine.reporting.generators import foreign

    with session.reading(context.engine) as db:
        paths, copies = datasets.paths(db, dataset.id), datasets.copies(db, dataset.id)
    sheets = foreign.read(file, paths, copies, strategy=strategy)
    strays = sorted({path for sheet in sheets.values() for path in sheet.strays})
    if strays:
        print(f"warning: reports in {file} are on {len(strays):,} paths of no image: {examples(strays)}")
    found = {name: sheet.values for name, sheet in sheets.items() if sheet.values}
    if not found:
        raise UsageError(
            f"{file} holds no report on an image of dataset '{dataset.name}', whose paths read {examples(paths[:1])}"
        )
    return found


def chosen_images(
    context: Context, predicted: Run, texts: Mapping[str, Mapping[str, str]], strategies: "Sequence[PromptStrategy]"
) -> "Chosen":
    """The images of each strategy's reports that the predict run scored; a line tells of the others."""
    with session.reading(context.engine) as db:
        scored = {image.path: image for image in predictions.of_run(db, predicted.id)}
    without = {path for found in texts.values() for path in found} - scored.keys()
    if without:
        print(f"import_reports: reports on {len(without):,} images that run {predicted.id} did not score are left out")
    return {one: [scored[path] for path in texts[one.name] if path in scored] for one in strategies}


def refuse_changed(context: Context, generator: "Foreign", chosen: "Chosen") -> None:
    """Raises UsageError where another text is stored as that model's of the same revision: one would be lost."""
    with session.reading(context.engine) as db:
        for strategy, images in chosen.items():
            paths = {image.sha256: image.path for image in images}
            there = reports.stored(db, shas(images), **key_of(generator, strategy, dict(generator.settings)))
            written = {paths[one.image_sha256]: one.text for one in there}
            other = [path for path, text in written.items() if text != generator.text(strategy.name, path)]
            if other:
                raise UsageError(
                    f"{len(other):,} reports of {generator.name} under '{strategy.name}' are stored with another text, "
                    f"as that on {min(other)}; name another --revision"
                )


def whole(context: Context, dataset: Dataset, generator: "Foreign", chosen: "Chosen") -> bool:
    """Whether every report is stored, with this dataset's scores; see report.whole."""
    settings = dict(generator.settings)
    return all(report.whole(context, dataset, generator, [one], images, settings) for one, images in chosen.items())


def store(run: ActiveRun, root: Path, generator: "Foreign", chosen: "Chosen", scorer: Scorer, predicted: Run) -> None:
    """The reports of each strategy with their scores, and the summary of all."""
    means: dict[str, dict[str, float | None]] = {}
    count = 0
    for strategy, images in chosen.items():
        Work(run, root, generator, [strategy], images, dict(generator.settings), predicted, scorer).do()
        means |= run.summary["means"]
        count += run.summary["reports"]
    run.summary |= {"means": means, "reports": count}


if __name__ == "__main__":
    raise SystemExit(main())
