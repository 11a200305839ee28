"""python -m jobs report [--model NAME] [--strategies A,B] [--images N]: write and score reports on chosen images."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import session
from db.models import Dataset, Prompt, Run
from db.queries import evaluation, predictions, reports, runs
from db.queries.predictions import PredictedImage
from engine.commands import job
from jobs.command import Context, JobError, UsageError, command, natural, open_context, parser, positive, row_number
from jobs.reporting.labelled_cases import LabelledCases
from jobs.reporting.references import references_of
from jobs.reporting.scoring import Scorer
from jobs.reporting.work import SCORES, Work, key_of, shas
from jobs.results import thresholds_of
from jobs.run import ActiveRun, sha256_of

if TYPE_CHECKING:
    from engine.reporting.generators import Options, ReportGenerator
    from engine.reporting.prompts import PromptStrategy

SPLITS = ("train", "val", "test", "all")
STRATEGIES_FILE = "TOML with strategies of your own: a table [strategies.NAME] with text = '...' for each"
ONLY = ("false-negatives", "false-positives", "failures")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "report")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument("--model", default="template", metavar="NAME", help="report generator (default: template)")
    options.add_argument("--strategies", default="all", metavar="A,B", help="prompt strategies (default: all)")
    options.add_argument("--strategies-file", type=Path, metavar="FILE", help=STRATEGIES_FILE)
    options.add_argument("--images", default="10", metavar="N", help="how many, or all (default: 10)")
    options.add_argument("--split", choices=SPLITS, help="default: test, or all where no image of test was scored")
    options.add_argument(
        "--seed", type=natural, default=0, help="of the sample, which is balanced over labels (default: 0)"
    )
    options.add_argument("--only", choices=ONLY, help="images that the classifier gets wrong")
    options.add_argument("--predict-run", type=row_number, metavar="N", help="default: the one in force")
    options.add_argument("--batch-size", type=positive, default=4, help="images a model sees at a time (default: 4)")
    options.add_argument("--max-tokens", type=positive, default=512, help="longest report, in tokens (default: 512)")
    options.add_argument("--quantise", type=int, choices=(4, 8), help="bits of a model's weights, on a GPU")
    options.add_argument(
        "--concurrency", type=positive, default=32, help="requests to an endpoint at a time (default: 32)"
    )
    options.add_argument(
        "--embedder", metavar="NAME", help="index that 'nearest' looks in (default: the latest in force)"
    )
    options.add_argument("--deadline", type=positive, default=120, help="seconds for one report, tries included")
    args = options.parse_args(argv)
    strategies = chosen_strategies(args.strategies, args.strategies_file)
    count = image_count(args.images)
    check_generator(args.model)
    context = open_context(args)
    refuse_renamed(context, strategies)
    dataset = context.dataset(args.dataset)
    predicted = predict_run(context, dataset, args.predict_run)
    split, images = chosen_images(context, predicted, args.split, args.only, count, args.seed)
    references = references_of(context, dataset)
    generator = load_generator(args.model, generator_options(args, context))  # gigabytes, so once all else is there
    labelled = LabelledCases.of(context, dataset, args.embedder, references) if generator.reads_nearest else None
    settings = settings_of(generator, predicted) | (labelled.settings if labelled else {})
    scorer = Scorer(thresholds_of(predicted)["all"], references)
    claim = partial(
        ActiveRun.claim,
        context,
        kind="report",
        config={
            "dataset": dataset.name,
            "model": generator.name,
            "revision": generator.revision,
            "settings": settings,
            "strategies": {strategy.name: strategy.sha256 for strategy in strategies},
            "images": args.images,
            "split": split,
            "only": args.only,
            "predict_run": predicted.id,
        },
        inputs=inputs_of(predicted, images),
        dataset_id=dataset.id,
        seed=args.seed,
    )
    run = claim()
    if run.already_finished and not whole(context, dataset, generator, strategies, images, settings):
        run = claim(again=True)
    if run.already_finished:
        show(dataset, run.summary["means"])
        print(f"report: already done as run {run.id}")
        return 0
    with run:
        Work(run, Path(dataset.root), generator, strategies, images, settings, predicted, scorer, labelled).do()
    show(dataset, run.summary["means"])
    written, total, failed = (run.summary[name] for name in ("written", "reports", "failed"))
    there = total - written - failed
    print(f"report: run {run.id} wrote {written} of {total} reports ({there} were there already)")
    for reason, count in run.summary["reasons"].items():
        print(f"report: {count} failed: {reason}")
    if failed:
        print(f"report: {failed} failed and are kept with their reasons; the same command tries them again")
    return 1 if failed else 0


def whole(
    context: Context,
    dataset: Dataset,
    generator: "ReportGenerator",
    strategies: "Sequence[PromptStrategy]",
    images: Sequence[PredictedImage],
    settings: dict[str, Any],
) -> bool:
    """Whether every report that was asked for is stored, with this dataset's scores; some may have gone with images
    that were forgotten since."""
    with session.reading(context.engine) as db:
        if evaluation.scored_for(db, dataset.id) is not None:
            return False
        keys = (key_of(generator, strategy, settings) for strategy in strategies)
        return all(len(reports.stored(db, shas(images), **key)) == len(images) for key in keys)


def generator_options(args: Namespace, context: Context) -> "Options":
    """How the generator is to work, as the command line says."""
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


def inputs_of(predicted: Run, images: Sequence[PredictedImage]) -> str:
    """Hash of what the reports are written about."""
    return sha256_of([predicted.fingerprint, [(item.sha256, item.label) for item in images]])


def chosen_strategies(names: str, file: Path | None = None) -> "list[PromptStrategy]":
    """The strategies named, ours and the file's, ours first. Raises UsageError for an unknown one or a faulty file."""
    from engine.errors import InputError
    from engine.reporting import prompts

    try:
        known = prompts.STRATEGIES | (prompts.read_toml(file) if file else {})
        wanted = list(known) if names == "all" else [name.strip() for name in names.split(",")]
        found = {prompts.find(name, known).name for name in wanted}
    except InputError as error:
        raise UsageError(str(error)) from error
    return [strategy for name, strategy in known.items() if name in found]


def refuse_renamed(context: Context, strategies: "Sequence[PromptStrategy]") -> None:
    """Raises UsageError for a strategy whose text is stored under another name: its reports would be that one's."""
    with session.reading(context.engine) as db:
        for strategy in strategies:
            prompt = db.get(Prompt, strategy.sha256)
            if prompt is not None and prompt.strategy != strategy.name:
                raise UsageError(
                    f"strategy '{strategy.name}' has the text of '{prompt.strategy}', which was asked before; "
                    "give it that name, or another text"
                )


def image_count(images: str) -> int | None:
    """How many images, None for all. Raises UsageError."""
    if images == "all":
        return None
    if not images.isdecimal() or int(images) < 1:
        raise UsageError(f"--images takes a number from 1 on, or all; got '{images}'")
    return int(images)


def check_generator(name: str) -> None:
    """Raises UsageError for an unknown report generator."""
    from engine.errors import InputError
    from engine.reporting import generators

    try:
        generators.check(name)
    except InputError as error:
        raise UsageError(str(error)) from error


def load_generator(name: str, options: "Options") -> "ReportGenerator":
    """The generator called `name`. Raises InputError that says what it lacks."""
    from engine.reporting import generators

    return generators.load(name, options)


def predict_run(context: Context, dataset: Dataset, number: int | None) -> Run:
    """The finished predict run asked for, of this dataset. Raises JobError with the command that makes one."""
    with session.reading(context.engine) as db:
        found = runs.in_force(db, "predict", dataset.id) if number is None else db.get(Run, number)
    if number is not None and (
        found is None or (found.kind, found.status, found.dataset_id) != ("predict", "finished", dataset.id)
    ):
        raise UsageError(
            f"run {number} is no finished predict run of dataset '{dataset.name}'; leave --predict-run out"
        )
    if found is None:
        raise JobError(
            f"dataset '{dataset.name}' has no finished predict run, which reports rest on; "
            f"make one with: {job('predict', dataset.name)}, or take in what a classifier of your own said: "
            f"{job('import_predictions', dataset.name)}"
        )
    return found


def chosen_images(
    context: Context, predicted: Run, asked: str | None, only: str | None, count: int | None, seed: int
) -> tuple[str, list[PredictedImage]]:
    """The split and its sampled images, balanced over labels. Raises JobError where none qualifies."""
    from engine.reporting.sampling import stratified

    with session.reading(context.engine) as db:
        scored = predictions.of_run(db, predicted.id)
    split = asked or ("test" if any(item.split == "test" for item in scored) else "all")
    candidates = [item for item in scored if split in ("all", item.split)]
    threshold = thresholds_of(predicted)["all"]

    def wrong(item: PredictedImage) -> str | None:
        if not item.failed(threshold):
            return None
        return "false-positives" if item.called(threshold) else "false-negatives"

    if candidates and only is not None:
        kinds = {"false-negatives", "false-positives"} if only == "failures" else {only}
        candidates = [item for item in candidates if wrong(item) in kinds]
        if not candidates:
            raise JobError(f"predict run {predicted.id} has no {only} in split '{split}'; leave --only out")
    if not candidates:
        raise JobError(f"predict run {predicted.id} covers no images of split '{split}'; choose another with --split")
    return split, stratified(
        candidates, count, stratum=lambda item: item.label, key=lambda item: item.sha256, seed=seed
    )


def settings_of(generator: "ReportGenerator", predicted: Run) -> dict[str, Any]:
    """What a report depends on beside image and prompt; includes the classifier where the generator rests on it."""
    settings = dict(generator.settings)
    if generator.reads_prediction:
        summary = predicted.summary or {}
        names = ("checkpoint_sha256", "temperature", "threshold", "threshold_recall97", "threshold_youden")
        settings["classifier"] = {name: summary.get(name) for name in names}
        if predicted.imported:
            parts = ("predictions_sha256", "heatmaps_sha256")
            settings["classifier"] |= {name: predicted.config[name] for name in parts if name in predicted.config}
    return settings


def show(dataset: Dataset, table: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print the means by strategy."""
    if dataset.synthetic:
        print("SYNTHETIC images: these scores show that the wiring works, nothing else")
    print(f"{'strategy':<22}" + "".join(f"{name:>20}" for name in SCORES))
    for strategy, values in table.items():
        cells = ("-" if values[name] is None else f"{values[name]:.3f}" for name in SCORES)
        print(f"{strategy:<22}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    raise SystemExit(main())
