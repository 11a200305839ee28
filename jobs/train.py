"""python -m jobs train [--recipe NAME]: train the pneumonia classifier, with folds that keep patients apart.

The official train and val images are dealt into folds by patient; the test split is never read. What each fold trains
is scored on the patients it did not see; temperature and thresholds are chosen on those out-of-fold predictions alone.
A killed run goes on with the view or epoch it was at. Several GPUs share the members of a recipe:
accelerate launch -m jobs train. The recipe `ensemble` trains two others, each as a run of its own, and averages them.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from db.models import Dataset
from engine.classification import versions
from jobs.command import Context, UsageError, command, natural, open_context, parser, positive
from jobs.processes import Processes
from jobs.run import ActiveRun
from jobs.trainings import ensemble, statistics, tails
from jobs.trainings.common import TrainingSet

if TYPE_CHECKING:
    from engine.classification.recipes import AnyRecipe


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    args = argument_parser().parse_args(argv)
    recipe = chosen_recipe(args)
    processes = Processes.launched()
    refuse_launcher(recipe, processes)
    if not processes.is_leader:
        return help_along(args, recipe, processes)
    run = None
    try:
        context = open_context(args)
        dataset = context.dataset(args.dataset)
        training_set = TrainingSet.of(context, dataset)
        parts = trained_parts(context, dataset, training_set, recipe, args.seed, processes)
        run = claimed(context, dataset, training_set, recipe, args.seed, parts)
    finally:  # the others wait for this word
        processes.broadcast(None if run is None or run.already_finished else run.id)
    carry_out(run, training_set, recipe, args.seed, processes, parts)
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "train")
    options.add_argument("--dataset", metavar="NAME", help="default: the latest")
    options.add_argument(
        "--recipe",
        default="lite0",
        metavar="NAME",
        help="lite0 (default), restyled, ensemble, best, seed, statistics or quick",
    )
    options.add_argument("--epochs", type=positive, help="override the recipe's")
    options.add_argument("--batch-size", type=positive, help="override the recipe's")
    options.add_argument("--views", type=positive, help="cached views of each image; override the recipe's")
    options.add_argument("--folds", type=positive, help="override the recipe's")
    options.add_argument("--repeats", type=positive, help="how often folds are dealt anew; override the recipe's")
    options.add_argument("--seed", type=natural, default=0, help="of all that is drawn (default: 0)")
    return options


def chosen_recipe(args: Namespace) -> "AnyRecipe":
    """The recipe as the command line overrides it. Raises UsageError where it is unknown or cannot be so."""
    from engine.classification.recipes import RECIPES, EnsembleRecipe

    if args.recipe not in RECIPES:
        raise UsageError(f"recipe '{args.recipe}' is unknown; known: {', '.join(RECIPES)}")
    recipe = RECIPES[args.recipe]
    overridden = {name: getattr(args, name) for name in ("epochs", "batch_size", "views", "folds", "repeats")}
    overridden = {name: value for name, value in overridden.items() if value is not None}
    for name in overridden.keys() - {field.name for field in fields(recipe)}:
        raise UsageError(f"recipe '{recipe.name}' has no --{name.replace('_', '-')}; leave it out")
    recipe = replace(recipe, **overridden)
    if not isinstance(recipe, EnsembleRecipe):
        if recipe.views == 1:
            raise UsageError(f"--views {recipe.views} leaves no mirror image; recipe '{recipe.name}' needs at least 2")
        if recipe.folds < 2:
            raise UsageError(f"--folds {recipe.folds} leaves nothing to hold out; ask for at least 2")
    return recipe


def refuse_launcher(recipe: "AnyRecipe", processes: Processes) -> None:
    """Raises UsageError where several processes were launched for a recipe that has no members to share."""
    from engine.classification.recipes import EnsembleRecipe, StatisticsRecipe

    if processes.count > 1 and isinstance(recipe, StatisticsRecipe):
        raise UsageError(f"recipe '{recipe.name}' fits in seconds; start it without a launcher")
    if processes.count > 1 and isinstance(recipe, EnsembleRecipe):
        raise UsageError(
            f"recipe '{recipe.name}' averages others; train {' and '.join(recipe.parts)} with the launcher, then start "
            "it without"
        )


def trained_parts(
    context: Context,
    dataset: Dataset,
    training_set: TrainingSet,
    recipe: "AnyRecipe",
    seed: int,
    processes: Processes,
) -> dict[str, int]:
    """The train run of each recipe that an ensemble averages, trained where it is not yet; {} for other recipes."""
    from engine.classification.recipes import RECIPES, EnsembleRecipe

    trained: dict[str, int] = {}
    if isinstance(recipe, EnsembleRecipe):
        for part in (RECIPES[name] for name in recipe.parts):
            own = as_part(context, dataset, part.name, seed)
            run = claimed(own, dataset, training_set, part, seed)
            carry_out(run, training_set, part, seed, processes)
            trained[part.name] = run.id
    return trained


def as_part(context: Context, dataset: Dataset, recipe: str, seed: int) -> Context:
    """The context of a job that was asked for this recipe alone, so that its run tells how to repeat it."""
    words = ("python", "-m", "jobs", "train", "--dataset", dataset.name, "--recipe", recipe, "--seed", str(seed))
    return replace(context, command=words if context.command else (), left_open=frozenset())


def claimed(
    context: Context,
    dataset: Dataset,
    training_set: TrainingSet,
    recipe: "AnyRecipe",
    seed: int,
    parts: Mapping[str, int] = MappingProxyType({}),
) -> ActiveRun:
    """The run of this training. parts: the runs that an ensemble averages, by recipe."""
    return ActiveRun.claim(
        context,
        kind="train",
        config={"dataset": dataset.name, "recipe": asdict(recipe), **({"parts": dict(parts)} if parts else {})},
        inputs=f"{training_set.fingerprint} {versions.VIEWS} {versions.TRUNK} {versions.TRAINING}",
        dataset_id=dataset.id,
        seed=seed,
        predicts=len(training_set.images),
    )


def carry_out(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: "AnyRecipe",
    seed: int,
    processes: Processes,
    parts: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Train what the run is for, unless it is done."""
    from engine.classification.recipes import EnsembleRecipe, StatisticsRecipe

    if run.already_finished:
        print(f"train: already done as run {run.id}")
        return
    with run:
        if isinstance(recipe, EnsembleRecipe):
            ensemble.train(run, training_set, recipe, parts, seed=seed)
        elif isinstance(recipe, StatisticsRecipe):
            statistics.train(run, training_set, recipe, seed=seed)
        else:
            tails.train(run, training_set, recipe, seed=seed, processes=processes)
    print(
        f"train: run {run.id} finished in {run.seconds:.0f} s; out-of-fold AUC {run.summary['oof_auc']:.4f}, "
        f"threshold {run.summary['threshold']:.3f}, temperature {run.summary['temperature']:.2f}"
    )


def help_along(args: Namespace, recipe: "AnyRecipe", processes: Processes) -> int:
    """What a process does that does not lead: its share of views and members of the run that the leader claimed."""
    from engine.classification.recipes import Recipe

    assert isinstance(recipe, Recipe)
    number = processes.broadcast(None)
    if number is None:
        return 0
    context = open_context(args)
    with ActiveRun.helping(context, number) as run:
        tails.train(
            run,
            TrainingSet.of(context, context.dataset(args.dataset)),
            recipe,
            seed=args.seed,
            processes=processes,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
