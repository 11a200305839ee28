"""python -m jobs validate [--recipe NAME]: check a recipe on images unlike its training images, without the test split.

Random folds do not predict performance on a test split that was acquired differently. These checks hold out selected
training patients: conflict: the fifth of each class that looks most like the other class in exposure, contrast,
sharpness and borders; clusters: groups of images that are similar in the same measures, one group at a time; stress:
the conflict images blurred, rotated, squeezed and so on (randomly held-out images would be classified correctly under
every stress, which shows nothing). Each check trains one member of each backbone. The test split is never read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.classification import versions
from engine.classification.recipes import RECIPES, Recipe
from jobs.command import JobError, UsageError, command, natural, open_context, parser, positive
from jobs.processes import Processes
from jobs.run import ActiveRun, Advance, Work
from jobs.trainings.common import TrainingSet, looks_of
from jobs.trainings.members import Setup, stored_member, train_member
from jobs.trainings.tails import views_of

if TYPE_CHECKING:
    from engine.classification.networks.backbones import Backbone
    from engine.classification.training.fold import Epoch

VERSION = 2
"""Increased when a check measures something else."""
CONFLICT = "conflict"
CHECKS = (CONFLICT, "clusters", "stress")
CLUSTERS = 6
FEWEST = 10
"""Images of each class that a cluster needs for a meaningful AUC."""


@dataclass(frozen=True)
class Check:
    """The images held out from training, and those of them that are scored: bool (n,) each."""

    name: str
    judged: np.ndarray
    held_out: np.ndarray


@command
def main(argv: Sequence[str] | None = None) -> int:
    """See the module's first line."""
    options = parser(__doc__, "validate")
    options.add_argument("--dataset", metavar="NAME", help="dataset to use (default: the latest)")
    options.add_argument(
        "--recipe",
        default="lite0",
        metavar="NAME",
        help="recipe to check; it must have members to train (default: lite0)",
    )
    options.add_argument(
        "--checks", nargs="+", choices=CHECKS, default=list(CHECKS), help="checks to run (default: all)"
    )
    options.add_argument("--batch-size", type=positive, metavar="N", help="batch size (default: the recipe's)")
    options.add_argument("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    args = options.parse_args(argv)
    recipe = RECIPES.get(args.recipe)
    tails = ", ".join(name for name, known in RECIPES.items() if isinstance(known, Recipe))
    if not isinstance(recipe, Recipe):
        raise UsageError(f"recipe '{args.recipe}' is unknown or has no members to train; choose one of: {tails}")
    if args.batch_size is not None:
        recipe = replace(recipe, batch_size=args.batch_size)
    processes = Processes.launched()
    if processes.count > 1:
        raise UsageError(
            f"validate runs in one process, and {processes.count} were launched; start it without a launcher"
        )
    context = open_context(args)
    dataset = context.dataset(args.dataset)
    training_set = TrainingSet.of(context, dataset)
    work = Work(
        kind="validate",
        config={"dataset": dataset.name, "recipe": asdict(recipe), "checks": sorted(args.checks)},
        inputs=f"{training_set.fingerprint} {VERSION} {versions.VIEWS} {versions.TRUNK} {versions.TRAINING}",
        dataset_id=dataset.id,
        seed=args.seed,
    )
    run = ActiveRun.claim(context, work)
    if not run.already_finished:
        with run:
            validate(run, training_set, recipe, args.checks, seed=args.seed, processes=processes)
    for reason in run.summary.get("left_out", []):
        print(f"validate: skipped {reason}")
    for name, value in run.summary["auc"].items():
        print(f"{name:<24} AUC {value:.4f}")
    print(f"validate: run {run.id}, recipe '{recipe.name}', the test split was not read")
    return 0


def validate(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: Recipe,
    wanted: Sequence[str],
    *,
    seed: int,
    processes: Processes,
) -> None:
    """Train each check's members, backbone by backbone, then measure their mean. Raises JobError if no check can be
    made."""
    from engine.classification.networks.backbones import load_backbone

    looks = looks_of(run, training_set, processes)
    checks = list(checks_of(training_set, looks, wanted))
    reasons = left_out(checks, wanted)
    if not checks:
        raise JobError(f"no check is possible: {'; '.join(reasons)}; add images, or run --checks {CONFLICT}")
    run.summary = {"left_out": reasons}
    judged = [check.name for check in checks]
    logits: dict[str, list[np.ndarray]] = {name: [] for name in judged}
    under_stress: dict[str, list[np.ndarray]] = {}
    for name in recipe.backbones:
        backbone = load_backbone(name, models=run.context.models, cut=recipe.cut).to(processes.device)
        views = views_of(run, training_set, recipe, backbone, seed=seed, processes=processes)
        setup = Setup(training_set, recipe, backbone, views, processes.device)
        with run.progress(f"training {name}", len(checks) * recipe.epochs) as advance:
            for number, check in enumerate(checks):
                path = run.folder / f"{name}-{check.name.replace(' ', '-')}.safetensors"
                fresh = train_member(
                    path,
                    setup,
                    check.held_out,
                    seed=seed * 1000 + number,
                    on_epoch=partial(show_epoch, advance, check.name),
                )
                if not fresh:
                    advance(recipe.epochs)
                member = stored_member(path, recipe.keep)
                logits[check.name].append(member.logits[check.judged[check.held_out]])
                if check.name == CONFLICT and "stress" in wanted:
                    for stress, scored in stressed_logits(
                        run, training_set, recipe, backbone, member.state, check, device=processes.device
                    ):
                        under_stress.setdefault(f"stress: {stress}", []).append(scored)
    store(run, training_set, checks, logits, under_stress, seed=seed)


def show_epoch(advance: Advance, name: str, epoch: "Epoch") -> None:
    """Advance the progress bar by one epoch and show its AUC."""
    advance(1, f"{name} AUC {epoch.valid_auc:.4f}")


def checks_of(training_set: TrainingSet, looks: np.ndarray, wanted: Sequence[str]) -> Iterator[Check]:
    """The requested checks, with the patients that each holds out of training."""
    from engine.classification import acquisition

    labels, patients = training_set.labels, training_set.patients
    if {CONFLICT, "stress"} & set(wanted):
        judged = acquisition.contradicting(acquisition.propensity(looks, labels, patients), labels)
        yield Check(CONFLICT, judged, acquisition.with_patients(judged, patients))
    if "clusters" in wanted:
        cluster = acquisition.clusters(looks, count=CLUSTERS)
        for number in range(CLUSTERS):
            judged = cluster == number
            if np.bincount(labels[judged], minlength=2).min() >= FEWEST:
                yield Check(f"cluster {number}", judged, acquisition.with_patients(judged, patients))


def left_out(checks: Sequence[Check], wanted: Sequence[str]) -> list[str]:
    """The requested checks that are not possible, with the reason."""
    missing = CLUSTERS - sum(check.name.startswith("cluster ") for check in checks)
    if "clusters" not in wanted or not missing:
        return []
    return [f"{missing} of {CLUSTERS} clusters, which have fewer than {FEWEST} images of a class"]


def stressed_logits(
    run: ActiveRun,
    training_set: TrainingSet,
    recipe: Recipe,
    backbone: "Backbone",
    state: dict[str, Any],
    check: Check,
    *,
    device: str,
) -> Iterator[tuple[str, np.ndarray]]:
    """Each stress with the member's logits of the scored images under it: (m,)."""
    import torch

    from engine.classification.classifiers.convolutional import Branch, Classifier
    from engine.classification.networks.members import new_member
    from engine.classification.stresses import STRESSES, stressed
    from engine.imaging.images import read_batch

    member = new_member(backbone, recipe)
    member.load_state_dict(state)
    calibration = {"temperature": 1.0, "threshold": 0.5}
    classifier = Classifier([Branch(backbone, [member.to(device)])], recipe, calibration, "", device=device)
    pixels = read_batch([training_set.files[row] for row in np.flatnonzero(check.judged)])
    with torch.inference_mode():
        for stress in run.track(list(STRESSES), stage=f"scoring under stress with {backbone.spec.name}"):
            yield stress, classifier.run(stressed(pixels, stress)).logits


def store(
    run: ActiveRun,
    training_set: TrainingSet,
    checks: Sequence[Check],
    logits: dict[str, list[np.ndarray]],
    under_stress: dict[str, list[np.ndarray]],
    *,
    seed: int,
) -> None:
    """Store each check's and stress's AUC with its interval over patients, and the means of clusters and stresses."""
    from engine.metrics.bootstrap import cluster_bootstrap
    from engine.metrics.classification import METRICS, Sample
    from jobs.results.values import metric_value

    judged = {check.name: check.judged for check in checks}
    scores = {name: np.mean(members, axis=0) for name, members in {**logits, **under_stress}.items()}
    intervals = {}
    for name, scored in scores.items():
        rows = judged[name if name in judged else CONFLICT]
        sample = Sample.of(training_set.labels[rows], scored, threshold=0.0)
        intervals[name] = cluster_bootstrap(partial(METRICS["auc"], sample), training_set.patients[rows], seed=seed)
    run.metrics(metric_value("auc", "train", name, interval) for name, interval in intervals.items())
    found = {name: interval.value for name, interval in intervals.items()}
    for kind in ("cluster", "stress"):
        values = [value for name, value in found.items() if name.startswith(kind)]
        if values:
            found[f"mean of {kind}{'es' if kind == 'stress' else 's'}"] = float(np.mean(values))
    run.summary |= {"auc": found, "images": len(training_set.labels)}
    run.discard(*run.folder.glob("*.safetensors"))


if __name__ == "__main__":
    raise SystemExit(main())
