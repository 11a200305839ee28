"""python -m jobs report [--model NAME] [--strategies A,B] [--images N]: write and score reports on chosen images."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from db import session, writes
from db.models import Dataset, Prompt, Report, ReportScore, Run
from db.queries import reports, runs
from db.queries.reports import PredictedImage
from jobs.command import Context, JobError, UsageError, command, natural, open_context, parser
from jobs.results import thresholds_of
from jobs.run import ActiveRun

if TYPE_CHECKING:
    from engine.reporting.generators import Case, Generated, ReportGenerator
    from engine.reporting.prompts import PromptStrategy

SPLITS = ("train", "val", "test", "all")
ONLY = ("false-negatives", "false-positives", "failures")
SCORES = ("keyword_alignment", "stance_agreement", "format")
KEY = ("image_sha256", "model", "revision", "prompt_sha256", "settings_sha256")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "report")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument("--model", default="template", metavar="NAME", help="report generator (default: template)")
    options.add_argument("--strategies", default="all", metavar="A,B", help="prompt strategies (default: all)")
    options.add_argument("--images", default="10", metavar="N", help="how many, or all (default: 10)")
    options.add_argument("--split", choices=SPLITS, default="test", help="default: test")
    options.add_argument(
        "--seed", type=natural, default=0, help="of the sample, which is balanced over labels (default: 0)"
    )
    options.add_argument("--only", choices=ONLY, help="images that the classifier gets wrong")
    options.add_argument("--predict-run", type=int, metavar="N", help="default: the latest finished predict run")
    args = options.parse_args(argv)
    strategies = chosen_strategies(args.strategies)
    count = image_count(args.images)
    context = open_context(args)
    generator = load_generator(args.model, context.models)
    dataset = context.dataset(args.dataset)
    predicted = predict_run(context, dataset, args.predict_run)
    images = chosen_images(context, predicted, args.split, args.only, count, args.seed)
    settings = settings_of(generator, predicted)
    run = ActiveRun.claim(
        context,
        kind="report",
        config={
            "dataset": dataset.name,
            "model": generator.name,
            "revision": generator.revision,
            "settings": settings,
            "strategies": {strategy.name: strategy.sha256 for strategy in strategies},
            "images": args.images,
            "split": args.split,
            "only": args.only,
            "predict_run": predicted.id,
        },
        inputs=sha256([predicted.fingerprint, [(item.image.sha256, item.image.label) for item in images]]),
        dataset_id=dataset.id,
        seed=args.seed,
    )
    if run.already_finished:
        show(dataset, run.summary["means"])
        print(f"report: already done as run {run.id}")
        return 0
    with run:
        Work(run, Path(dataset.root), generator, strategies, images, settings, predicted).do()
    show(dataset, run.summary["means"])
    written, total = run.summary["written"], run.summary["reports"]
    print(f"report: run {run.id} wrote {written} of {total} reports ({total - written} were there already)")
    return 0


def sha256(value: object) -> str:
    """Hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def chosen_strategies(names: str) -> "list[PromptStrategy]":
    """The strategies named, in the registry's order. Raises UsageError for an unknown one."""
    from engine.errors import InputError
    from engine.reporting import prompts

    wanted = list(prompts.STRATEGIES) if names == "all" else [name.strip() for name in names.split(",")]
    try:
        found = {prompts.find(name) for name in wanted}
        return [strategy for strategy in prompts.STRATEGIES.values() if strategy in found]
    except InputError as error:
        raise UsageError(str(error)) from error


def image_count(images: str) -> int | None:
    """How many images, None for all. Raises UsageError."""
    if images == "all":
        return None
    if not images.isdecimal() or int(images) < 1:
        raise UsageError(f"--images takes a number from 1 on, or all; got '{images}'")
    return int(images)


def load_generator(name: str, models: Path) -> "ReportGenerator":
    """The generator called `name`. Raises UsageError for an unknown one."""
    from engine.reporting import generators

    if name not in generators.REGISTRY:
        raise UsageError(f"report generator '{name}' is unknown; known: {', '.join(generators.REGISTRY)}")
    return generators.load(name, models=models)


def predict_run(context: Context, dataset: Dataset, number: int | None) -> Run:
    """The finished predict run asked for, of this dataset. Raises JobError with the command that makes one."""
    with session.transaction(context.engine) as db:
        found = runs.latest_finished(db, "predict", dataset.id) if number is None else db.get(Run, number)
    if number is not None and (
        found is None or (found.kind, found.status, found.dataset_id) != ("predict", "finished", dataset.id)
    ):
        raise UsageError(
            f"run {number} is no finished predict run of dataset '{dataset.name}'; leave --predict-run out"
        )
    if found is None:
        raise JobError(
            f"dataset '{dataset.name}' has no finished predict run, which reports rest on; "
            f"make one with: python -m jobs predict --dataset {dataset.name}"
        )
    return found


def chosen_images(
    context: Context, predicted: Run, split: str, only: str | None, count: int | None, seed: int
) -> list[PredictedImage]:
    """The sampled images, balanced over labels. Raises JobError where none qualifies."""
    from engine.reporting.sampling import stratified

    with session.transaction(context.engine) as db:
        candidates = reports.predicted(db, predicted, split=None if split == "all" else split)
    threshold = threshold_of(predicted)

    def wrong(item: PredictedImage) -> str | None:
        called = int(item.probability >= threshold)
        if item.image.label is None or called == item.image.label:
            return None
        return "false-positives" if called else "false-negatives"

    if candidates and only is not None:
        kinds = {"false-negatives", "false-positives"} if only == "failures" else {only}
        candidates = [item for item in candidates if wrong(item) in kinds]
        if not candidates:
            raise JobError(f"predict run {predicted.id} has no {only} in split '{split}'; leave --only out")
    if not candidates:
        raise JobError(f"predict run {predicted.id} covers no images of split '{split}'; choose another with --split")
    return stratified(
        candidates, count, stratum=lambda item: item.image.label, key=lambda item: item.image.sha256, seed=seed
    )


def threshold_of(predicted: Run) -> float:
    """The run's operating threshold. Raises JobError where its summary lacks one."""
    threshold = (predicted.summary or {}).get("threshold")
    if threshold is None:
        raise JobError(f"predict run {predicted.id} stored no threshold; repeat it with: python -m jobs predict")
    return float(threshold)


def settings_of(generator: "ReportGenerator", predicted: Run) -> dict[str, Any]:
    """What a report depends on beside image and prompt; includes the classifier where the generator rests on it."""
    settings = dict(generator.settings)
    if generator.reads_prediction:
        summary = predicted.summary or {}
        names = ("checkpoint_sha256", "temperature", "threshold", "threshold_recall97", "threshold_youden")
        settings["classifier"] = {name: summary.get(name) for name in names}
    return settings


@dataclass(frozen=True)
class Work:
    """What a run is to write: one report for each image and strategy, by one generator with one set of settings."""

    run: ActiveRun
    root: Path
    generator: "ReportGenerator"
    strategies: "Sequence[PromptStrategy]"
    images: Sequence[PredictedImage]
    settings: dict[str, Any]
    predicted: Run

    def key(self, strategy: "PromptStrategy") -> dict[str, str]:
        """What, beside the image, makes a report the same report."""
        return {
            "model": self.generator.name,
            "revision": self.generator.revision,
            "prompt_sha256": strategy.sha256,
            "settings_sha256": sha256(self.settings),
        }

    def do(self) -> None:
        """Write what is missing, one transaction a batch, then summarise all that was asked for."""
        with session.transaction(self.run.context.engine) as db:
            rows = [{"sha256": s.sha256, "strategy": s.name, "text": s.text} for s in self.strategies]
            writes.upsert(db, Prompt, rows, unique=("sha256",), update=False)
        with self.run.progress("writing reports", len(self.strategies) * len(self.images)) as advance:
            for strategy in self.strategies:
                for batch in writes.batches(self.images, self.generator.batch_size):
                    self.batch(strategy, batch)
                    advance(len(batch))
        with session.transaction(self.run.context.engine) as db:
            written = reports.count_of_run(db, self.run.id)
            means = {strategy.name: self.means(db, strategy) for strategy in self.strategies}
        total = len(self.images) * len(self.strategies)
        self.run.summary |= {"predict_run": self.predicted.id, "reports": total, "written": written, "means": means}

    def batch(self, strategy: "PromptStrategy", items: Sequence[PredictedImage]) -> None:
        """Reports with their scores, whole or not at all; a text that is there stays, scored by today's label."""
        from engine.reporting.scoring import score

        engine, key = self.run.context.engine, self.key(strategy)
        with session.transaction(engine) as db:
            there = {report.image_sha256 for report in reports.stored(db, shas(items), **key)}
        absent = [item for item in items if item.image.sha256 not in there]
        made = self.generator.generate([self.case(item) for item in absent], strategy) if absent else []
        rows = [self.row(strategy, item, report) for item, report in zip(absent, made, strict=True)]
        labels = {item.image.sha256: item.image.label for item in items}
        with session.transaction(engine) as db:
            writes.upsert(db, Report, rows, unique=KEY, update=False)
            scored = [
                {"report_id": report.id, "metric": found.metric, "value": found.value, "detail": found.detail}
                for report in reports.stored(db, shas(items), **key)
                for found in score(report.text, labels[report.image_sha256], strategy)
            ]
            writes.upsert(db, ReportScore, scored, unique=("report_id", "metric"))

    def case(self, item: PredictedImage) -> "Case":
        """What the generator is told of one image."""
        from engine.images import read_grey
        from engine.reporting.generators import Case

        return Case(
            probability=item.probability,
            threshold=threshold_of(self.predicted),
            high_recall_threshold=min(thresholds_of(self.predicted).values()),
            zones=item.zones,
            pixels=read_grey(self.root / item.image.path) if self.generator.reads_pixels else None,
        )

    def row(self, strategy: "PromptStrategy", item: PredictedImage, report: "Generated") -> dict[str, Any]:
        """The report as its table holds it."""
        return {
            **self.key(strategy),
            "run_id": self.run.id,
            "image_id": item.image.id,
            "image_sha256": item.image.sha256,
            "strategy": strategy.name,
            "settings": self.settings,
            "text": report.text,
            "seconds": report.seconds,
            "tokens": report.tokens,
        }

    def means(self, db: Session, strategy: "PromptStrategy") -> dict[str, float | None]:
        """Metric -> mean over the images asked for, None where no report has the score."""
        values: dict[str, list[float]] = {name: [] for name in SCORES}
        for batch in writes.batches(self.images):
            for metric, value in reports.stored_scores(db, shas(batch), **self.key(strategy)):
                if metric in values and value is not None:
                    values[metric].append(value)
        return {name: fmean(known) if known else None for name, known in values.items()}


def shas(items: Sequence[PredictedImage]) -> list[str]:
    """The images' hashes."""
    return [item.image.sha256 for item in items]


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
