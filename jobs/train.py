"""python -m jobs train [--recipe NAME]: train the pneumonia classifier with patient-grouped folds.

All labelled images outside the test split are split into folds by patient; the test split is never read. Each fold's
model is scored on its held-out patients; temperature and thresholds are chosen on these out-of-fold predictions alone.
An interrupted run resumes at the last view or epoch. To train the members of a recipe on several GPUs:
accelerate launch -m jobs train.
The recipe `ensemble` trains two other recipes, each as a run of its own, and averages them.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from types import MappingProxyType

from db.models import Dataset
from engine.classification import versions
from engine.classification.recipes import RECIPES, AnyRecipe, EnsembleRecipe, Recipe, StatisticsRecipe
from jobs.command import Context, UsageError, command, natural, open_context, parser, positive
from jobs.processes import Processes
from jobs.run import ActiveRun, Work
from jobs.trainings import ensemble, statistics, tails
from jobs.trainings.common import TrainingSet

OVERRIDES = {
    "epochs": "number of epochs",
    "batch_size": "batch size",
    "views": "number of cached views of each image",
    "folds": "number of folds",
    "repeats": "number of times that patients are assigned to folds",
}
"""The settings of a recipe that options override."""


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
    finally:  # the other processes wait for this
        processes.broadcast(None if run is None or run.already_finished else run.id)
    carry_out(run, training_set, recipe, args.seed, processes, parts)
    return 0


def argument_parser() -> ArgumentParser:
    """The command line of this job."""
    options = parser(__doc__, "train")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--recipe", default="lite0", metavar="NAME", help=f"training recipe: {', '.join(RECIPES)} (default: lite0)"
    )
    for name, meaning in OVERRIDES.items():
        option = f"--{name.replace('_', '-')}"
        options.add_argument(option, type=positive, metavar="N", help=f"{meaning} (default: the recipe's)")
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    return options


def chosen_recipe(args: Namespace) -> AnyRecipe:
    """The recipe with the command line's overrides. Raises UsageError if it is unknown or cannot be overridden so."""
    if args.recipe not in RECIPES:
        raise UsageError(f"recipe '{args.recipe}' is unknown; known: {', '.join(RECIPES)}")
    recipe = RECIPES[args.recipe]
    overridden = {name: getattr(args, name) for name in OVERRIDES}
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


def refuse_launcher(recipe: AnyRecipe, processes: Processes) -> None:
    """Raise UsageError if several processes were launched for a recipe that has no members to share."""
    if processes.count > 1 and isinstance(recipe, StatisticsRecipe):
        raise UsageError(f"recipe '{recipe.name}' trains in one process; start it without a launcher")
    if processes.count > 1 and isinstance(recipe, EnsembleRecipe):
        raise UsageError(
            f"recipe '{recipe.name}' averages other recipes; train {' and '.join(recipe.parts)} with the launcher, "
            "then start it without one"
        )


def trained_parts(
    context: Context,
    dataset: Dataset,
    training_set: TrainingSet,
    recipe: AnyRecipe,
    seed: int,
    processes: Processes,
) -> dict[str, int]:
    """Recipe -> train run for each recipe that an ensemble averages, training it if necessary; {} for other recipes."""
    trained: dict[str, int] = {}
    if isinstance(recipe, EnsembleRecipe):
        for part in (RECIPES[name] for name in recipe.parts):
            own = as_part(context, dataset, part.name, seed)
            run = claimed(own, dataset, training_set, part, seed)
            carry_out(run, training_set, part, seed, processes)
            trained[part.name] = run.id
    return trained


def as_part(context: Context, dataset: Dataset, recipe: str, seed: int) -> Context:
    """The context of a job for this recipe alone, so that its run stores the command that repeats it."""
    words = ("python", "-m", "jobs", "train", "--dataset", dataset.name, "--recipe", recipe, "--seed", str(seed))
    return replace(context, command=words if context.command else (), left_open=frozenset())


def claimed(
    context: Context,
    dataset: Dataset,
    training_set: TrainingSet,
    recipe: AnyRecipe,
    seed: int,
    parts: Mapping[str, int] = MappingProxyType({}),
) -> ActiveRun:
    """The run for this training. parts: recipe -> train run that an ensemble averages."""
    work = Work(
        kind="train",
        config={"dataset": dataset.name, "recipe": asdict(recipe), **({"parts": dict(parts)} if parts else {})},
        inputs=f"{training_set.fingerprint} {versions.VIEWS} {versions.TRUNK} {versions.TRAINING}",
        dataset_id=dataset.id,
        seed=seed,
        predicts=len(training_set.images),
    )
    return ActiveRun.claim(context, work)


def carry_out(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: AnyRecipe,
    seed: int,
    processes: Processes,
    parts: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Train the run's classifier, unless it is already done."""
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


def help_along(args: Namespace, recipe: AnyRecipe, processes: Processes) -> int:
    """Do a non-leading process's share of the views and members of the run that the leader claimed."""
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
